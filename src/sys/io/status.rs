//! The status of a file, without waiting for a server: `statx(2)`, which nix does not wrap.

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{fstatat, makedev};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sys) struct Status {
    /// The file system.
    pub device: u64,
    /// Its number in the file system.
    pub inode: u64,
    /// The type and the permissions.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// The memory or disk space allocated for it, in bytes.
    pub allocated: u64,
    /// Something is mounted there. With `mount --bind` the device does not tell.
    pub is_mount: bool,
}

impl Status {
    /// Whether the file is of this type, such as `S_IFREG`.
    pub fn is_type(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

/// Looks at a file in a directory, or with `AT_EMPTY_PATH` at the directory. A file server (FUSE, NFS) is not asked:
/// its answer might never come.
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
    // SAFETY: both pointers are to memory of our own that outlives the call.
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
        // Old sandboxes do not know the call: ENOSYS, or EPERM, or EINVAL from glibc, which replaces the call but not
        // the flag. The older call may wait for a server, but here it is all there is.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => {
            return status_without_statx(directory, name, flags);
        }
        result => result?,
    };
    // SAFETY: zeros are a valid `statx`, and so is what the kernel stored there.
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
    // The types are narrower than 64 bits on some machines.
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
