//! A directory of shared memory objects, and its file system (`shm_overview(7)`, `tmpfs(5)`).
//!
//! All system calls that look up names are in this module and its parts, so that the rest of the layer works with any
//! such directory.

use super::name::ShmName;
use crate::sys::error::{Error, Result};
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, geteuid, linkat, unlinkat};
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

mod entries;
mod space;

pub use entries::Entry;
pub(in crate::sys) use entries::check_type;
pub use space::Space;

/// The path of our own directory.
const OWN: &str = "/dev/shm";

/// A directory of objects: our own, or that of another mount namespace.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The descriptor of a directory that is not our own. Its contents may be hostile.
    other: Option<Arc<OwnedFd>>,
    /// A descriptor of our own directory, if it was opened for many calls.
    own: Option<Arc<OwnedFd>>,
    /// The descriptor of the process whose directory it is.
    process: Option<Arc<OwnedFd>>,
    label: Arc<str>,
    is_nameless: bool,
}

impl Directory {
    /// Returns `/dev/shm` as this process sees it. This is where the C library creates objects.
    pub fn own() -> Directory {
        Directory {
            other: None,
            own: None,
            process: None,
            label: OWN.into(),
            is_nameless: false,
        }
    }

    /// Returns the directory with this descriptor, which may have been opened with `O_PATH`. The label is used in
    /// messages.
    pub fn other(directory: OwnedFd, label: &str) -> Directory {
        Directory {
            other: Some(Arc::new(directory)),
            own: None,
            process: None,
            label: label.into(),
            is_nameless: false,
        }
    }

    /// Returns the kernel's own tmpfs, which contains memory without a name. It is mounted nowhere, and only its size and
    /// type can be asked for.
    pub fn nameless() -> Directory {
        Directory {
            other: None,
            own: None,
            process: None,
            label: "memory".into(),
            is_nameless: true,
        }
    }

    /// Makes it the directory of a process, given by its descriptor (`pidfd_open(2)`).
    pub fn of_process(self, process: OwnedFd) -> Directory {
        let process = Some(Arc::new(process));
        Directory { process, ..self }
    }

    /// Returns whether the process whose directory it is has ended. Nobody else may ever use the directory then.
    pub fn is_abandoned(&self) -> bool {
        let has_ended = |process: &Arc<OwnedFd>| {
            let mut process = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            poll(&mut process, PollTimeout::ZERO).is_ok_and(|count| count > 0)
        };
        self.process.as_ref().is_some_and(has_ended)
    }

    /// Returns whether this is `/dev/shm` as this process sees it.
    pub fn is_own(&self) -> bool {
        self.other.is_none() && !self.is_nameless
    }

