//! The errors of this module. Each names the file that it is about.

use crate::sys::attribute;
use crate::sys::error::{describe_errno, humanized_size};
use crate::sys::memory::access::Access;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The name of a file for messages: escaped, as the user wrote it.
pub type Label = Arc<str>;

/// A failed operation on a file. [`Display`](std::fmt::Display) gives the message for the user.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// `ENOENT`: there is no file at the path.
    #[error("{0}: No such file or directory")]
    Missing(Label),
    /// The descriptor was not open when the process started.
    #[error("{0}: there is no such descriptor: it was not open when shmtool started")]
    NotOpen(Label),
    /// It is neither a regular file nor a device.
    #[error("{label}: it is {what}; only regular files and devices contain integers")]
    WrongType {
        /// The file.
        label: Label,
        /// The type of the file, with an article: "a directory".
        what: &'static str,
    },
    /// A device that keeps nothing: `/dev/zero`, `/dev/null`, `/dev/full`.
    #[error("{0}: this device keeps nothing that is stored in it")]
    KeepsNothing(Label),
    /// A device that has no memory to map, and that was not opened because even that has an effect.
    #[error("{label}: {what} has no memory that can be mapped")]
    WithoutMemory {
        /// The file.
        label: Label,
        /// The kind of device, with an article: "a terminal".
        what: &'static str,
    },
    /// `EACCES`: the mode of the file or of a directory in the path does not allow it.
    #[error("{0}: permission denied")]
    Denied(Label),
    /// `EACCES` for a device on a file system that is mounted with `nodev`.
    #[error("{0}: its file system is mounted with nodev, so devices on it cannot be opened")]
    NoDevices(Label),
    /// The inherited descriptor does not allow the access, and the file cannot be opened again (`open(2)`).
    #[error("{label}: the descriptor is {mode}, and the file cannot be opened again: {}", describe_errno(*errno))]
    DescriptorMode {
        /// The file.
        label: Label,
        /// What the descriptor allows: "read-only".
        mode: &'static str,
        /// Why the file could not be opened again.
        errno: Errno,
    },
    /// Opening the file failed with `EAGAIN` until the timeout: another process holds a lease on it (`F_SETLEASE`,
    /// `fcntl(2)`).
    #[error("{0}: another process holds a lease on it and did not release it in time")]
    Leased(Label),
    /// `EROFS`, or a block device that is read-only.
    #[error("{label}: {what} is read-only")]
    ReadOnly {
        /// The file.
        label: Label,
        /// What is read-only: "its file system".
        what: &'static str,
    },
    /// `EPERM`: a memfd is sealed (`F_ADD_SEALS`, `fcntl(2)`).
    #[error("{label}: it is sealed against writing ({seal})")]
    Sealed {
        /// The file.
        label: Label,
        /// The seal: "F_SEAL_WRITE".
        seal: &'static str,
    },
    /// `EPERM`: a file attribute protects the file, even from its owner (`chattr(1)`).
    #[error("{label}: {attribute}")]
    Protected {
        /// The file.
        label: Label,
        /// The attribute, and the command that clears it.
        attribute: &'static str,
    },
    /// `ETXTBSY` from `open(2)`: the file is being executed.
    #[error("{0}: it cannot be changed, because it is a program that is running")]
    RunningProgram(Label),
    /// `ETXTBSY` from `mmap(2)` or `pwrite(2)`: the file is in use by `swapon(2)`.
    #[error("{0}: it cannot be changed, because the system swaps to it (see swapon --show)")]
    SwapSpace(Label),
    /// The file system or the driver does not support shared mappings.
    #[error("{label}: it cannot be mapped shared: {}", describe_errno(*errno))]
    NotMappable {
        /// The file.
        label: Label,
        /// The error of `mmap(2)`.
        errno: Errno,
    },
    /// The bytes are not within the memory of a device.
    #[error(
        "{label}: the device has no memory at the bytes {start} to {end}, or does not let it be mapped"
    )]
    OutOfRange {
        /// The file.
        label: Label,
        /// The first byte that is needed.
        start: u64,
        /// The byte after the last one that is needed.
        end: u64,
    },
    /// `EPERM` from `mmap(2)` of a device, such as `/dev/mem`.
    #[error(
        "{0}: the kernel does not allow access to this memory (CONFIG_STRICT_DEVMEM or lockdown)"
    )]
    Restricted(Label),
    /// The descriptor was opened with `O_APPEND`, so that `pwrite(2)` would write at the end of the file.
    #[error("{0}: its descriptor appends (O_APPEND), and so cannot change what the file contains")]
    Appends(Label),
    /// Another process truncated the file after it was opened.
    #[error("{0}: another process truncated it")]
    Truncated(Label),
    /// The file system is full, and the integer is in a hole or must be copied on write.
    #[error("{label}: no space left on its file system ({} free)", humanized_size(*free))]
    NoSpace {
        /// The file.
        label: Label,
        /// The number of bytes free.
        free: u64,
    },
    /// The file system does not let a page be changed, although the page can be read and there seems to be enough free
    /// space. What btrfs reports as free may not be usable.
    #[error("{0}: no space left on its file system for the change, or a quota is exceeded")]
    NoSpaceOrQuota(Label),
    /// SIGBUS, or `EFAULT` from a system call, for an unknown reason.
    #[error(
        "{0}: the kernel cannot provide its memory: there was an I/O error, or another process truncated it"
    )]
    BusError(Label),
    /// Any other failure of a system call.
    #[error("{label}: cannot {action}: {}", describe_errno(*errno))]
    Os {
        /// The file.
        label: Label,
        /// What was attempted, as a phrase that follows "cannot": "map it".
        action: &'static str,
        /// The error of the system call.
        errno: Errno,
    },
}

