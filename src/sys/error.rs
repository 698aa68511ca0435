//! The error type of this layer. Each error names the object or directory that it is about.

use super::shm::name::ShmName;
use humansize::{BINARY, FormatSizeOptions, SizeFormatter};
use nix::errno::Errno;
use std::io;
use std::sync::Arc;

/// A failed operation on an object or on its directory. [`Display`](std::fmt::Display) gives the message for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ENOENT`: there is no object with this name.
    #[error("{0}: no such object")]
    NotFound(ShmName),
    /// `EEXIST`: there is already an object with this name.
    #[error("{0}: already exists")]
    Exists(ShmName),
    /// The name belongs to something other than a regular file, which is left alone.
    #[error("{name}: not a shared memory object: it is {what}")]
    NotAnObject {
        /// The name.
        name: ShmName,
        /// The type of the file, with an article: "a directory".
        what: &'static str,
    },
    /// `EACCES`: the object's mode does not allow it.
    #[error("{0}: permission denied")]
    Denied(ShmName),
    /// `EPERM`: the directory is sticky, and the object belongs to another user (`unlink(2)`).
    #[error("{0}: only its owner and root may remove or replace it")]
    NotOwner(ShmName),
    /// `EPERM`: a file attribute protects the object, even from its owner (`chattr(1)`).
    #[error("{name}: {attribute}")]
    Protected {
        /// The object.
        name: ShmName,
        /// The attribute, and the command that clears it.
        attribute: &'static str,
    },
    /// The directory itself is unusable, so that no object in it can be used.
    #[error("{directory}: {problem}")]
    Directory {
        /// The name of the directory.
        directory: Arc<str>,
        /// What is wrong with the directory.
        problem: &'static str,
        /// How to fix it.
        hint: Option<&'static str>,
    },
    /// Any other failure of a system call on the directory.
    #[error("{directory}: {}", describe_errno(*errno))]
    DirectoryCall {
        /// The name of the directory.
        directory: Arc<str>,
        /// The error of the system call.
        errno: Errno,
    },
    /// The object was not shrunk, because a process that maps it could get SIGBUS (`mmap(2)`).
    #[error("{0}: not resized: it is in use, and shrinking it could crash programs that map it")]
    InUse(ShmName),
    /// Opening the object failed with `EAGAIN` until the timeout: another process holds a lease on it (`F_SETLEASE`,
    /// `fcntl(2)`).
    #[error("{0}: another process holds a lease on it and did not release it in time")]
    Leased(ShmName),
    /// Another process truncated the object after it was opened.
    #[error("{0}: another process truncated it")]
    Truncated(ShmName),
    /// SIGBUS, although the object is large enough: it was truncated and then grown again, or there was no memory to
    /// fill a hole.
    #[error("{0}: its memory is gone: another process truncated it, or no memory was left")]
    BusError(ShmName),
    /// `ENOSPC`: the file system is full.
    #[error("{name}: {} do not fit into {directory}, where {} are free", distinct_sizes(*requested, *free).0, distinct_sizes(*requested, *free).1)]
    NoSpace {
        /// The name of the directory.
        directory: Arc<str>,
        /// The object that needs the memory.
        name: ShmName,
        /// The number of bytes requested.
        requested: u64,
        /// The number of bytes free.
        free: u64,
        /// The size of the file system in bytes; 0 means no limit.
        limit: u64,
    },
    /// `EFBIG`: the size exceeds `RLIMIT_FSIZE` (`getrlimit(2)`).
    #[error("{name}: cannot {action}: the limit of the file size (ulimit -f) is {}", humanized_size(*limit))]
    FileSizeLimit {
        /// The object.
        name: ShmName,
        /// What was attempted, as a phrase that follows "cannot": "set its size".
        action: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// `ENOSPC`: the file system has no free inode.
    #[error("{name}: {inodes}")]
    NoInodes {
        /// The object that could not be created.
        name: ShmName,
        /// What uses the inodes.
        inodes: ExhaustedInodes,
    },
    /// Any other failure of a system call.
    #[error("{name}: cannot {action}: {}", describe_errno(*errno))]
    Os {
        /// The object.
        name: ShmName,
        /// What was attempted, as a phrase that follows "cannot": "map it".
        action: &'static str,
        /// The error of the system call.
        errno: Errno,
    },
}

/// All inodes of the file system are in use. A tmpfs limits their number (`nr_inodes`, `tmpfs(5)`).
#[derive(Debug, thiserror::Error)]
#[error("no inodes left in {directory} ({})", self.describe_users())]
pub struct ExhaustedInodes {
    /// The name of the directory.
    pub directory: Arc<str>,
    /// The number of inodes.
    pub total: u64,
    /// The number of inodes that belong to semaphores. `ls` hides semaphores by default.
    pub semaphores: u64,
}

impl ExhaustedInodes {
    fn describe_users(&self) -> String {
        let ExhaustedInodes {
            total, semaphores, ..
        } = self;
        match semaphores {
            0 => format!("all {total} are used"),
            1 => format!("1 of {total} is a semaphore, see ls -a"),
            _ => format!("{semaphores} of {total} are semaphores, see ls -a"),
        }
    }
}

/// Formats a number of bytes in powers of 1024, with at most one decimal: `64MiB`, `1.5KiB`.
pub fn humanized_size(bytes: u64) -> String {
    let options = FormatSizeOptions::from(BINARY).decimal_places(1);
    let size = SizeFormatter::new(bytes, options.space_after_value(false)).to_string();
    // humansize prints "1.0KiB" if it rounded the number, and "1KiB" if it did not. We always want the latter.
    size.replace(".0", "")
}

/// Formats two different numbers of bytes so that they look different. If both are humanized to the same text, exact
/// numbers of bytes are used.
pub fn distinct_sizes(one: u64, other: u64) -> (String, String) {
    let humanized = (humanized_size(one), humanized_size(other));
    match humanized.0 == humanized.1 {
        true => (format!("{one}B"), format!("{other}B")),
        false => humanized,
    }
}

/// Returns the text of an error number (`strerror(3)`), without the number that the standard library appends.
pub fn describe_errno(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let number = format!(" (os error {})", errno as i32);
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}

/// The result type of this layer.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns the next step for the user, if there is an obvious one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Directory { hint, .. } => *hint,
            Error::NoInodes { inodes, .. } if &*inodes.directory == "/dev/shm" => {
                Some("mount -o remount,nr_inodes=1M /dev/shm allows more")
            }
            Error::Denied(_) => Some("shmtool ls shows its owner and mode"),
            // 64 MiB or less: container runtimes use 64 MiB unless told otherwise.
            Error::NoSpace {
                limit: 1..=0x400_0000,
                ..
            } => Some(
                "shmtool ls shows what takes the memory; a container gets more with --shm-size=1g, a machine with mount -o remount,size=1g /dev/shm",
            ),
            _ => None,
        }
    }

    pub(super) fn os(name: &ShmName, action: &'static str, errno: Errno) -> Error {
        Error::Os {
            name: name.clone(),
            action,
            errno,
        }
    }

    /// Like [`Error::os`], for an error of the standard library that comes from a system call.
    pub(super) fn io(name: &ShmName, action: &'static str, error: &io::Error) -> Error {
        Error::os(name, action, errno(error))
    }
}

/// Returns the error number of a failed system call.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
