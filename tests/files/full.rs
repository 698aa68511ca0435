//! Files on full file systems: an error, and never a bus error.

use crate::common::*;
use crate::mounts::*;
use crate::*;

/// Asserts that a change failed for lack of space and left the integer as it was.
#[track_caller]
fn lacks_space(ended: &Ended, file: &Path) {
    assert_eq!(ended.signal(), None, "{ended:?}");
    fails_mentioning(ended, 1, &["no space left on its file system"]);
    assert_eq!((int_on_disk(file, 4096), int_on_disk(file, 0)), (0, 0));
    assert_eq!(fs::metadata(file).unwrap().len(), 8192);
}

/// A file of 8192 zeros without disk space.
fn sparse_file(path: &Path) {
    fs::File::create(path).unwrap().set_len(8192).unwrap();
}

/// The VALUEs and options of changes.
const CHANGES: [&[&str]; 4] = [
    &["--offset", "4096", "1"],
    &["--offset", "4096", "--add", "1"],
    &["--offset", "4096", "--if", "0", "--wait", "1"],
    &["--offset", "4092", "1", "2"],
];

#[test]
fn a_store_into_a_hole_of_a_full_ext4_is_an_error() {
    in_private_shm(ROOM, || {
        let Some(mount) = Mount::new("ext4") else {
            return;
        };
        let [sparse, stored] = ["sparse", "stored"].map(|name| mount.path(name));
        sparse_file(&sparse);
        fs::write(&stored, [0; 8192]).unwrap();
        mount.fill();
        for args in CHANGES {
            lacks_space(&write_int(&sparse, args), &sparse);
        }
        read_int(&sparse, &["--offset", "4096", "--until", "0"]).prints("0\n");
        // Where there is disk space already, none is needed.
        write_int(&stored, &["--sync", "--add", "1"]).prints("1\n");
    });
}

#[test]
fn a_store_into_a_hole_of_a_full_xfs_is_an_error() {
    in_private_shm(ROOM, || {
        let Some(mount) = Mount::new("xfs") else {
            return;
        };
        let [sparse, stored] = ["sparse", "stored"].map(|name| mount.path(name));
        sparse_file(&sparse);
        fs::write(&stored, [0; 8192]).unwrap();
        mount.fill();
        // xfs keeps a reserve for itself, from which a few stores may still get their blocks.
        for args in CHANGES {
            let ended = write_int(&sparse, args);
            if !ended.status.success() {
                return lacks_space(&ended, &sparse);
            }
            sparse_file(&sparse);
        }
        skipped("xfs still has disk space");
        write_int(&stored, &["--sync", "--add", "1"]).prints("1\n");
    });
}

#[test]
fn a_store_on_a_full_btrfs_is_an_error_because_it_copies_on_write() {
    in_private_shm(ROOM, || {
        let Some(mount) = Mount::new("btrfs") else {
            return;
        };
        let [sparse, stored] = ["sparse", "stored"].map(|name| mount.path(name));
        sparse_file(&sparse);
        fs::write(&stored, [0; 8192]).unwrap();
        fs::File::open(&stored).unwrap().sync_all().unwrap();
        mount.fill();
        for file in [&sparse, &stored] {
            for args in CHANGES {
                lacks_space(&write_int(file, args), file);
            }
        }
        read_int(&stored, &["--until", "0"]).prints("0\n");
        fs::remove_file(mount.path("rest")).unwrap();
        write_int(&stored, &["--sync", "--offset", "4096", "--add", "1"]).prints("1\n");
    });
}

#[test]
fn a_store_into_a_hole_of_a_full_tmpfs_is_an_error() {
    in_private_shm("size=64k", || {
        let file = Path::new("/dev/shm/file");
        sparse_file(file);
        fs::write("/dev/shm/rest", [1; 64 << 10]).unwrap();
        for args in CHANGES {
            lacks_space(&write_int(file, args), file);
        }
        read_int(file, &["--offset", "4096", "--count", "all"]).prints("0\n".repeat(1024));
        fs::remove_file("/dev/shm/rest").unwrap();
        write_int(file, &["--offset", "4096", "--add", "1"]).prints("1\n");
    });
}

#[test]
fn a_bus_error_where_the_kernel_cannot_prepare_a_store_is_an_error() {
    // Before Linux 5.14, the kernel does not know MADV_POPULATE_WRITE. Then the store itself fails.
    in_private_shm("size=64k", || {
        let file = Path::new("/dev/shm/file");
        sparse_file(file);
        fs::write("/dev/shm/rest", [1; 64 << 10]).unwrap();
        for args in CHANGES {
            let inject = ["-e", "inject=madvise:error=EINVAL"];
            let Some(mut write) = strace(&inject, ["write-int", "--file"]) else {
                return;
            };
            lacks_space(&run(write.arg(file).args(args)), file);
        }
    });
}
