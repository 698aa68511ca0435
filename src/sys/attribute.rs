//! File attributes that protect a file even from its owner and from root: `chattr(1)`. tmpfs supports them since Linux
//! 6.6.

use nix::errno::Errno;
use nix::libc;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Describes the attribute that protects an open file. The file may have been opened with `O_PATH`. Returns `None` if
/// there is none, or if the file system or the kernel does not support attributes.
pub(in crate::sys) fn protecting(file: impl AsFd) -> Option<&'static str> {
    describe(attributes(file.as_fd(), c"", libc::AT_EMPTY_PATH))
}

/// Like [`protecting`], for a file in a directory, which is not followed if it is a symbolic link.
pub(in crate::sys) fn protecting_at(base: BorrowedFd, path: &CStr) -> Option<&'static str> {
    describe(attributes(base, path, libc::AT_SYMLINK_NOFOLLOW))
}

fn describe(attributes: nix::Result<u64>) -> Option<&'static str> {
    let attributes = attributes.ok()?;
    let has = |attribute: libc::c_int| attributes & attribute as u64 != 0;
    match () {
        () if has(libc::STATX_ATTR_IMMUTABLE) => Some("it is immutable (chattr -i)"),
        () if has(libc::STATX_ATTR_APPEND) => Some("it is append-only (chattr -a)"),
        () => None,
    }
}

/// Returns the attributes of a file with `statx(2)`, which nix does not wrap.
fn attributes(base: BorrowedFd, path: &CStr, flags: libc::c_int) -> nix::Result<u64> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let flags = flags | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path ends with a NUL. The kernel stores a `statx` into our own memory, and all zeros are a valid
    // `statx` too. The memory of the file is not accessed.
    unsafe {
        let result = libc::statx(base.as_raw_fd(), path.as_ptr(), flags, 0, stat.as_mut_ptr());
        Errno::result(result)?;
        Ok(stat.assume_init().stx_attributes)
    }
}
