//! Opening a file without side effects: `open(2)`.

use super::device;
use super::error::{FileError, Label};
use super::int_file::IntFile;
use super::source::{FileSource, Origin};
use crate::sys::attribute;
use crate::sys::memory::access::Access;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to retry opening a file on which another process holds a lease (`F_SETLEASE`, `fcntl(2)`).
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);

impl FileSource {
    /// Opens the file. An inherited descriptor is used itself if its access mode suffices; otherwise its file is opened
    /// again.
    ///
    /// # Errors
    ///
    /// [`FileError::Missing`] if there is no file at the path, and others that say why the file cannot be opened or is
    /// not usable.
    pub fn open(&self, access: Access) -> Result<IntFile, FileError> {
        match &self.origin {
            Origin::Path(path) => {
                let file = self.open_path(path, access)?;
                IntFile::new(&self.label, Arc::new(file), false)
            }
            Origin::Descriptor(inherited) => match self.open_again(inherited, access)? {
                Some(file) => IntFile::new(&self.label, Arc::new(file), false),
                None => IntFile::new(&self.label, Arc::clone(inherited), true),
            },
        }
    }

    fn open_path(&self, path: &Path, access: Access) -> Result<File, FileError> {
        loop {
            // Look at the type before opening the file for real: opening a FIFO, a tape or a serial line has side
            // effects. O_PATH has none.
            let found = retry_if_interrupted(|| {
                open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
            });
            let found = found.map_err(|errno| match errno {
                Errno::ENOENT | Errno::ESTALE => FileError::Missing(Label::clone(&self.label)),
                Errno::EACCES => FileError::Denied(Label::clone(&self.label)),
                errno => FileError::os(&self.label, "open it", errno),
            })?;
            let status = self.check_type(found.as_fd(), access)?;
            match open_descriptor(found.as_fd(), &status, access) {
                Ok(file) => return Ok(file.into()),
                Err(Errno::ENOENT) if !Path::new("/proc/self/fd").exists() => {
                    let file = open_for_real(path, &status, access)
                        .map_err(|errno| self.explain(found.as_fd(), &status, access, errno))?;
                    // Without /proc there are two lookups, and the second may have found another file.
                    if is_same_file(&self.status(file.as_fd())?, &status) {
                        return Ok(file.into());
                    }
                }
                Err(errno) => return Err(self.explain(found.as_fd(), &status, access, errno)),
            }
        }
    }

    /// Opens the file of an inherited descriptor again if that is necessary. Returns None if the descriptor itself
    /// should be used.
    fn open_again(&self, inherited: &File, access: Access) -> Result<Option<File>, FileError> {
        let status = self.check_type(inherited.as_fd(), access)?;
        let flags = fcntl(inherited, FcntlArg::F_GETFL)
            .map_err(|errno| FileError::os(&self.label, "look at its descriptor", errno))?;
        let mode = match OFlag::from_bits_retain(flags) {
            flags if flags.contains(OFlag::O_PATH) => "only a reference to the file (O_PATH)",
            flags => match flags & OFlag::O_ACCMODE {
                OFlag::O_RDONLY => "read-only",
                OFlag::O_WRONLY => "write-only",
                _ => return Ok(None),
            },
        };
        let suffices = mode == "read-only" && access == Access::Read;
        // On overlayfs, a descriptor that was opened for reading shows the old file for ever after somebody has opened
        // the file for writing, which copies it.
        if suffices && !is_on_overlay(inherited) {
            return Ok(None);
        }
        match open_descriptor(inherited.as_fd(), &status, access) {
            Ok(file) => Ok(Some(file.into())),
            Err(_) if suffices => Ok(None),
            Err(errno) => Err(
                match self.explain(inherited.as_fd(), &status, access, errno) {
                    FileError::Denied(label)
                    | FileError::Missing(label)
                    | FileError::Os { label, .. }
                    | FileError::WrongType { label, .. } => {
                        FileError::DescriptorMode { label, mode, errno }
                    }
                    error => error,
                },
            ),
        }
    }

