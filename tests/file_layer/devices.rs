//! Block devices, character devices and sysfs.

use super::*;
use crate::common::disk::Disk;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::path::PathBuf;

#[test]
fn a_store_into_a_block_device_reaches_the_disk() {
    let Some(disk) = Disk::writable(&[0; 64 << 10]) else {
        return;
    };
    let opened = open(disk.path(), Access::ReadWrite).unwrap();
    assert_eq!(opened.kind(), FileKind::Block);
    assert_eq!(opened.size().unwrap(), Some(64 << 10));
    assert!(!opened.is_hole(0, 4));
    let start = (64 << 10) - 4;
    store(&opened, start, 0x01020304).unwrap();
    let mapping = opened.map(start, INT, Access::ReadWrite).unwrap();
    opened.sync(&mapping).unwrap();
    assert_eq!(
        disk.contents()[start as usize..],
        0x01020304_i32.to_ne_bytes()
    );
    let error = opened.check_not_truncated(start + 5).unwrap_err();
    assert!(error.is_truncated(), "{error}");
}

#[test]
fn a_read_only_block_device_can_only_be_read() {
    let Some(disk) = Disk::with_contents(&[1; 4096]) else {
        return;
    };
    let opened = open(disk.path(), Access::Read).unwrap();
    assert_eq!(load(&opened, 0), 0x01010101);
    assert_eq!(
        refusal(disk.path(), Access::ReadWrite),
        "the device is read-only"
    );
}

#[test]
fn devices_that_keep_nothing_are_rejected() {
    for path in ["/dev/zero", "/dev/null", "/dev/full"] {
        for access in [Access::Read, Access::ReadWrite] {
            let message = "this device keeps nothing that is stored in it";
            assert_eq!(refusal(path, access), message);
        }
    }
}

#[test]
fn terminals_are_rejected_without_opening_them() {
    for path in ["/dev/ptmx", "/dev/tty", "/dev/console"] {
        if Path::new(path).exists() {
            let message = "a terminal has no memory that can be mapped";
            assert_eq!(refusal(path, Access::Read), message);
        }
    }
}

#[test]
fn a_device_without_mappings_is_rejected() {
    let opened = open("/dev/urandom", Access::Read).unwrap();
    let flags = fcntl(&opened, FcntlArg::F_GETFL).unwrap();
    assert!(OFlag::from_bits_retain(flags).contains(OFlag::O_SYNC));
    assert_eq!(
        (opened.kind(), opened.size().unwrap()),
        (FileKind::Device, None)
    );
    let error = opened.map(0, INT, Access::Read).unwrap_err();
    let message = "/dev/urandom: the device has no memory that can be mapped";
    assert_eq!(error.to_string(), message);
    assert_eq!(
        opened.pread(0, IntType::U8).unwrap_err().to_string(),
        message
    );
}

#[test]
fn a_device_that_does_not_exist_is_reported() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("device");
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    // The major numbers 60 to 63 are reserved for experiments.
    if mknod(
        &path,
        SFlag::S_IFCHR,
        mode,
        nix::sys::stat::makedev(60, 250),
    )
    .is_err()
    {
        return skipped("no right to make devices");
    }
    let message = "cannot open it: No such device or address";
    assert_eq!(refusal(&path, Access::Read), message);
}

#[test]
fn devices_on_a_file_system_without_devices_are_explained() {
    in_private_shm("size=1m", || {
        let path = Path::new("/dev/shm/device");
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        if mknod(path, SFlag::S_IFCHR, mode, nix::sys::stat::makedev(1, 9)).is_err() {
            return skipped("no right to make devices");
        }
        let message = "its file system is mounted with nodev, so devices on it cannot be opened";
        assert_eq!(refusal(path, Access::Read), message);
    });
}

#[test]
fn files_on_sysfs_are_devices() {
    let text = "/sys/kernel/mm/transparent_hugepage/enabled";
    if let Ok(opened) = open(text, Access::Read) {
        assert_eq!(opened.kind(), FileKind::Device);
        let error = opened.map(0, INT, Access::Read).unwrap_err();
        assert!(matches!(error, FileError::WithoutMemory { .. }), "{error}");
    }
    // Do not map it: reading a register may have effects.
    let Some(resource) = pci_resource() else {
        return skipped("no PCI device");
    };
    let size = fs::metadata(&resource).unwrap().len();
    match open(&resource, Access::Read) {
        Ok(opened) => {
            assert_eq!(
                (opened.kind(), opened.size().unwrap()),
                (FileKind::Device, Some(size))
            );
            let far = opened.map(size + (1 << 30), INT, Access::Read).unwrap_err();
            assert!(matches!(far, FileError::OutOfRange { .. }), "{far}");
        }
        Err(error) => assert!(matches!(error, FileError::Denied(_)), "{error}"),
    }
}

/// A memory region of a PCI device.
fn pci_resource() -> Option<PathBuf> {
    let devices = fs::read_dir("/sys/bus/pci/devices").ok()?;
    let mut files = devices.flatten().flat_map(|device| {
        (0..6).map(move |region| device.path().join(format!("resource{region}")))
    });
    files.find(|file| file.exists())
}

#[test]
fn physical_memory_is_refused_in_words() {
    match open("/dev/mem", Access::Read) {
        Err(error) => skipped(&error.to_string()),
        Ok(opened) => {
            assert_eq!(
                (opened.kind(), opened.size().unwrap()),
                (FileKind::Device, None)
            );
            let error = opened.map(1 << 60, INT, Access::Read).unwrap_err();
            let is_named = matches!(
                error,
                FileError::OutOfRange { .. } | FileError::Restricted(_)
            );
            assert!(is_named, "{error}");
        }
    }
}
