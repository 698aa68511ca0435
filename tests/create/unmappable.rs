//! `--from` of a FILE that cannot be mapped, or is not what it says: the object gets what `cat` prints.

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
fn holds(bytes: &[u8]) {
    let held = fs::read("/dev/shm/x").unwrap();
    assert!(held == bytes, "{} bytes, not {}", held.len(), bytes.len());
    fs::remove_file("/dev/shm/x").unwrap();
}

#[track_caller]
fn holds_what_cat_prints(from: &str) {
    create(&[], from).prints("");
    holds(&Command::new("cat").arg(from).output().unwrap().stdout);
}

#[track_caller]
fn fails_with_an_io_error(from: impl AsRef<Path>) {
    let path = from.as_ref().display();
    create(&[], &from)
        .fails(1)
        .says(format!("{path}: Input/output error"));
    assert!(fs::read_dir("/dev/shm").unwrap().next().is_none());
}

#[test]
fn a_file_that_cannot_be_mapped_is_copied() {
    in_private_shm("size=16m", || {
        let Some(fuse) = Fuse::mount() else { return };
        for (file, length) in [("direct", 50000), ("slow", 300 << 10)] {
            create(&[], fuse.path(file)).prints("");
            holds(&Fuse::bytes(length));
            create(&["--sparse"], fuse.path(file)).prints("");
            holds(&Fuse::bytes(length));
        }
        create(&["-s", "50010"], fuse.path("direct")).prints("");
        holds(&[Fuse::bytes(50000), vec![0; 10]].concat());

        let stdin = File::open(fuse.path("direct")).unwrap();
        run(shmtool(["create", "--from", "-", "/x"]).stdin(stdin)).prints("");
        holds(&Fuse::bytes(50000));
    });
}

#[test]
fn a_file_that_lies_about_its_size_is_copied_as_it_is_read() {
    in_private_shm("size=16m", || {
        // Linux before 6.6 maps neither of them.
        for mount in [Fuse::mount, Fuse::mount_with_mappings] {
            let Some(fuse) = mount() else { return };
            for (file, length) in [("more", 5000), ("less", 10)] {
                create(&[], fuse.path(file)).prints("");
                assert_eq!(
                    fs::metadata("/dev/shm/x").unwrap().blocks() * 512,
                    4096 * (length as u64).div_ceil(4096)
                );
                holds(&Fuse::bytes(length));
            }
            let (more, path) = (fuse.path("more"), fuse.path("more"));
            create(&["-s", "4999"], more).fails(1).says(format!(
                "{}: it has more than the 4999 bytes that were asked for",
                path.display()
            ));
        }
    });
}

#[test]
fn an_io_error_is_reported_as_one() {
    in_private_shm("size=16m", || {
        let Some(fuse) = Fuse::mount() else { return };
        // The first is mapped, and found to be torn in the middle.
        fails_with_an_io_error(fuse.path("torn"));
        fails_with_an_io_error(fuse.path("unreadable"));
    });
}

#[test]
fn files_of_the_kernel_are_copied_as_cat_prints_them() {
    in_private_shm("size=16m", || {
        for from in [
            "/proc/version",
            "/proc/filesystems",
            // It claims to have a page.
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/kernel/notes",
            "/dev/null",
        ] {
            match fs::exists(from) {
                Ok(true) => holds_what_cat_prints(from),
                _ => skipped(&format!("no {from}")),
            }
        }
    });
}

#[test]
fn a_disk_is_copied_as_cat_prints_it() {
    in_private_shm("size=16m", || {
        let Some(disk) = Disk::with_contents(&Fuse::bytes(3 << 20)) else {
            return;
        };
        holds_what_cat_prints(disk.path());
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
        // A hole: there may be no page for it, so that it cannot even be mapped.
        let file = directory.path().join("huge");
        File::create(&file).unwrap().set_len(4 << 20).unwrap();
        holds_what_cat_prints(file.to_str().unwrap());
        run(shmtool(["cat"]).arg(&file)).prints(vec![0; 4 << 20]);
        nix::mount::umount(directory.path()).unwrap();
    });
}
