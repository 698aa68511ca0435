//! Systems where `fallocate(2)` cannot reserve memory: gVisor, ramfs, NFS, sandboxes.

use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

#[test]
fn stores_work_on_ramfs() {
    in_private_shm("size=4m", || {
        let ramfs = Some("ramfs");
        if mount(ramfs, "/dev/shm", ramfs, MsFlags::empty(), None::<&str>).is_err() {
            return skipped("no ramfs");
        }
        fs::write("/dev/shm/empty", "").unwrap();
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(8192)
            .unwrap();
        for name in ["new", "empty", "hole"] {
            run(&mut shmtool(["write-int", "--offset", "4096", name, "7"])).prints("");
            run(&mut shmtool([
                "write-int",
                "--offset",
                "4096",
                "--add",
                name,
                "2",
            ]))
            .prints("9\n");
            run(&mut shmtool(["read-int", "--offset", "4096", name])).prints("9\n");
        }
        assert_eq!(fs::metadata("/dev/shm/new").unwrap().len(), 4100);
        assert_eq!(fs::metadata("/dev/shm/empty").unwrap().len(), 4100);
    });
}

#[test]
fn stores_work_without_fallocate_and_leave_other_bytes_unchanged() {
    for inject in ["EOPNOTSUPP:when=1", "EOPNOTSUPP", "ENOSYS", "EPERM"] {
        let inject = format!("inject=fallocate:error={inject}");
        let (new, empty) = (Name::new(), Name::holding(""));
        // Writing zeros must not replace fallocate here: it could overwrite what another process has just stored.
        let existing = Name::holding([1; 8192]);
        for name in [&new, &empty, &existing] {
            let write = ["write-int", "--offset", "4K"];
            let Some(mut strace) = strace(&["-e", &inject], write) else {
                return;
            };
            run(strace.arg(name).arg("7")).prints("");
            run(shmtool(["read-int", "--offset", "4K"]).arg(name)).prints("7\n");
        }
        // As much memory is allocated as with fallocate.
        for name in [&new, &empty] {
            let stat = fs::metadata(name.path()).unwrap();
            assert_eq!((stat.len(), stat.blocks() * 512), (4100, 8192), "{inject}");
        }
        let bytes = fs::read(existing.path()).unwrap();
        assert!(bytes[..4096] == [1; 4096] && bytes[4100..] == [1; 4092]);
    }
}

#[test]
fn concurrent_growth_of_an_empty_object_on_ramfs_loses_no_store() {
    in_private_shm("size=4m", || {
        let ramfs = Some("ramfs");
        if mount(ramfs, "/dev/shm", ramfs, MsFlags::empty(), None::<&str>).is_err() {
            return skipped("no ramfs");
        }
        for _ in 0..50 {
            fs::write("/dev/shm/x", "").unwrap();
            let mut children: Vec<_> = (0..4)
                .map(|index| {
                    let offset = (4096 * index).to_string();
                    shmtool(["write-int", "--offset", &offset, "x", "5"])
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap()
                })
                .collect();
            // A writer fails if another one has already grown the object, but not far enough. Every writer that
            // succeeds must have stored its integer.
            let succeeded: Vec<_> = children
                .iter_mut()
                .map(|child| child.wait().unwrap().success())
                .collect();
            let bytes = fs::read("/dev/shm/x").unwrap();
            for index in (0..4).filter(|&index| succeeded[index]) {
                assert_eq!(bytes[4096 * index..][..4], 5_i32.to_ne_bytes());
            }
            fs::remove_file("/dev/shm/x").unwrap();
        }
    });
}
