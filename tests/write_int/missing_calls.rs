//! Systems that cannot reserve memory: gVisor, ramfs, NFS, sandboxes.

use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

#[test]
fn integers_are_stored_where_no_memory_can_be_reserved() {
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
fn a_store_goes_on_where_memory_cannot_be_reserved_in_an_object_that_others_use() {
    for inject in ["EOPNOTSUPP:when=1", "EOPNOTSUPP", "ENOSYS", "EPERM"] {
        let inject = format!("inject=fallocate:error={inject}");
        let (new, empty) = (Name::new(), Name::holding(""));
        // Another process may store into the part that would be filled with zeros.
        let used = Name::holding([1; 8192]);
        for name in [&new, &empty, &used] {
            let write = ["write-int", "--offset", "4K"];
            let Some(mut strace) = strace(&["-e", &inject], write) else {
                return;
            };
            run(strace.arg(name).arg("7")).prints("");
            run(shmtool(["read-int", "--offset", "4K"]).arg(name)).prints("7\n");
        }
        // As they are allocated where the call exists.
        for name in [&new, &empty] {
            let stat = fs::metadata(name.path()).unwrap();
            assert_eq!((stat.len(), stat.blocks() * 512), (4100, 8192), "{inject}");
        }
        let bytes = fs::read(used.path()).unwrap();
        assert!(bytes[..4096] == [1; 4096] && bytes[4100..] == [1; 4092]);
    }
}

#[test]
fn two_who_grow_an_empty_object_there_lose_nothing() {
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
            // Who finds an object that is too small by now says so. Who succeeded did store.
            let done: Vec<_> = children
                .iter_mut()
                .map(|child| child.wait().unwrap().success())
                .collect();
            let bytes = fs::read("/dev/shm/x").unwrap();
            for index in (0..4).filter(|&index| done[index]) {
                assert_eq!(bytes[4096 * index..][..4], 5_i32.to_ne_bytes());
            }
            fs::remove_file("/dev/shm/x").unwrap();
        }
    });
}
