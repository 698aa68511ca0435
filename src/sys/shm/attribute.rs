//! Names the file attribute that keeps an object or its name from being changed.

use super::directory::Directory;
use super::name::ShmName;
use crate::sys::attribute;
use crate::sys::error::{Error, Result};
use nix::errno::Errno;
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
    let (base, path) = directory.at(name);
    if let Some(attribute) = attribute::protecting_at(base, &path) {
        let name = name.clone();
        return Err(Error::Protected { name, attribute });
    }
    let (base, path) = directory.root();
    match attribute::protecting_at(base, path) {
        Some(problem) => Err(Error::Directory {
            directory: Arc::clone(directory.label()),
            problem,
            hint: None,
        }),
        None => Ok(()),
    }
}
