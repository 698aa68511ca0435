//! `--from` a FILE that cannot be mapped, or that reports a wrong size. The object gets what the system's `cat` prints.

use crate::common::disk::Disk;
use crate::common::fuse::Fuse;
use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn create(args: &[&str], from: impl AsRef<Path>) -> Ended {
    let create = ["create", "/x", "--replace"];
    run(shmtool(create).args(args).arg("--from").arg(from.as_ref()))
}

#[track_caller]
fn assert_contents(bytes: &[u8]) {
    let contents = fs::read("/dev/shm/x").unwrap();
    assert!(
        contents == bytes,
        "{} bytes, not {}",
        contents.len(),
        bytes.len()
    );
    fs::remove_file("/dev/shm/x").unwrap();
}

#[track_caller]
fn assert_copied_as_cat_prints(from: &str) {
    create(&[], from).prints("");
    assert_contents(&Command::new("cat").arg(from).output().unwrap().stdout);
}

#[track_caller]
fn assert_io_error(from: impl AsRef<Path>) {
    let path = from.as_ref().display();
    create(&[], &from)
        .fails(1)
        .says(format!("{path}: Input/output error"));
    assert!(fs::read_dir("/dev/shm").unwrap().next().is_none());
}

#[test]
fn files_that_cannot_be_mapped_are_copied() {
    in_private_shm("size=16m", || {
        let Some(fuse) = Fuse::mount() else { return };
        for (file, length) in [("direct", 50000), ("slow", 300 << 10)] {
            create(&[], fuse.path(file)).prints("");
            assert_contents(&Fuse::bytes(length));
            create(&["--sparse"], fuse.path(file)).prints("");
            assert_contents(&Fuse::bytes(length));
        }
        create(&["-s", "50010"], fuse.path("direct")).prints("");
        assert_contents(&[Fuse::bytes(50000), vec![0; 10]].concat());

        let stdin = File::open(fuse.path("direct")).unwrap();
        run(shmtool(["create", "--from", "-", "/x"]).stdin(stdin)).prints("");
        assert_contents(&Fuse::bytes(50000));
    });
}

#[test]
fn files_that_report_a_wrong_size_are_copied() {
    in_private_shm("size=16m", || {
        // Linux before 6.6 cannot map the file "more".
        for mount in [Fuse::mount, Fuse::mount_with_mappings] {
            let Some(fuse) = mount() else { return };
            for (file, length) in [("more", 5000), ("less", 10)] {
                create(&[], fuse.path(file)).prints("");
                assert_eq!(
                    fs::metadata("/dev/shm/x").unwrap().blocks() * 512,
                    4096 * (length as u64).div_ceil(4096)
                );
                assert_contents(&Fuse::bytes(length));
            }
            let (more, path) = (fuse.path("more"), fuse.path("more"));
            create(&["-s", "4999"], more).fails(1).says(format!(
                "{}: larger than the requested size of 4.9KiB",
                path.display()
            ));
        }
    });
}

#[test]
fn an_io_error_is_reported() {
    in_private_shm("size=16m", || {
        let Some(fuse) = Fuse::mount() else { return };
        // The file "torn" can be mapped, and the error occurs in the middle of the mapping.
        assert_io_error(fuse.path("torn"));
        assert_io_error(fuse.path("unreadable"));
    });
}

#[test]
fn files_in_proc_and_sys_are_copied() {
    in_private_shm("size=16m", || {
        for from in [
            "/proc/version",
            "/proc/filesystems",
            // Its reported size is that of a page.
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/kernel/notes",
            "/dev/null",
        ] {
            match fs::exists(from) {
                Ok(true) => assert_copied_as_cat_prints(from),
                _ => skipped(&format!("no {from}")),
            }
        }
    });
}

#[test]
fn a_block_device_is_copied() {
    in_private_shm("size=16m", || {
        let Some(disk) = Disk::with_contents(&Fuse::bytes(3 << 20)) else {
            return;
        };
        assert_copied_as_cat_prints(disk.path());
    });
}

#[test]
fn a_file_on_hugetlbfs_is_copied() {
    in_private_shm("size=16m", || {
        let directory = tempfile::tempdir().unwrap();
        let source = Some("hugetlbfs");
        let options = Some("pagesize=2M");
        if mount(source, directory.path(), source, MsFlags::empty(), options).is_err() {
            return skipped("no hugetlbfs");
        }
        // The file is a hole. The system may have no huge pages, and then it cannot even be mapped.
        let file = directory.path().join("huge");
        File::create(&file).unwrap().set_len(4 << 20).unwrap();
        assert_copied_as_cat_prints(file.to_str().unwrap());
        run(shmtool(["cat"]).arg(&file)).prints(vec![0; 4 << 20]);
        nix::mount::umount(directory.path()).unwrap();
    });
}
