//! Where integers are looked for: under the name of a shared memory object, or in a file.

use super::holder::Holder;
use super::place;
use crate::cli::{Operand, Place};
use crate::exit::{Failure, with_hint};
use crate::sys::error::Error;
use crate::sys::file::error::FileError;
use crate::sys::file::source::FileSource;
use crate::sys::io::watch::Watch;
use crate::sys::memory::access::Access;
use crate::sys::memory::int::Int;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::anyhow;
use nix::errno::Errno;
use std::ffi::OsStr;
use std::path::Path;

/// Where integers are looked for. What is found there can change.
pub enum Origin {
    /// A name in a directory of objects.
    Object { directory: Directory, name: ShmName },
    /// A path, or a descriptor.
    File(FileSource),
}

/// What was seen last, while waiting.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum State {
    #[error("no such {0}")]
    Missing(&'static str),
    #[error("the {0} has only {1} bytes")]
    TooSmall(&'static str, u64),
    #[error("another process truncated it")]
    Truncated,
    #[error("another process holds a lease on it")]
    Leased,
    #[error("the value is {0}")]
    Value(Int),
}

impl Origin {
    /// Prepares to look for the operand. Call this before anything else is opened.
    ///
    /// # Errors
    ///
    /// Fails if the operand is not a NAME or an inherited descriptor, or if its container may not be entered.
    pub fn new(operand: Operand) -> anyhow::Result<Origin> {
        Ok(match operand {
            Operand::File(path) => Origin::File(FileSource::new(&path)?),
            Operand::Object { name, target } => Origin::Object {
                directory: place::enter(target.as_ref())?,
                name,
            },
        })
    }

    /// The operand for messages.
    pub fn label(&self) -> String {
        match self {
            Origin::Object { name, .. } => name.to_string(),
            Origin::File(source) => source.label().to_owned(),
        }
    }

    /// What the operand is called in messages.
    fn noun(&self) -> &'static str {
        match self {
            Origin::Object { .. } => "object",
            Origin::File(_) => "file",
        }
    }

    /// Opens what is there now.
    ///
    /// # Errors
    ///
    /// Those of [`Object::open`] and [`FileSource::open`]. If there is nothing, but there is something of that name of the
    /// other kind, a hint says so.
    pub fn open(&self, access: Access) -> anyhow::Result<Holder> {
        match self {
            Origin::Object { directory, name } => match Object::open(directory, name, access) {
                Err(error @ Error::NotFound(_)) if is_file(directory, name) => Err(with_hint(
                    &error.into(),
                    "to use the file of that name, add --file",
                )),
                result => Ok(Holder::Object(result?)),
            },
            Origin::File(source) => match source.open(access) {
                Err(error) if error.is_missing() && is_object(source.label()) => Err(with_hint(
                    &error.into(),
                    "to use the shared memory object of that name, omit --file",
                )),
                result => Ok(Holder::File(result?)),
            },
        }
    }

    /// Returns whether an error of [`open`](Self::open) means that there is nothing.
    pub fn is_missing(&self, error: &anyhow::Error) -> bool {
        match self {
            // Only for something that is missing, `open` adds a hint, which makes the error a Failure.
            _ if error.is::<Failure>() => true,
            Origin::Object { .. } => matches!(error.downcast_ref(), Some(Error::NotFound(_))),
            Origin::File(_) => error.downcast_ref().is_some_and(FileError::is_missing),
        }
    }

    /// Returns whether what is missing or too small may be waited for: an object always, a file only if it was there
    /// before.
    pub fn may_wait_for(&self, is_first: bool) -> bool {
        matches!(self, Origin::Object { .. }) || !is_first
    }

    /// The state in which there is nothing.
    pub fn missing(&self) -> State {
        State::Missing(self.noun())
    }

    /// The state in which the last byte of the integer is missing.
    pub fn truncated(&self, size: u64) -> State {
        State::TooSmall(self.noun(), size)
    }

    /// Returns the error for something that ends before the last of its integers does.
    pub fn too_small(&self, place: &Place, count: u64, size: u64) -> anyhow::Error {
        let (type_name, offset, end) = (place.int_type.name(), place.offset, place.end(count));
        let need = match count {
            1 => format!("{type_name} at offset {offset} needs"),
            _ => format!("{count} {type_name} at offset {offset} need"),
        };
        let (label, noun) = (self.label(), self.noun());
        anyhow!("{label}: too small: {need} {end} bytes, the {noun} has {size}")
    }

    /// Returns whether nobody will ever change anything here again: the container has ended.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Origin::Object { directory, .. } => directory.is_abandoned(),
            Origin::File(_) => false,
        }
    }

    /// Starts to watch the directory.
    ///
    /// # Errors
    ///
    /// Those of `inotify_add_watch(2)`; `ENOTDIR` for a descriptor, which has none.
    pub fn watch(&self) -> nix::Result<Watch> {
        match self {
            Origin::Object { directory, .. } => Watch::new(&directory.path()),
            Origin::File(source) => Watch::new(&source.watch_path().ok_or(Errno::ENOTDIR)?),
        }
    }

    /// Returns whether the name or path still leads to what was opened.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn leads_to(&self, holder: &Holder) -> anyhow::Result<bool> {
        match (holder, self) {
            (Holder::Object(object), _) => Ok(object.is_still_linked()?),
            (Holder::File(file), Origin::File(source)) => Ok(source.leads_to(file)),
            (Holder::File(_), Origin::Object { .. }) => Ok(false),
        }
    }

    /// Returns the size in bytes of what was opened, or None if the name or path no longer leads to it.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn size_of_current(&self, holder: &Holder) -> anyhow::Result<Option<u64>> {
        match holder {
            Holder::Object(object) => Ok(object.linked_status()?.map(|status| status.size)),
            Holder::File(_) if !self.leads_to(holder)? => Ok(None),
            Holder::File(_) => Ok(Some(holder.size()?)),
        }
    }
}

/// Returns whether the current directory has a file with the name of an object.
pub fn is_file(directory: &Directory, name: &ShmName) -> bool {
    directory.is_own() && Path::new(name.file_name()).is_file()
}

/// Returns whether there is an object with the name of a file.
fn is_object(path: &str) -> bool {
    let name = ShmName::new(OsStr::new(path));
    name.is_ok_and(|name| Directory::own().stat(&name).is_ok())
}
