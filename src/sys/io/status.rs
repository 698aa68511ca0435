//! The status of a file, without waiting for a file server: `statx(2)`, which nix does not wrap.

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{fstatat, makedev};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The status of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sys) struct Status {
    /// The device number of the file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The file type and permissions.
    pub mode: u32,
    /// The number of hard links.
    pub links: u64,
    /// The memory or disk space allocated for it, in bytes.
    pub allocated: u64,
    /// Whether the file is a mount point. The device number does not reveal a bind mount.
    pub is_mount: bool,
}

impl Status {
    /// Returns whether the file has this type, such as `S_IFREG`.
    pub fn is_type(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

/// Returns the status of a file in a directory or, with `AT_EMPTY_PATH`, of the directory itself. For FUSE and NFS
/// this returns cached values, because a request to the server might never be answered.
///
/// # Errors
///
/// Those of `statx(2)`.
pub(in crate::sys) fn status(
    directory: BorrowedFd,
    name: &CStr,
    flags: i32,
) -> nix::Result<Status> {
    let mut status = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: both pointers point to our own memory, which outlives the call.
    let result = unsafe {
        libc::statx(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::AT_STATX_DONT_SYNC,
            libc::STATX_BASIC_STATS,
            status.as_mut_ptr(),
        )
    };
    match Errno::result(result) {
        // Old sandboxes do not support statx: they return ENOSYS or EPERM. glibc then emulates the call but not the
        // flag, and returns EINVAL. fstatat may wait for a file server, but there is no alternative.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => {
            return status_without_statx(directory, name, flags);
        }
        result => result?,
    };
    // SAFETY: all zeros are a valid `statx`, and so is what the kernel stored.
    let status = unsafe { status.assume_init() };
    Ok(Status {
        device: makedev(status.stx_dev_major.into(), status.stx_dev_minor.into()),
        inode: status.stx_ino,
        mode: status.stx_mode.into(),
        links: status.stx_nlink.into(),
        allocated: status.stx_blocks * 512,
        is_mount: status.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0,
    })
}

fn status_without_statx(directory: BorrowedFd, name: &CStr, flags: i32) -> nix::Result<Status> {
    let status = fstatat(directory, name, AtFlags::from_bits_truncate(flags))?;
    // Some of these types are narrower than 64 bits on some architectures.
    #[allow(clippy::unnecessary_cast)]
    Ok(Status {
        device: status.st_dev as u64,
        inode: status.st_ino as u64,
        mode: status.st_mode,
        links: status.st_nlink as u64,
        allocated: status.st_blocks as u64 * 512,
        is_mount: false,
    })
}
