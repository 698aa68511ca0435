//! What the floor could not do, and to which object.

use super::shm::name::ShmName;
use humansize::{BINARY, FormatSizeOptions, SizeFormatter};
use nix::errno::Errno;
use std::io;

/// A failure, its object in it. The text is what a person is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ENOENT`.
    #[error("{0}: no such object")]
    NotFound(ShmName),
    /// `EEXIST`.
    #[error("{0}: already exists")]
    Exists(ShmName),
    /// What has the name is no regular file. It is not touched.
    #[error("{name}: not a shared memory object: it is {what}")]
    NotAnObject {
        /// The name.
        name: ShmName,
        /// What it names, with an article.
        what: &'static str,
    },
    /// `EACCES`: the object's mode does not allow it.
    #[error("{0}: permission denied")]
    Denied(ShmName),
    /// `EPERM`: the directory is sticky, and the object another user's (`unlink(2)`).
    #[error("{0}: only its owner may remove it")]
    NotOwner(ShmName),
    /// `EPERM`: a file attribute protects it, even from its owner.
    #[error("{name}: {attribute}")]
    Protected {
        /// The object.
        name: ShmName,
        /// What it is, and how to end that.
        attribute: &'static str,
    },
    /// The directory of the objects is the problem, whichever object was meant.
    #[error("/dev/shm: {problem}")]
    Directory {
        /// What is wrong with it.
        problem: &'static str,
        /// What can be done about it.
        hint: Option<&'static str>,
    },
    /// Any other failure of a system call on the directory.
    #[error("/dev/shm: {}", words(*.0))]
    DirectoryCall(Errno),
    /// It is not made smaller: who maps it would get a bus error (`mmap(2)`).
    #[error("{0}: not resized: it is in use, and shrinking it could crash programs that map it")]
    InUse(ShmName),
    /// `EAGAIN` for too long: somebody holds a lease (`F_SETLEASE`, `fcntl(2)`).
    #[error("{0}: another process holds a lease on it and did not release it in time")]
    Leased(ShmName),
    /// The object has become smaller than it was when it was opened.
    #[error("{0}: another process truncated it")]
    Truncated(ShmName),
    /// A bus error, though the object is as large as it was: it shrank and grew again, or a hole in it could not
    /// be filled.
    #[error("{0}: its memory is gone: another process truncated it, or no memory was left")]
    Lost(ShmName),
    /// `ENOSPC`: the file system of the objects is full.
    #[error("{name}: {} do not fit into /dev/shm, where {} are free", distinct_sizes(*asked, *free).0, distinct_sizes(*asked, *free).1)]
    NoSpace {
        /// The object that was to have the memory.
        name: ShmName,
        /// The bytes that were asked for.
        asked: u64,
        /// The bytes that are free.
        free: u64,
        /// The bytes that there may be at all; 0 is no limit.
        limit: u64,
    },
    /// `ENOSPC`: the file system of the objects has no room for another file, however small.
    #[error("{name}: {inodes}")]
    NoInodes {
        /// The object that was to be made.
        name: ShmName,
        /// What takes them up.
        inodes: ExhaustedInodes,
    },
    /// Any other failure of a system call.
    #[error("{name}: cannot {action}: {}", words(*errno))]
    Os {
        /// The object.
        name: ShmName,
        /// What was to be done to it, as in "cannot map it".
        action: &'static str,
        /// Why not.
        errno: Errno,
    },
}

/// The file system of the objects limits the number of its inodes (`nr_inodes`, `tmpfs(5)`), and none is free.
#[derive(Debug, thiserror::Error)]
#[error("no inodes left in /dev/shm ({})", self.users())]
pub struct ExhaustedInodes {
    /// How many there are.
    pub total: u64,
    /// How many of them are semaphores, which `ls` hides.
    pub semaphores: u64,
}

impl ExhaustedInodes {
    fn users(&self) -> String {
        let ExhaustedInodes { total, semaphores } = self;
        match semaphores {
            0 => format!("all {total} are used"),
            1 => format!("1 of {total} is a semaphore, see ls -a"),
            _ => format!("{semaphores} of {total} are semaphores, see ls -a"),
        }
    }
}

/// Shows a number of bytes in powers of 1024, with at most one decimal: `64MiB`, `1.5KiB`.
pub fn humanized_size(bytes: u64) -> String {
    let options = FormatSizeOptions::from(BINARY).decimal_places(1);
    let size = SizeFormatter::new(bytes, options.space_after_value(false)).to_string();
    // So it shows what was rounded.
    size.replace(".0", "")
}

/// Shows two sizes that differ so that they look different: in bytes if they are humanized alike.
pub fn distinct_sizes(one: u64, other: u64) -> (String, String) {
    let humanized = (humanized_size(one), humanized_size(other));
    match humanized.0 == humanized.1 {
        true => (format!("{one}B"), format!("{other}B")),
        false => humanized,
    }
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
    /// The next step that the user can take, if there is an obvious one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Directory { hint, .. } => *hint,
            Error::Denied(_) => Some("shmtool ls shows its owner and mode"),
            // As little as containers get if nothing else is said, or less.
            Error::NoSpace {
                limit: 1..=0x400_0000,
                ..
            } => Some(
                "a container gets more with --shm-size=1g, a machine with mount -o remount,size=1g /dev/shm",
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

    /// The same of an error of the standard library's, every one of which comes from a system call here.
    pub(super) fn io(name: &ShmName, action: &'static str, error: &io::Error) -> Error {
        Error::os(name, action, errno(error))
    }
}

/// The number of an error that a system call had.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
