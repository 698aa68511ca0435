//! What the floor could not do, and to which object.

use super::name::ShmName;
use nix::errno::Errno;
use std::io;

/// A failure, its object in it. The text is what a person is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}: no such object")]
    NotFound(ShmName),
    #[error("{0}: the object exists already")]
    Exists(ShmName),
    #[error("{name}: not a shared memory object but {what}")]
    NotAnObject { name: ShmName, what: &'static str },
    #[error("{0}: permission denied; 'shmtool ls' shows its owner and mode")]
    Denied(ShmName),
    #[error("{0}: only its owner may remove it")]
    NotOwner(ShmName),
    #[error("{0}: somebody holds a lease on it and did not let go in time")]
    Leased(ShmName),
    #[error("{0}: another process truncated it meanwhile")]
    Truncated(ShmName),
    #[error("{name}: {asked} bytes do not fit into /dev/shm, where {free} bytes are free")]
    NoSpace {
        name: ShmName,
        asked: u64,
        free: u64,
    },
    #[error("{name}: cannot {action}: {}", words(*errno))]
    Os {
        name: ShmName,
        action: &'static str,
        errno: Errno,
    },
}

/// The system's words for an error, `strerror(3)`, without the number that the standard library adds.
pub fn words(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let number = format!(" (os error {})", errno as i32);
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}

/// What the floor returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn os(name: &ShmName, action: &'static str, errno: Errno) -> Error {
        Error::Os {
            name: name.clone(),
            action,
            errno,
        }
    }

    /// The same of an error of the standard library's, every one of which comes from a system call here.
    pub(super) fn io(name: &ShmName, action: &'static str, error: &io::Error) -> Error {
        Error::os(
            name,
            action,
            Errno::from_raw(error.raw_os_error().unwrap_or_default()),
        )
    }
}
