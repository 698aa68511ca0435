//! File systems that behave differently: tmpfs, overlayfs, FUSE.

use super::*;
use crate::common::fuse::Fuse;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

#[test]
fn reading_a_hole_on_tmpfs_allocates_nothing() {
    in_private_shm("size=1m", || {
        let path = Path::new("/dev/shm/file");
        File::create(path).unwrap().set_len(8192).unwrap();
        let opened = open(path, Access::Read).unwrap();
        assert!(opened.is_hole(0, 8192));
        assert_eq!(opened.pread(0, IntType::I32).unwrap().value(), 0);
        let mapping = opened.map(0, INT, Access::Read).unwrap();
        assert_eq!(fs::metadata(path).unwrap().blocks(), 0);
        // A load would allocate a page.
        mapping.load(0, IntType::I32).unwrap();
        assert_eq!(fs::metadata(path).unwrap().blocks(), 8);
    });
}

#[test]
fn a_full_file_system_is_reported_before_and_after_a_store() {
    in_private_shm("size=256k", || {
        let path = Path::new("/dev/shm/file");
        File::create(path).unwrap().set_len(8192).unwrap();
        let opened = open(path, Access::ReadWrite).unwrap();
        store(&opened, 0, 1).unwrap();
        fs::write("/dev/shm/rest", vec![1; 252 << 10]).unwrap();
        let message = "/dev/shm/file: no space left on its file system (0B free)";
        assert_eq!(store(&opened, 4096, 1).unwrap_err().to_string(), message);
        let mapping = opened.map(4096, INT, Access::ReadWrite).unwrap();
        assert!(mapping.store(0, int(1)).is_err());
        assert_eq!(opened.bus_error(4100).to_string(), message);
        store(&opened, 0, 2).unwrap();
        assert_eq!(opened.size().unwrap(), Some(8192));
    });
}

#[test]
fn a_full_disk_is_reported() {
    in_private_shm("size=8m", || {
        let (image, directory) = ("/dev/shm/image", "/dev/shm/mounted");
        File::create(image).unwrap().set_len(4 << 20).unwrap();
        fs::create_dir(directory).unwrap();
        let succeeds = |program: &str, args: &[&str]| {
            let ended = Command::new(program).args(args).output();
            ended.is_ok_and(|output| output.status.success())
        };
        if !succeeds("mkfs.ext4", &["-q", image])
            || !succeeds("mount", &["-o", "loop", image, directory])
        {
            return skipped("no ext4 on a loop device");
        }
        let [opened, sparse] = ["file", "sparse"].map(|name| {
            let path = Path::new(directory).join(name);
            File::create(&path).unwrap().set_len(4096).unwrap();
            open(&path, Access::ReadWrite).unwrap()
        });
        store(&opened, 0, 1).unwrap();
        // ext4 refuses some writes although there are free blocks, until earlier ones are on the disk.
        let mut rest = File::create(Path::new(directory).join("rest")).unwrap();
        while rest.write(&[1; 1024]).is_ok() {
            rest.sync_all().unwrap();
        }
        drop(rest);
        let error = store(&sparse, 0, 1).unwrap_err();
        assert!(matches!(error, FileError::NoSpace { .. }), "{error}");
        store(&opened, 0, 2).unwrap();
        let mapping = opened.map(0, INT, Access::ReadWrite).unwrap();
        opened.sync(&mapping).unwrap();
        drop((mapping, opened, sparse));
        assert!(succeeds("umount", &[directory]));
    });
}

#[test]
fn files_are_opened_without_proc() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/file", [0; 8]).unwrap();
        if umount2("/proc", MntFlags::MNT_DETACH).is_err() {
            return skipped("no right to unmount");
        }
        let source = source("/dev/shm/file");
        let opened = source.open(Access::ReadWrite).unwrap();
        store(&opened, 0, 1).unwrap();
        assert!(source.leads_to(&opened));
        let reader = File::open("/dev/shm/file").unwrap();
        let descriptor = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(load(&open(&descriptor, Access::Read).unwrap(), 0), 1);
        let message = "the descriptor is read-only, and the file cannot be opened again: No such file or directory";
        assert_eq!(refusal(&descriptor, Access::ReadWrite), message);
    });
}

#[test]
fn a_read_only_file_system_is_reported() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/file", [0; 8]).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        // With root of a user namespace only, these flags cannot be taken away.
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let none = None::<&str>;
        if mount(none, "/dev/shm", none, flags, none).is_err() {
            return skipped("no right to mount");
        }
        let message = "its file system is read-only";
        assert_eq!(refusal("/dev/shm/file", Access::ReadWrite), message);
        open("/dev/shm/file", Access::Read).unwrap();
    });
}

#[test]
fn a_file_on_an_overlay_is_opened_again_at_each_look() {
    in_private_shm("size=1m", || {
        for directory in ["lower", "upper", "work", "merged"] {
            fs::create_dir(Path::new("/dev/shm").join(directory)).unwrap();
        }
        fs::write("/dev/shm/lower/file", [0; 8]).unwrap();
        let options = "lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper,workdir=/dev/shm/work";
        let (kind, target) = (Some("overlay"), "/dev/shm/merged");
        if mount(kind, target, kind, MsFlags::empty(), Some(options)).is_err() {
            return skipped("no overlayfs");
        }
        let source_of_path = source("/dev/shm/merged/file");
        let inherited = File::open("/dev/shm/merged/file").unwrap();
        let source_of_descriptor = source(format!("/dev/fd/{}", inherited.as_raw_fd()));
        let early = source_of_path.open(Access::Read).unwrap();
        assert!(early.is_on_overlay());
        let early_mapping = early.map(0, INT, Access::Read).unwrap();
        store(&source_of_path.open(Access::ReadWrite).unwrap(), 0, 7).unwrap();
        assert!(source_of_path.leads_to(&early));
        assert_eq!(early_mapping.load(0, IntType::I32).unwrap().value(), 0);
        for source in [source_of_path, source_of_descriptor] {
            assert_eq!(load(&source.open(Access::Read).unwrap(), 0), 7);
        }
        // The upper directory is on tmpfs, where loads from holes allocate pages.
        File::create("/dev/shm/merged/sparse")
            .unwrap()
            .set_len(8192)
            .unwrap();
        let sparse = open("/dev/shm/merged/sparse", Access::Read).unwrap();
        assert!(sparse.is_hole(0, 8192) && !early.is_hole(0, 4));
    });
}

#[test]
fn a_file_that_cannot_be_mapped_is_read() {
    in_private_shm("size=1m", || {
        let Some(fuse) = Fuse::mount() else { return };
        let bytes = Fuse::bytes(16);
        let expected = i128::from(i32::from_ne_bytes(bytes[4..8].try_into().unwrap()));
        let opened = open(fuse.path("direct"), Access::Read).unwrap();
        let error = opened.map(4, INT, Access::Read).unwrap_err();
        assert!(error.is_not_mappable(), "{error}");
        assert!(!opened.is_hole(4, 4));
        assert_eq!(opened.pread(4, IntType::I32).unwrap().value(), expected);
        let error = opened.pread(49998, IntType::I32).unwrap_err();
        assert!(error.is_truncated(), "{error}");
        // With a cache it can be mapped.
        let opened = open(fuse.path("less"), Access::Read).unwrap();
        assert_eq!(load(&opened, 4), expected);
    });
}