    /// The descriptor, if it is not our own directory.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.other.as_ref().map(|fd| fd.as_fd())
    }

    /// The name of the directory for messages.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns a path for calls that do not take a descriptor.
    pub fn path(&self) -> PathBuf {
        match &self.other {
            None => OWN.into(),
            Some(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into(),
        }
    }

    /// Returns the directory itself, for calls that take a descriptor and a path.
    pub(in crate::sys) fn root(&self) -> (BorrowedFd<'_>, &'static CStr) {
        match &self.other {
            None => (AT_FDCWD, c"/dev/shm"),
            Some(fd) => (fd.as_fd(), c"."),
        }
    }

    /// Opens our own directory, so that each later call looks up only the name of an object. That is faster for many
    /// objects. If it fails, everything stays as it is.
    pub(in crate::sys) fn opened(&self) -> Directory {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let own = self.is_own().then(|| open(OWN, flags, Mode::empty()).ok());
        Directory {
            own: own.flatten().map(Arc::new),
            ..self.clone()
        }
    }

    /// Returns an object, for calls that take a descriptor and a path.
    pub(in crate::sys) fn at<'a>(&'a self, name: &'a ShmName) -> (BorrowedFd<'a>, Cow<'a, CStr>) {
        match self.other.as_ref().or(self.own.as_ref()) {
            None => {
                // With room for the NUL, so that CString need not reallocate.
                let mut path = Vec::with_capacity(OWN.len() + name.as_bytes().len() + 1);
                path.extend_from_slice(OWN.as_bytes());
                path.extend_from_slice(name.as_bytes());
                let path = CString::new(path).expect("a ShmName contains no NUL");
                (AT_FDCWD, path.into())
            }
            Some(fd) => (fd.as_fd(), name.file_name_c_str().into()),
        }
    }

    /// Returns the status of the directory itself.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory is unusable.
    pub fn status(&self) -> Result<FileStatus> {
        let (base, path) = self.root();
        FileStatus::at(base, path, 0).map_err(|errno| self.directory_error(errno))
    }

    /// Returns the device number of the file system. `/proc` uses the same number.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory is unusable.
    pub fn device(&self) -> Result<u64> {
        Ok(self.status()?.device)
    }

    /// Returns whether we may remove the name of an object that belongs to `owner`. `unlink(2)` needs write permission
    /// for the directory. In a sticky directory, only root and the owners of the object and of the directory may do
    /// it.
    ///
    /// # Errors
    ///
    /// Those of `faccessat(2)` that concern everybody: `EROFS` if the directory is read-only.
    pub fn may_unlink(&self, owner: u32) -> Result<bool> {
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        let us = geteuid();
        let is_ours = |directory: FileStatus| {
            let is_sticky = directory.mode & 0o1000 != 0;
            !is_sticky || us.is_root() || [owner, directory.uid].contains(&us.as_raw())
        };
        let (base, path) = self.root();
        match faccessat(base, path, rights, AtFlags::AT_EACCESS) {
            Ok(()) => Ok(self.status().is_ok_and(is_ours)),
            Err(Errno::EACCES) => Ok(false),
            // It is read-only, for instance.
            Err(errno) => Err(self.directory_error(errno)),
        }
    }

    /// Opens an object: our own with `shm_open(3)`. With `O_CREAT`, a new object gets mode 0600.
    ///
    /// In another directory everything may be hostile. There this opens only a regular file that is not a mount point,
    /// and nothing else is touched: opening a device has side effects.
    pub(in crate::sys) fn open(&self, name: &ShmName, flags: OFlag) -> nix::Result<OwnedFd> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let Some(directory) = &self.other else {
            return match &self.own {
                None => shm_open(name.as_c_str(), flags, mode),
                // What shm_open(3) does.
                Some(own) => {
                    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                    openat(own, name.file_name(), flags, mode)
                }
            };
        };
        let flags = flags | OFlag::O_CLOEXEC;
        if flags.contains(OFlag::O_CREAT) {
            return openat(directory, name.file_name(), flags | OFlag::O_NOFOLLOW, mode);
        }
        let file = self.open_path(name)?;
        let status = FileStatus::of(&file)?;
        if !status.is_file() || status.is_mount {
            return Err(Errno::ELOOP);
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        open(path.as_str(), flags, Mode::empty())
    }

    /// Opens a name with `O_PATH`, which has no side effects, and does not leave the mount of the directory
    /// (`openat2(2)`).
    fn open_path(&self, name: &ShmName) -> nix::Result<OwnedFd> {
        let (base, path) = self.at(name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_BENEATH;
        match openat2(base, &*path, OpenHow::new().flags(flags).resolve(resolve)) {
            // Before Linux 5.6, and in sandboxes. A name is one component, so O_NOFOLLOW is enough, and the caller
            // notices a mount.
            Err(Errno::ENOSYS | Errno::EPERM) => openat(base, &*path, flags, Mode::empty()),
            // A mount point.
            Err(Errno::EXDEV) => Err(Errno::ELOOP),
            result => result,
        }
    }

    /// Creates an unnamed object with mode 0600 (`O_TMPFILE`, `open(2)`).
    pub(in crate::sys) fn create_unnamed(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let (base, path) = self.root();
        openat(base, path, flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Gives an unnamed object its name.
    pub(in crate::sys) fn link_unnamed(&self, file: BorrowedFd, name: &ShmName) -> nix::Result<()> {
        let (base, path) = self.at(name);
        link_descriptor(file, base, &path)
    }

    /// Returns whether an unnamed object can get a name. It needs `/proc`, Linux 6.10, or privilege.
    pub(in crate::sys) fn can_link_unnamed(&self, file: BorrowedFd) -> bool {
        // Try a name that always exists, so that the call cannot succeed. It fails with ENOENT only if the kernel does
        // not let us refer to the file.
        link_descriptor(file, AT_FDCWD, c"/") != Err(Errno::ENOENT)
    }

    /// Gives an object a second name (`link(2)`).
    pub(in crate::sys) fn link(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let ((base, old), (_, new)) = (self.at(old), self.at(new));
        linkat(base, &*old, base, &*new, AtFlags::empty())
    }

    /// Renames an object (`rename(2)`). An existing object with the new name loses its name.
    pub(in crate::sys) fn rename(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let ((base, old), (_, new)) = (self.at(old), self.at(new));
        renameat(base, &*old, base, &*new)
    }

    /// Removes a name: our own with `shm_unlink(3)`. In glibc this returns `EACCES` where `unlink(2)` returns `EPERM`.
    pub(in crate::sys) fn unlink(&self, name: &ShmName) -> nix::Result<()> {
        match self.other.as_ref().or(self.own.as_ref()) {
            None => shm_unlink(name.as_c_str()),
            Some(directory) => unlinkat(directory, name.file_name(), UnlinkatFlags::NoRemoveDir),
        }
    }

    /// Returns an error about the directory if the directory itself is the reason that a call on an entry failed with
    /// `errno`; otherwise `None`.
    pub(in crate::sys) fn diagnose(&self, errno: Errno) -> Option<Error> {
        let (problem, hint) = match errno {
            // ENOENT usually means that only the object is missing.
            Errno::ENOENT if self.is_missing() => (
                "no such directory",
                "mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
            ),
            Errno::ENOTDIR => (
                "not a directory",
                "objects need a tmpfs that is mounted there",
            ),
            Errno::EACCES => (
                "permission denied",
                "its mode is usually 1777: 'ls -ld /dev/shm' shows it",
            ),
            _ => return None,
        };
        Some(Error::Directory {
            directory: Arc::clone(&self.label),
            problem,
            hint: self.is_own().then_some(hint),
        })
    }

    /// Returns whether our own directory does not exist.
    fn is_missing(&self) -> bool {
        let (base, path) = self.root();
        self.is_own() && FileStatus::at(base, path, 0) == Err(Errno::ENOENT)
    }

    /// Returns the error for a failed call on the directory, for which nothing in the directory itself is the reason.
    pub fn call_error(&self, errno: Errno) -> Error {
        Error::DirectoryCall {
            directory: Arc::clone(&self.label),
            errno,
        }
    }

    /// Returns the error for a failed call on the directory itself.
    pub(in crate::sys) fn directory_error(&self, errno: Errno) -> Error {
        self.diagnose(errno)
            .unwrap_or_else(|| Error::DirectoryCall {
                directory: Arc::clone(&self.label),
                errno,
            })
    }
}

/// Gives an unnamed file a name with `linkat(2)`. If the kernel does not allow linking a descriptor directly (that
/// needs privilege or Linux 6.10), this falls back to `/proc/self/fd`.
fn link_descriptor(file: BorrowedFd, base: BorrowedFd, path: &CStr) -> nix::Result<()> {
    match linkat(file, "", base, path, AtFlags::AT_EMPTY_PATH) {
        Err(Errno::ENOENT) => {
            let by_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(
                AT_FDCWD,
                by_proc.as_str(),
                base,
                path,
                AtFlags::AT_SYMLINK_FOLLOW,
            )
        }
        result => result,
    }
}
