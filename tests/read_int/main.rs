//! `read-int`: reading one integer, and what cannot be read.

#[path = "../common/mod.rs"]
mod common;

mod count_and_hex;
mod follow;
mod truncation;
mod wait;

use common::*;
use nix::libc;
use nix::sys::resource::Resource;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn one_process_writes_and_another_reads() {
    let name = Name::new();
    run(shmtool(["write-int"]).arg(&name).arg("42")).prints("");
    run(shmtool(["read-int"]).arg(&name)).prints("42\n");
    run(shmtool(["unlink"]).arg(&name)).prints("");
    run(shmtool(["read-int"]).arg(&name))
        .fails(3)
        .says(format!("{name}: no such object"));
}

#[test]
fn the_leading_slash_is_optional() {
    let name = Name::holding(7_i32.to_ne_bytes());
    run(&mut shmtool(["read-int", &name.to_string()[1..]])).prints("7\n");
}

#[test]
fn each_type_has_its_own_width_and_sign() {
    let name = Name::holding([0xff; 8]);
    for (int_type, value) in [
        ("i8", "-1"),
        ("i16", "-1"),
        ("i32", "-1"),
        ("i64", "-1"),
        ("u8", "255"),
        ("u16", "65535"),
        ("u32", "4294967295"),
        ("u64", "18446744073709551615"),
    ] {
        run(shmtool(["read-int", "-t", int_type]).arg(&name)).prints(format!("{value}\n"));
    }
}

#[test]
fn an_unknown_type_is_a_usage_error() {
    run(&mut shmtool(["read-int", "-t", "int", "x"]))
        .fails(2)
        .says("int: not one of i8, i16, i32, i64, u8, u16, u32, u64\nhint: int is i32 here");
}

#[test]
fn a_too_small_object_is_an_error() {
    let name = Name::holding("abc");
    run(shmtool(["read-int"]).arg(&name)).fails(1).says(format!(
        "{name}: too small: i32 at offset 0 needs 4 bytes, the object has 3"
    ));
    run(shmtool(["read-int", "-t", "i8", "--offset", "0x7fffffffffffffff"]).arg(&name))
        .fails(1)
        .says(format!("{name}: too small: i8 at offset 9223372036854775807 needs 9223372036854775808 bytes, the object has 3"));
    run(shmtool(["read-int", "-t", "i8", "--offset", "2"]).arg(&name)).prints("99\n");
}

#[test]
fn read_permission_is_enough_to_read() {
    if is_root() {
        let name = Name::holding(7_i32.to_ne_bytes());
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o604)).unwrap();
        run(as_nobody(shmtool(["read-int"]).arg(&name))).prints("7\n");
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o640)).unwrap();
        run(as_nobody(shmtool(["read-int"]).arg(&name)))
            .fails(1)
            .says(format!(
                "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
            ));
    }
}

#[test]
fn reading_a_hole_allocates_nothing() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(&[1], 1 << 20).unwrap();
    let before = file.metadata().unwrap();
    for offset in [0, (1 << 20) - 4096, (1 << 20) + 4096, (3 << 20) - 4] {
        run(shmtool(["read-int", "--offset", &offset.to_string()]).arg(&name)).prints("0\n");
    }
    let after = file.metadata().unwrap();
    assert_eq!(
        (before.blocks(), before.mtime_nsec()),
        (after.blocks(), after.mtime_nsec())
    );
    run(shmtool(["read-int", "--offset", "1M"]).arg(&name)).prints("1\n");
    // The first byte is the last one of the hole, the second is data.
    run(shmtool(["read-int", "-t", "u16", "--offset", "1048575"]).arg(&name))
        .prints(format!("{}\n", u16::from_ne_bytes([0, 1])));
}

#[test]
fn a_hole_can_be_read_when_dev_shm_is_full() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        run(&mut shmtool(["read-int", "hole"])).prints("0\n");
    });
}

