//! Block devices, and devices whose memory is accessed with plain loads and stores.

use crate::common::disk::Disk;
use crate::common::*;
use crate::*;
use nix::libc;
use std::fs::File;
use std::os::fd::FromRawFd;

#[test]
fn a_block_device_is_read_and_changed() {
    let Some(disk) = Disk::writable(&[1; 64 << 10]) else {
        return;
    };
    let all = read_int(disk.path(), &["-t", "u64", "--count", "all"]);
    assert_eq!(all.stdout, "72340172838076673\n".repeat(8192).as_bytes());
    write_int(disk.path(), &["--offset", "65532", "--sync", "-7"]).prints("");
    assert_eq!(disk.contents()[65532..], (-7_i32).to_ne_bytes());
    read_int(disk.path(), &["--offset", "65532"]).prints("-7\n");
    let problem = "too small: i32 at offset 65536 needs 65540 bytes, the file has 65536";
    for ended in [
        write_int(disk.path(), &["--offset", "65536", "1"]),
        read_int(disk.path(), &["--offset", "65536"]),
        read_int(disk.path(), &["--offset", "65536", "--until", "1"]),
    ] {
        fails_with(ended, disk.path(), problem);
    }
    assert_eq!(disk.contents().len(), 64 << 10);
}

#[test]
fn atomic_changes_and_waiting_work_on_a_block_device() {
    let Some(disk) = Disk::writable(&[0; 64 << 10]) else {
        return;
    };
    let mut write = on_file("write-int", disk.path());
    let changer = spawn(write.args(["--if", "ge:1", "--wait", "--add", "-1"]));
    let reader = spawn_waiter(on_file("read-int", disk.path()).args(["--until", "1"]));
    write_int(disk.path(), &["--add", "2"]).prints("2\n");
    finish(changer).prints("1\n");
    finish(reader).prints("1\n");
    write_int(disk.path(), &["--sync", "--or", "6"]).prints("7\n");
    assert_eq!(disk.contents()[..4], 7_i32.to_ne_bytes());
}

#[test]
fn a_read_only_block_device_is_read_but_not_changed() {
    let Some(disk) = Disk::with_contents(&[1; 4096]) else {
        return;
    };
    read_int(disk.path(), &[]).prints("16843009\n");
    let ended = write_int(disk.path(), &["1"]);
    fails_with(ended, disk.path(), "the device is read-only");
}

/// Device memory that any process can have: the rings of io_uring(7). They are shared with the kernel, and their
/// descriptor is neither a regular file nor a block device.
struct Ring {
    file: File,
    /// The offset of the number of entries, which the kernel has stored.
    entries: u32,
    /// The offset of the first index in the array, into which anything may be stored.
    array: u32,
}

impl Ring {
    const ENTRIES: u32 = 8;

    /// Returns None if the kernel does not allow it, or if the array has a ring of its own.
    fn new() -> Option<Ring> {
        // struct io_uring_params: `sq_off` begins at the word 10, `ring_entries` is its fourth word and `array` its
        // seventh.
        let mut parameters = [0_u32; 30];
        let (call, entries) = (libc::SYS_io_uring_setup, Self::ENTRIES);
        // SAFETY: the kernel stores into the 120 bytes of the parameters.
        let fd = unsafe { libc::syscall(call, entries, parameters.as_mut_ptr()) };
        if fd < 0 {
            skipped("no io_uring");
            return None;
        }
        Some(Ring {
            // SAFETY: the descriptor is new, and nobody else has it.
            file: unsafe { File::from_raw_fd(fd as i32) },
            entries: parameters[13],
            array: parameters[16],
        })
    }

    fn on(&self, verb: &str) -> Command {
        let mut command = on_file(verb, "/dev/stdin");
        command.stdin(self.file.try_clone().unwrap());
        command
    }
}

#[test]
fn a_device_is_accessed_through_a_mapping() {
    let Some(ring) = Ring::new() else { return };
    let entries = ring.entries.to_string();
    run(ring
        .on("read-int")
        .args(["-t", "u32", "--offset", &entries]))
    .prints("8\n");
    let array = ring.array.to_string();
    let location = ["--offset", &array];
    run(ring.on("write-int").args(location).arg("0x01020304")).prints("");
    run(ring.on("read-int").args(location).arg("--hex")).prints("0x01020304\n");
    let big = ["-t", "u16", "--endian", "big"];
    run(ring.on("write-int").args(location).args(big).arg("0x0a0b")).prints("");
    run(ring
        .on("read-int")
        .args(location)
        .args(["-t", "u8", "--count", "2"]))
    .prints("10\n11\n");
}