impl FileError {
    /// Returns whether there is no file at the path. It may appear later.
    pub fn is_missing(&self) -> bool {
        match self {
            FileError::Missing(_) => true,
            FileError::Os { errno, .. } => *errno == Errno::ENOTDIR,
            _ => false,
        }
    }

    /// Returns whether the file cannot be mapped shared. [`IntFile::pread`](super::int_file::IntFile::pread) and
    /// [`IntFile::pwrite`](super::int_file::IntFile::pwrite) may still work.
    pub fn is_not_mappable(&self) -> bool {
        matches!(self, FileError::NotMappable { .. })
    }

    /// Returns whether the file became too small, so that it may be waited for.
    pub fn is_truncated(&self) -> bool {
        matches!(self, FileError::Truncated(_))
    }

    /// Returns whether memory could not be accessed for no reason that is known for sure.
    pub fn is_lost(&self) -> bool {
        matches!(self, FileError::NoSpaceOrQuota(_) | FileError::BusError(_))
    }

    /// Returns the next step for the user, if there is an obvious one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            FileError::DescriptorMode { .. } | FileError::Appends(_) => {
                Some("in a shell, 3<>FILE opens descriptor 3 for reading and writing")
            }
            _ => None,
        }
    }

    /// Returns the error for a call that was refused after the file had been opened.
    pub(super) fn refused(
        label: &Label,
        file: BorrowedFd,
        access: Access,
        action: &'static str,
        errno: Errno,
    ) -> FileError {
        let label = Label::clone(label);
        if access == Access::ReadWrite && matches!(errno, Errno::EPERM | Errno::EACCES) {
            if let Some(attribute) = attribute::protecting(file) {
                return FileError::Protected { label, attribute };
            }
            if let Some(seal) = write_seal(file) {
                return FileError::Sealed { label, seal };
            }
        }
        match errno {
            Errno::EACCES => FileError::Denied(label),
            Errno::ETXTBSY => FileError::SwapSpace(label),
            Errno::ENOSPC => FileError::NoSpace { label, free: 0 },
            errno => FileError::os(&label, action, errno),
        }
    }

    pub(super) fn os(label: &Label, action: &'static str, errno: Errno) -> FileError {
        FileError::Os {
            label: Label::clone(label),
            action,
            errno,
        }
    }
}

/// Returns the name of the seal that forbids new writable mappings of a memfd (`F_ADD_SEALS`, `fcntl(2)`).
fn write_seal(file: BorrowedFd) -> Option<&'static str> {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).ok()?;
    let has = |seal| SealFlag::from_bits_retain(seals).contains(seal);
    match () {
        () if has(SealFlag::F_SEAL_WRITE) => Some("F_SEAL_WRITE"),
        () if has(SealFlag::F_SEAL_FUTURE_WRITE) => Some("F_SEAL_FUTURE_WRITE"),
        () => None,
    }
}