#[test]
fn an_integer_partly_in_a_hole_is_read_without_allocating_memory() {
    in_private_shm("size=64k", || {
        fs::write("/dev/shm/half", [1; 4096]).unwrap();
        fs::File::options()
            .write(true)
            .open("/dev/shm/half")
            .unwrap()
            .set_len(8192)
            .unwrap();
        fs::write("/dev/shm/fill", [1; 60 << 10]).unwrap();
        for (offset, bytes) in [
            ("4092", [1, 1, 1, 1, 0, 0, 0, 0]),
            ("4095", [1, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            run(&mut shmtool([
                "read-int", "-t", "u64", "--offset", offset, "half",
            ]))
            .prints(format!("{}\n", u64::from_ne_bytes(bytes)));
        }
        assert_eq!(fs::metadata("/dev/shm/half").unwrap().blocks(), 8);
    });
}

#[test]
fn truncation_just_before_a_load_is_an_error_and_not_a_bus_error() {
    // With size 2 the page stays, but the kernel fills it with zeros behind the new end. A SIGBUS that is blocked
    // would kill the process without running the handler.
    for (size, blocked) in [(0, false), (2, false), (0, true)] {
        let name = Name::holding(7_i32.to_ne_bytes());
        // The search for holes with lseek is the last system call before the object is mapped.
        let Some(mut read) = strace(&["-e", "inject=lseek:delay_exit=2000000"], ["read-int"])
        else {
            return;
        };
        if blocked {
            // SAFETY: sigprocmask is one system call.
            unsafe { read.pre_exec(|| Ok(SigSet::from(Signal::SIGBUS).thread_block()?)) };
        }
        let read = read
            .arg(&name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        truncate_when_open(&read, &name, size);
        finish(read)
            .fails(1)
            .says(format!("{name}: another process truncated it"));
    }
}

#[test]
fn a_fifo_is_never_opened() {
    let name = Name::new();
    nix::unistd::mkfifo(&name.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::thread::scope(|scope| {
        // This open blocks until somebody opens the other end.
        let writer = scope.spawn(|| fs::File::options().write(true).open(name.path()).unwrap());
        sleep(Duration::from_millis(50));
        for command in [&mut shmtool(["read-int"]), &mut shmtool(["cat", "--shm"])] {
            run(command.arg(&name)).fails(1);
        }
        let still_blocked = !writer.is_finished();
        fs::File::open(name.path()).unwrap();
        assert!(still_blocked);
    });
}

#[test]
fn files_that_are_not_objects_are_rejected_without_hanging() {
    let name = Name::new();
    let assert_rejected = |what: &str| {
        let message = format!("{name}: not a shared memory object: it is {what}");
        for verb in ["read-int", "write-int", "create", "unlink", "ls", "cat"] {
            let mut command = shmtool([verb]);
            match verb {
                "cat" => command.arg("--shm").arg(&name),
                "write-int" => command.arg(&name).arg("1"),
                _ => command.arg(&name),
            };
            let ended = run(&mut command);
            ended.says(&message);
            assert_eq!(ended.status.code(), Some(1), "{verb}");
            assert!(
                fs::symlink_metadata(name.path()).is_ok(),
                "{verb} removed it"
            );
        }
        fs::remove_file(name.path())
            .or_else(|_| fs::remove_dir(name.path()))
            .unwrap();
    };
    fs::create_dir(name.path()).unwrap();
    assert_rejected("a directory");
    symlink("/etc/passwd", name.path()).unwrap();
    assert_rejected("a symbolic link");
    symlink("dangling", name.path()).unwrap();
    assert_rejected("a symbolic link");
    nix::unistd::mkfifo(&name.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_rejected("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(name.path()).unwrap();
    assert_rejected("a socket");
}

#[test]
fn reading_waits_until_a_lease_is_released() {
    let name = Name::holding(7_i32.to_ne_bytes());
    // Opening the object breaks the lease, and the kernel sends SIGIO to its holder. That would end this process.
    // SAFETY: ignoring a signal runs no handler.
    unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) }.unwrap();
    let holder = fs::File::open(name.path()).unwrap();
    // SAFETY: F_SETLEASE takes an integer and no pointer.
    let lease = |kind: i32| unsafe { libc::fcntl(holder.as_raw_fd(), libc::F_SETLEASE, kind) };
    assert_eq!(
        lease(libc::F_WRLCK),
        0,
        "{}",
        std::io::Error::last_os_error()
    );
    let read = shmtool(["read-int"])
        .arg(&name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(100));
    assert_eq!(lease(libc::F_UNLCK), 0);
    finish(read).prints("7\n");

    assert_eq!(lease(libc::F_WRLCK), 0);
    run(shmtool(["read-int"]).arg(&name)).fails(1).says(format!(
        "{name}: another process holds a lease on it and did not release it in time"
    ));
}

#[test]
fn an_integer_stored_by_c_is_read() {
    let Some(c) = c_program() else { return };
    let name = Name::new();
    run(Command::new(c).arg("write").arg(&name).arg("-42")).prints("");
    run(shmtool(["read-int"]).arg(&name)).prints("-42\n");
}

#[test]
fn an_integer_stored_by_python_is_read() {
    let script = "
import sys, struct
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1][1:], create=True, size=4096)
resource_tracker.unregister(object._name, 'shared_memory')
for line in sys.stdin:
    struct.pack_into('@q', object.buf, 16, int(line))
    print('stored', flush=True)
";
    let name = Name::new();
    let Some(mut python) = python(script, &[&name.to_string()]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    for value in ["-9223372036854775808", "0", "9223372036854775807"] {
        assert_eq!(python.ask(value), "stored");
        run(shmtool(["read-int", "-t", "i64", "--offset", "16"]).arg(&name))
            .prints(format!("{value}\n"));
    }
}

#[test]
fn a_failed_write_to_standard_output_is_an_error() {
    let name = Name::holding([0; 4]);
    output_fails(shmtool(["read-int"]).arg(&name));

    let mut limit = shmtool(["read-int"]);
    let file = tempfile::tempfile().unwrap();
    let limited = limited(&mut limit, Resource::RLIMIT_FSIZE, 0)
        .arg(&name)
        .stdout(file);
    finish(limited.stderr(Stdio::piped()).spawn().unwrap())
        .fails(1)
        .says("standard output: File too large");
}

#[test]
fn an_object_never_gets_the_descriptor_of_a_closed_stream() {
    // Otherwise output for that stream, such as the message of the SIGBUS handler, would be written into the object.
    let name = Name::holding([0; 4]);
    let script = "exec \"$0\" read-int --until 1 \"$1\" <&- >&- 2>&-";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")])
        .arg(&name);
    let mut waiter = sh.spawn().unwrap();
    let fds = format!("/proc/{}/fd", waiter.id());
    let descriptor_of_object = || {
        let fds = fs::read_dir(&fds).unwrap().map(|fd| fd.unwrap().path());
        fds.filter(|fd| fs::read_link(fd).is_ok_and(|path| path == name.path()))
            .map(|fd| fd.file_name().unwrap().to_str().unwrap().parse::<i32>())
            .next()
    };
    let fd = loop {
        match descriptor_of_object() {
            Some(fd) => break fd.unwrap(),
            None => sleep(Duration::from_millis(5)),
        }
    };
    waiter.kill().unwrap();
    waiter.wait().unwrap();
    assert!(fd > 2, "{fd}");
}
