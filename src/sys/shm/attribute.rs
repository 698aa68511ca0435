//! File attributes that protect an object even from its owner and from root: `chattr(1)`. tmpfs supports them since
//! Linux 6.6.

use super::directory::Directory;
use super::name::ShmName;
use crate::sys::error::{Error, Result};
use nix::errno::Errno;
use nix::libc;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

/// Returns the error for a failed call that should have changed an object or its name. If the call was refused because
/// of a file attribute, the error names the attribute; the errno alone does not say why.
pub(in crate::sys) fn explain_refusal(
    directory: &Directory,
    name: &ShmName,
    action: &'static str,
    errno: Errno,
) -> Error {
    let protected = match errno {
        // glibc's shm_unlink turns EPERM into EACCES.
        Errno::EPERM | Errno::EACCES => check_removable(directory, name).err(),
        _ => None,
    };
    protected.unwrap_or_else(|| Error::os(name, action, errno))
}

/// Checks that no attribute of the object or of its directory forbids removing the name (`unlink(2)`).
///
/// # Errors
///
/// [`Error::Protected`] if the object has such an attribute, [`Error::Directory`] if the directory has one.
pub fn check_removable(directory: &Directory, name: &ShmName) -> Result<()> {
    if let Some(attribute) = protecting_attribute(directory.at(name)) {
        let name = name.clone();
        return Err(Error::Protected { name, attribute });
    }
    let (base, path) = directory.root();
    match protecting_attribute((base, path.to_owned())) {
        Some(problem) => Err(Error::Directory {
            directory: Arc::clone(directory.label()),
            problem,
            hint: None,
        }),
        None => Ok(()),
    }
}

/// Describes the attribute that protects a file. Returns `None` if there is none, or if the file system or the kernel
/// does not support attributes.
fn protecting_attribute((base, path): (BorrowedFd, CString)) -> Option<&'static str> {
    let attributes = attributes(base, &path).ok()?;
    let has = |attribute: libc::c_int| attributes & attribute as u64 != 0;
    match () {
        () if has(libc::STATX_ATTR_IMMUTABLE) => Some("it is immutable (chattr -i)"),
        () if has(libc::STATX_ATTR_APPEND) => Some("it is append-only (chattr -a)"),
        () => None,
    }
}

/// Returns the attributes of a file with `statx(2)`, which nix does not wrap.
fn attributes(base: BorrowedFd, path: &CStr) -> nix::Result<u64> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path ends with a NUL. The kernel stores a `statx` into our own memory, and all zeros are a valid
    // `statx` too. The memory of the object is not accessed.
    unsafe {
        let result = libc::statx(base.as_raw_fd(), path.as_ptr(), flags, 0, stat.as_mut_ptr());
        Errno::result(result)?;
        Ok(stat.assume_init().stx_attributes)
    }
}
