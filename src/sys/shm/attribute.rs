//! File attributes that protect an object even from its owner and root: `chattr(1)`. Tmpfs has them since
//! Linux 6.6.

use super::directory::Directory;
use super::name::ShmName;
use crate::sys::error::{Error, Result};
use nix::errno::Errno;
use nix::libc;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The error of a call that was to change an object or its name. `EPERM` says only that something
/// forbids it.
pub(in crate::sys) fn refusal(
    directory: &Directory,
    name: &ShmName,
    action: &'static str,
    errno: Errno,
) -> Error {
    let protection = match errno {
        // glibc's shm_unlink makes EACCES of it.
        Errno::EPERM | Errno::EACCES => check_removable(directory, name).err(),
        _ => None,
    };
    protection.unwrap_or_else(|| Error::os(name, action, errno))
}

/// Makes sure that no attribute forbids removing the name, `unlink(2)`: one of the object, or one of its directory.
///
/// # Errors
///
/// The attribute that forbids it.
pub fn check_removable(directory: &Directory, name: &ShmName) -> Result<()> {
    if let Some(attribute) = protection(&directory.path_of(name)) {
        let name = name.clone();
        return Err(Error::Protected { name, attribute });
    }
    match protection(directory.path()) {
        Some(problem) => Err(Error::Directory {
            problem,
            hint: None,
        }),
        None => Ok(()),
    }
}

/// What protects a file, in words. A file system or kernel that does not tell has nothing to tell.
fn protection(path: &Path) -> Option<&'static str> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let attributes = attributes(&path).ok()?;
    let has = |attribute: libc::c_int| attributes & attribute as u64 != 0;
    match () {
        () if has(libc::STATX_ATTR_IMMUTABLE) => Some("it is immutable (chattr -i)"),
        () if has(libc::STATX_ATTR_APPEND) => Some("it is append-only (chattr -a)"),
        () => None,
    }
}

/// nix does not wrap `statx(2)`.
fn attributes(path: &CStr) -> nix::Result<u64> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the path ends with a NUL, and the kernel stores a `statx` into memory of our own, for which zeros are
    // valid too. No memory of the object is touched.
    unsafe {
        let result = libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, 0, stat.as_mut_ptr());
        Errno::result(result)?;
        Ok(stat.assume_init().stx_attributes)
    }
}
