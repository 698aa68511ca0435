//! `--sync`: the change is on the disk when shmtool ends, and a failure to write it is reported.

use crate::common::fuse::Fuse;
use crate::common::*;
use crate::mounts::*;
use crate::*;

/// Bytes that are on no disk by chance.
const PATTERN: &str = "0x7e5ac3d29b1846f0";

/// Stores the pattern in several ways, and checks that it is on the disk, that is, in the image, after each of them.
fn check(kind: &str) {
    let Some(mount) = Mount::new(kind) else {
        return;
    };
    let [file, sparse] = ["file", "sparse"].map(|name| mount.path(name));
    fs::write(&file, [0; 16384]).unwrap();
    fs::File::create(&sparse).unwrap().set_len(16384).unwrap();
    let bits = u64::from_str_radix(&PATTERN[2..], 16).unwrap();
    let mut expected = bits;
    let location = ["-t", "u64", "--sync", "--offset", "8192"];
    for (path, args, change) in [
        (&file, &[PATTERN][..], 0),
        (&file, &["--add", "1"], 1),
        (&file, &["--if", "ne:0", "--wait", "--add", "1"], 1),
        (&sparse, &["--add", "0x7e5ac3d29b1846f3"], 1),
    ] {
        expected += change;
        let bytes = expected.to_ne_bytes();
        assert!(!mount.has_on_disk(&bytes));
        let ended = write_int(path, &[&location, args].concat());
        assert!(ended.status.success(), "{ended:?}");
        // A log-structured copy would do too: the image is what is left if the machine loses power now.
        assert!(mount.has_on_disk(&bytes), "{kind}: {args:?}");
    }
}

#[test]
fn a_synced_change_is_on_the_disk_of_ext4() {
    in_private_shm(ROOM, || check("ext4"));
}

#[test]
fn a_synced_change_is_on_the_disk_of_btrfs() {
    in_private_shm(ROOM, || check("btrfs"));
}

#[test]
fn a_synced_change_is_read_without_the_page_cache() {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let file = file_with([0; 8192]);
    write_int(file.path(), &["--sync", "--offset", "4096", "123456789"]).prints("");
    let mut options = fs::File::options();
    options.read(true).custom_flags(nix::libc::O_DIRECT);
    let Ok(mut direct) = options.open(&file) else {
        return skipped("no direct I/O");
    };
    // Direct I/O needs aligned memory.
    let mut memory = vec![0; 3 * 4096];
    let start = memory.as_ptr().align_offset(4096);
    let pages = &mut memory[start..start + 8192];
    direct.read_exact(pages).unwrap();
    assert_eq!(pages[4096..4100], 123_456_789_i32.to_ne_bytes());
}

#[test]
fn a_failure_to_write_the_change_to_the_disk_is_reported() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("lossy");
        write_int(&file, &["5"]).prints("");
        let problem = "cannot write it to the disk: Input/output error";
        for args in [
            &["6"][..],
            &["--add", "1"],
            &["--if", "ge:0", "--wait", "8"],
        ] {
            fails_with(
                write_int(&file, &[args, &["--sync"]].concat()),
                &file,
                problem,
            );
        }
        // A refused change is not written.
        write_int(&file, &["--sync", "--if", "0", "1"]).fails(5);
    });
}

#[test]
fn dd_python_and_write_int_leave_the_same_bytes_on_disk() {
    in_private_shm(ROOM, || {
        let Some(mount) = Mount::new("ext4") else {
            return;
        };
        let files = ["shmtool", "dd", "python"].map(|name| mount.path(name));
        for file in &files {
            fs::write(file, [0x55; 8192]).unwrap();
        }
        let [by_shmtool, by_dd, by_python] = files.each_ref();
        let args = [
            "--sync",
            "--offset",
            "4096",
            "-t",
            "u32",
            "--endian",
            "big",
            "0xdeadbeef",
        ];
        write_int(by_shmtool, &args).prints("");
        let script = r#"
printf '\336\255\276\357' | dd of="$1" bs=4 seek=1024 conv=notrunc,fsync status=none"#;
        run(Command::new("sh").args(["-c", script, "sh"]).arg(by_dd)).prints("");
        let script = "
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
memory[4096:4100] = bytes.fromhex('deadbeef')
memory.flush()
";
        let Some(mut python) = python(script, &[by_python.to_str().unwrap()]) else {
            return;
        };
        run(&mut python).prints("");
        // The blocks of all three are on the disk.
        let contents = fs::read(by_shmtool).unwrap();
        assert_eq!(contents[4096..4100], [0xde, 0xad, 0xbe, 0xef]);
        for file in [by_dd, by_python] {
            assert!(fs::read(file).unwrap() == contents, "{}", file.display());
        }
        let disk = mount.disk();
        let blocks = disk
            .chunks(1024)
            .filter(|block| *block == &contents[4096..5120]);
        assert_eq!(blocks.count(), 3);
    });
}
