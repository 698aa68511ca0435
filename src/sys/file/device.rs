//! What the kernel tells about devices: their numbers, their directories in sysfs, and `ioctl(2)`.

use nix::libc::{self, dev_t};
use nix::sys::stat::{major, minor};
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Where sysfs is mounted.
const SYSFS: &str = "/sys";

/// Returns whether a character device is `/dev/null`, `/dev/zero` or `/dev/full` (`null(4)`, `full(4)`). Each shared
/// mapping of `/dev/zero` is new memory, so that a store into it is lost.
pub fn keeps_nothing(device: dev_t) -> bool {
    [3, 5, 7].contains(&minor(device)) && major(device) == 1
}

/// Returns the kind of a character device that must not be opened, because opening or closing it has an effect: a serial
/// line is reset, a tape is rewound, a watchdog reboots the machine. None of them has memory that can be mapped.
pub fn kind_without_memory(device: dev_t) -> Option<&'static str> {
    let by_number = match (major(device), minor(device)) {
        (10, 130) => Some("a watchdog"),
        // Pseudoterminals are not in sysfs, and sysfs may not be mounted. The numbers are in devices.txt of the kernel.
        (4 | 5 | 136..=143 | 166 | 188 | 204, _) => Some("a terminal"),
        (9 | 206, _) => Some("a tape drive"),
        _ => None,
    };
    by_number.or_else(|| match &*subsystem(Path::new(SYSFS), device)? {
        "tty" => Some("a terminal"),
        "scsi_tape" => Some("a tape drive"),
        "watchdog" => Some("a watchdog"),
        _ => None,
    })
}

/// Returns the name of the subsystem of a character device, such as `tty`.
fn subsystem(sysfs: &Path, device: dev_t) -> Option<String> {
    let link = fs::read_link(directory(sysfs, "char", device).join("subsystem")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Returns the directory of a device in sysfs (`sysfs(5)`).
fn directory(sysfs: &Path, kind: &str, device: dev_t) -> PathBuf {
    let (major, minor) = (major(device), minor(device));
    sysfs.join(format!("dev/{kind}/{major}:{minor}"))
}

/// Returns whether a block device is read-only.
pub fn is_read_only(device: dev_t) -> bool {
    let path = directory(Path::new(SYSFS), "block", device).join("ro");
    fs::read(path).is_ok_and(|text| text.trim_ascii() == b"1")
}

/// The first memory region of a UIO device (userspace I/O). The offset of `mmap(2)` chooses the region, so that region 0
/// can only be mapped from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UioRegion {
    /// Bytes from the start of the first page to the first byte of the region.
    pub page_offset: u64,
    /// The number of bytes.
    pub size: u64,
}

impl UioRegion {
    /// Returns the region 0 of a character device, or None if it is not a UIO device or has no memory.
    pub fn of(device: dev_t) -> Option<UioRegion> {
        UioRegion::at(Path::new(SYSFS), device)
    }

    fn at(sysfs: &Path, device: dev_t) -> Option<UioRegion> {
        if subsystem(sysfs, device)? != "uio" {
            return None;
        }
        let map = directory(sysfs, "char", device).join("maps/map0");
        let number = |name| {
            let text = fs::read_to_string(map.join(name)).ok()?;
            let digits = text.trim().strip_prefix("0x")?;
            u64::from_str_radix(digits, 16).ok()
        };
        Some(UioRegion {
            size: number("size")?,
            page_offset: number("offset").unwrap_or(0),
        })
    }
}

/// Returns the size of a block device in bytes: `BLKGETSIZE64`, `ioctl(2)`.
///
/// # Errors
///
/// Those of `ioctl(2)`.
pub fn block_device_size(file: BorrowedFd) -> nix::Result<u64> {
    // <linux/fs.h> declares the argument as size_t by mistake. It is always 64 bits.
    mod ioctl {
        nix::ioctl_read_bad!(
            blkgetsize64,
            nix::request_code_read!(0x12, 114, size_of::<nix::libc::size_t>()),
            u64
        );
    }
    let mut size = 0;
    // SAFETY: the kernel stores 64 bits into our own variable. The memory of the device is not accessed.
    unsafe { ioctl::blkgetsize64(file.as_raw_fd(), &mut size) }?;
    Ok(size)
}

/// Describes a type of file that contains no integers, with an article, or returns None for other types.
pub fn unusable_type(mode: libc::mode_t) -> Option<&'static str> {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => Some("a directory"),
        libc::S_IFIFO => Some("a pipe or FIFO"),
        libc::S_IFSOCK => Some("a socket"),
        libc::S_IFLNK => Some("a symbolic link"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::makedev;
    use std::os::unix::fs::symlink;

    #[test]
    fn devices_that_keep_nothing_are_recognized() {
        for (number, expected) in [((1, 3), true), ((1, 5), true), ((1, 7), true)]
            .into_iter()
            .chain([((1, 1), false), ((1, 8), false), ((5, 5), false)])
        {
            let device = makedev(number.0, number.1);
            assert_eq!(keeps_nothing(device), expected, "{number:?}");
        }
    }

    #[test]
    fn terminals_tapes_and_watchdogs_are_recognized() {
        for major in [4, 5, 136, 143, 166, 188, 204] {
            assert_eq!(kind_without_memory(makedev(major, 3)), Some("a terminal"));
        }
        for major in [9, 206] {
            let kind = kind_without_memory(makedev(major, 0));
            assert_eq!(kind, Some("a tape drive"));
        }
        assert_eq!(kind_without_memory(makedev(10, 130)), Some("a watchdog"));
        assert_eq!(kind_without_memory(makedev(1, 1)), None);
        let sysfs = tempfile::tempdir().unwrap();
        let device = sysfs.path().join("dev/char/9:0");
        fs::create_dir_all(&device).unwrap();
        symlink("../../class/scsi_tape", device.join("subsystem")).unwrap();
        let subsystem = subsystem(sysfs.path(), makedev(9, 0));
        assert_eq!(subsystem.as_deref(), Some("scsi_tape"));
    }

    #[test]
    fn the_first_region_of_a_uio_device_is_read_from_sysfs() {
        let sysfs = tempfile::tempdir().unwrap();
        let (device, directory) = (makedev(240, 1), sysfs.path().join("dev/char/240:1"));
        fs::create_dir_all(directory.join("maps/map0")).unwrap();
        let region = || UioRegion::at(sysfs.path(), device);
        symlink("../../class/uio", directory.join("subsystem")).unwrap();
        assert_eq!(region(), None);
        fs::write(directory.join("maps/map0/size"), "0x0000000000001000\n").unwrap();
        let (size, page_offset) = (0x1000, 0);
        assert_eq!(region(), Some(UioRegion { page_offset, size }));
        fs::write(directory.join("maps/map0/offset"), "0x40\n").unwrap();
        let page_offset = 0x40;
        assert_eq!(region(), Some(UioRegion { page_offset, size }));
        fs::remove_file(directory.join("subsystem")).unwrap();
        symlink("../../class/drm", directory.join("subsystem")).unwrap();
        assert_eq!(region(), None);
    }
}