    /// Checks that a file can be a store of integers, as far as its type tells. The file may have been opened with
    /// `O_PATH`.
    fn check_type(&self, file: BorrowedFd, access: Access) -> Result<FileStat, FileError> {
        let (status, label) = (self.status(file)?, Label::clone(&self.label));
        if let Some(what) = device::unusable_type(status.st_mode) {
            return Err(FileError::WrongType { label, what });
        }
        if is_type(&status, libc::S_IFCHR) {
            if device::keeps_nothing(status.st_rdev) {
                return Err(FileError::KeepsNothing(label));
            }
            if let Some(what) = device::kind_without_memory(status.st_rdev) {
                return Err(FileError::WithoutMemory { label, what });
            }
        }
        // Many drivers let it be opened for writing all the same. A store may then seem to succeed.
        if is_type(&status, libc::S_IFBLK)
            && access == Access::ReadWrite
            && device::is_read_only(status.st_rdev)
        {
            let what = "the device";
            return Err(FileError::ReadOnly { label, what });
        }
        Ok(status)
    }

    fn status(&self, file: BorrowedFd) -> Result<FileStat, FileError> {
        fstat(file).map_err(|errno| FileError::os(&self.label, "look at it", errno))
    }

    /// Returns the error for a file that could not be opened.
    fn explain(
        &self,
        file: BorrowedFd,
        status: &FileStat,
        access: Access,
        errno: Errno,
    ) -> FileError {
        let label = Label::clone(&self.label);
        let is_device = is_type(status, libc::S_IFBLK) || is_type(status, libc::S_IFCHR);
        let attribute = match (errno, access) {
            (Errno::EPERM | Errno::EACCES, Access::ReadWrite) => attribute::protecting(file),
            _ => None,
        };
        if let Some(attribute) = attribute {
            return FileError::Protected { label, attribute };
        }
        match errno {
            Errno::EAGAIN if !is_device => FileError::Leased(label),
            Errno::EACCES if is_device && has_no_devices(file) => FileError::NoDevices(label),
            Errno::EACCES => FileError::Denied(label),
            Errno::EROFS => {
                let what = "its file system";
                FileError::ReadOnly { label, what }
            }
            Errno::ETXTBSY => FileError::RunningProgram(label),
            Errno::ENOENT | Errno::ESTALE => FileError::Missing(label),
            Errno::ENXIO if is_type(status, 0) => {
                let what = "an anonymous inode, which only the descriptor leads to";
                FileError::WrongType { label, what }
            }
            errno => FileError::os(&self.label, "open it", errno),
        }
    }
}

/// Opens the file of a descriptor again, which may have been opened with `O_PATH`. `EAGAIN` means that another process
/// holds a lease.
pub(super) fn open_descriptor(
    file: BorrowedFd,
    status: &FileStat,
    access: Access,
) -> nix::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    open_for_real(Path::new(&path), status, access)
}

fn open_for_real(path: &Path, status: &FileStat, access: Access) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_CLOEXEC
        | OFlag::O_NOCTTY
        | match access {
            Access::Read => OFlag::O_RDONLY,
            Access::ReadWrite => OFlag::O_RDWR,
        }
        | match status.st_mode & libc::S_IFMT {
            // A drive is opened even without a medium with O_NONBLOCK.
            libc::S_IFBLK => OFlag::empty(),
            // O_SYNC makes /dev/mem map registers of devices without caching.
            libc::S_IFCHR => OFlag::O_NONBLOCK | OFlag::O_SYNC,
            // Do not wait for a lease longer than LEASE_TIMEOUT.
            _ => OFlag::O_NONBLOCK,
        };
    let deadline = Instant::now() + LEASE_TIMEOUT;
    loop {
        match retry_if_interrupted(|| open(path, flags, Mode::empty())) {
            Err(Errno::EAGAIN) if Instant::now() < deadline => sleep(Duration::from_millis(1)),
            result => return result,
        }
    }
}

/// Repeats a call while it fails with EINTR. A file server may be slow, and a signal handler may run meanwhile.
fn retry_if_interrupted<T>(call: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn is_type(status: &FileStat, kind: libc::mode_t) -> bool {
    status.st_mode & libc::S_IFMT == kind
}

fn is_same_file(one: &FileStat, other: &FileStat) -> bool {
    let key = |status: &FileStat| (status.st_dev, status.st_ino, status.st_rdev);
    key(one) == key(other)
}

fn is_on_overlay(file: &File) -> bool {
    fstatfs(file).is_ok_and(|status| status.filesystem_type() == OVERLAYFS_SUPER_MAGIC)
}

/// Returns whether the file system of a file is mounted with `nodev`.
fn has_no_devices(file: BorrowedFd) -> bool {
    fstatvfs(file).is_ok_and(|status| status.flags().contains(FsFlags::ST_NODEV))
}