#[test]
fn until_and_follow_poll_a_device() {
    let Some(ring) = Ring::new() else { return };
    let array = ring.array.to_string();
    let location = ["--offset", &array];
    run(ring.on("write-int").args(location).arg("1")).prints("");
    let reader = spawn(ring.on("read-int").args(location).args(["--until", "2"]));
    let args = ["--follow", "--count", "2"];
    let follower = spawn_waiter(ring.on("read-int").args(location).args(args));
    run(ring.on("write-int").args(location).arg("2")).prints("");
    finish(reader).prints("2\n");
    finish(follower).prints("1\n2\n");
    let args = ["--until", "3", "--timeout", "50ms"];
    let ended = run(ring.on("read-int").args(location).args(args));
    let problem = "timed out waiting for 3: the value is 2";
    ended.fails(124).says(format!("/dev/stdin: {problem}"));
}

#[test]
fn what_needs_more_than_one_access_to_a_device_is_a_usage_error() {
    let Some(ring) = Ring::new() else { return };
    let array = ring.array.to_string();
    let unaligned = (ring.array + 2).to_string();
    for args in [
        &["--offset", &array, "--add", "1"][..],
        &["--offset", &array, "--swap", "1"],
        &["--offset", &array, "--or", "1"],
        &["--offset", &array, "--if", "0", "1"],
        &["--offset", &array, "--if", "0", "--wait", "1"],
        &["--offset", &array, "--sync", "1"],
        &["--offset", &array, "1", "2"],
        &["--offset", &unaligned, "1"],
    ] {
        let ended = run(ring.on("write-int").args(args));
        assert!(!ended.fails(2).stderr.is_empty(), "{args:?}");
    }
    for args in [
        &["--offset", &unaligned][..],
        &["--count", "all"],
        &["--offset", &array, "--count", "all"],
        &["--offset", &unaligned, "--until", "0"],
        &["--offset", &unaligned, "--follow"],
    ] {
        let ended = run(ring.on("read-int").args(args));
        assert!(!ended.fails(2).stderr.is_empty(), "{args:?}");
    }
    run(ring.on("read-int").args(["--offset", &array])).prints("0\n");
}

#[test]
fn what_is_beyond_the_memory_of_a_device_is_an_error() {
    let Some(ring) = Ring::new() else { return };
    for verb in ["read-int", "write-int"] {
        let mut command = ring.on(verb);
        if verb == "write-int" {
            command.arg("1");
        }
        // The words depend on the driver.
        let ended = run(command.args(["--offset", "512M"]));
        fails_mentioning(&ended, 1, &["shmtool: /dev/stdin: "]);
    }
}

#[test]
fn a_device_without_memory_is_explained() {
    let problem = "the device has no memory that can be mapped";
    fails_with(read_int("/dev/urandom", &[]), "/dev/urandom", problem);
    fails_with(write_int("/dev/urandom", &["1"]), "/dev/urandom", problem);
    let ended = read_int("/dev/urandom", &["--until", "1"]);
    fails_with(ended, "/dev/urandom", problem);
}

#[test]
fn physical_memory_is_read_or_explained() {
    if !Path::new("/dev/mem").exists() {
        return skipped("no /dev/mem");
    }
    let ended = read_int("/dev/mem", &["--offset", "0xfffffffffffff000"]);
    assert_eq!(ended.fails(1).signal(), None);
}

#[test]
fn devmem_and_write_int_change_the_same_bytes() {
    in_private_shm("size=1m", || {
        use nix::mount::{MsFlags, mount};
        // devmem always opens /dev/mem. Here, that is a file.
        let file = file_with([0; 8192]);
        let busybox = Command::new("busybox").args(["devmem", "--help"]).output();
        if !is_root() || !busybox.is_ok_and(|output| !output.stderr.is_empty()) {
            return skipped("no devmem");
        }
        let (none, dev) = (None::<&str>, "/dev");
        mount(Some("tmpfs"), dev, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        File::create("/dev/mem").unwrap();
        File::create("/dev/null").unwrap();
        mount(Some(file.path()), "/dev/mem", none, MsFlags::MS_BIND, none).unwrap();
        let devmem = |args: &[&str]| {
            let mut busybox = Command::new("busybox");
            run(busybox.arg("devmem").args(args))
        };
        write_int(
            "/dev/mem",
            &["--offset", "0x1000", "-t", "u32", "0xdeadbeef"],
        )
        .prints("");
        devmem(&["0x1000", "32"]).prints("0xDEADBEEF\n");
        for (width, int_type, value) in [
            ("8", "u8", "0x12"),
            ("16", "u16", "0x1234"),
            ("32", "u32", "0x12345678"),
            ("64", "u64", "0x123456789abcdef0"),
        ] {
            devmem(&["0x1008", width, value]).prints("");
            let location = ["--offset", "0x1008", "-t", int_type];
            read_int("/dev/mem", &[&location[..], &["-x"]].concat()).prints(format!("{value}\n"));
            let fails = write_int("/dev/mem", &[&location[..], &["0"]].concat());
            fails.prints("");
            let zero = format!("0x{:0>1$}\n", 0, value.len() - 2);
            devmem(&["0x1008", width]).prints(zero);
        }
        assert_eq!(fs::read(&file).unwrap().len(), 8192);
    });
}
