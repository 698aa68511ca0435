//! Shared memory objects: `shm_open(3)`, `ftruncate(2)`, `fstat(2)`, `shm_unlink(3)`.

mod allocation;

use super::attribute;
use super::directory::{self, Directory};
use super::name::ShmName;
use crate::sys::error::{Error, Result};
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::int::{Int, IntType};
use crate::sys::memory::mapping::Mapping;
use crate::sys::memory::nameless::memfd;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Uid, ftruncate, geteuid};
use std::cell::OnceCell;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to retry opening an object on which another process holds a lease (`F_SETLEASE`, `fcntl(2)`). A process
/// like ours releases its lease within microseconds.
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open shared memory object.
#[derive(Debug)]
pub struct Object {
    directory: Directory,
    name: ShmName,
    file: File,
    /// The device and inode numbers, once they are known.
    identity: OnceCell<(u64, u64)>,
}

impl Object {
    /// Opens an existing object with `shm_open(3)`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such object, [`Error::NotAnObject`] if the name belongs to something else,
    /// [`Error::Denied`] if permission is missing, [`Error::Leased`] if another process does not release its lease,
    /// and others of `shm_open(3)`.
    pub fn open(directory: &Directory, name: &ShmName, access: Access) -> Result<Object> {
        Object::open_with(
            directory,
            name,
            match access {
                Access::Read => OFlag::O_RDONLY,
                Access::ReadWrite => OFlag::O_RDWR,
            },
        )
    }

    /// Opens an existing object to store bytes and to change its size. It need not be readable (`O_WRONLY`).
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_to_write(directory: &Directory, name: &ShmName) -> Result<Object> {
        Object::open_with(directory, name, OFlag::O_WRONLY)
    }

    fn open_with(directory: &Directory, name: &ShmName, mode: OFlag) -> Result<Object> {
        // Check the type first, because opening a FIFO or a device can have side effects.
        directory.stat(name)?;
        // O_NONBLOCK: do not wait for the other end of a FIFO that was planted after the check.
        let flags = OFlag::O_NONBLOCK | mode;
        let deadline = Instant::now() + LEASE_TIMEOUT;
        loop {
            match directory.open(name, flags) {
                Ok(fd) => {
                    let object = Object::new(directory, name, fd);
                    directory::check_type(name, &object.status()?)?;
                    return Ok(object);
                }
                // Because of O_NONBLOCK, opening a leased object returns EAGAIN instead of waiting. musl's shm_open
                // always sets O_NONBLOCK.
                Err(Errno::EAGAIN) if Instant::now() < deadline => sleep(Duration::from_millis(1)),
                Err(Errno::EAGAIN) => return Err(Error::Leased(name.clone())),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOENT) => return Err(Error::NotFound(name.clone())),
                // It was replaced after the check.
                Err(Errno::ELOOP) if !directory.is_own() => {
                    directory.stat(name)?;
                }
                Err(Errno::EACCES) => return Err(Error::Denied(name.clone())),
                Err(errno) => {
                    return Err(attribute::explain_refusal(
                        directory, name, "open it", errno,
                    ));
                }
            }
        }
    }

    /// Creates an empty object that never gets a name (`memfd_create(2)`), in [`Directory::nameless`]. The name is only
    /// its label.
    ///
    /// # Errors
    ///
    /// Those of `memfd_create(2)`.
    pub fn anonymous(nameless: &Directory, label: &ShmName) -> Result<Object> {
        match memfd(&label.as_c_str()[1..]) {
            Ok(fd) => Ok(Object::new(nameless, label, fd)),
            Err(errno) => Err(Error::os(label, "create it", errno)),
        }
    }

    pub(in crate::sys) fn new(directory: &Directory, name: &ShmName, fd: OwnedFd) -> Object {
        Object {
            directory: directory.clone(),
            name: name.clone(),
            file: File::from(fd),
            identity: OnceCell::new(),
        }
    }

    /// Sets the size in bytes with `ftruncate(2)`. New bytes are zeros, without allocated memory.
    ///
    /// # Errors
    ///
    /// [`Error::FileSizeLimit`] if the size exceeds `RLIMIT_FSIZE`; otherwise those of `ftruncate(2)`.
    pub fn truncate(&self, size: u64) -> Result<()> {
        retry_if_interrupted(|| ftruncate(&self.file, to_off_t(size)?))
            .map_err(|errno| self.size_error("set its size", errno))
    }

    /// Writes `length` bytes, starting `offset` bytes into a mapping, to the byte `at` of the object with `pwrite(2)`.
    /// Returns the number of bytes written, which may be smaller, or `None` if the mapped file was truncated and the
    /// bytes are gone.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the file system is full; [`Error::FileSizeLimit`] if the size exceeds `RLIMIT_FSIZE`;
    /// otherwise those of `pwrite(2)`.
    pub fn write_from(
        &self,
        at: u64,
        mapping: &Mapping,
        offset: usize,
        length: usize,
    ) -> Result<Option<usize>> {
        loop {
            match mapping.write_to(&self.file, at, offset, length) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::EINTR) => {}
                Err(Errno::EFAULT) => return Ok(None),
                Err(errno) => return Err(self.allocation_error(length as u64, errno)),
            }
        }
    }

    /// Returns the status (`statx(2)`): size, owner, mode, times.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn status(&self) -> Result<FileStatus> {
        FileStatus::of(&self.file).map_err(|errno| Error::os(&self.name, "look at it", errno))
    }

    /// Returns whether the `length` bytes from `start` are all in a [hole], that is, zeros.
    pub fn is_hole(&self, start: u64, length: u64) -> bool {
        hole::end(&self.file, start) >= start + length
    }

    /// Returns how many of the bytes from `start` to `end` are in [holes](hole). tmpfs counts memory as a hole if it was
    /// reserved but never stored into.
    pub fn hole_bytes(&self, start: u64, end: u64) -> u64 {
        hole::count_bytes(&self.file, start, end)
    }

    /// Returns whether memory is allocated for the whole object, so that touching a page that was never written
    /// allocates nothing.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_fully_allocated(&self) -> Result<bool> {
        // The unit of `blocks` is 512 bytes (`stat(3type)`).
        self.status().map(|now| now.allocated >= now.size)
    }

    /// Reads the integer at the byte `start` with `pread(2)`. This is not atomic. In a hole it allocates nothing,
    /// unlike a load from a mapping.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the object ends before the end of the integer; otherwise those of `pread(2)`.
    pub fn read_int(&self, start: u64, int_type: IntType) -> Result<Int> {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..int_type.width()];
        self.file
            .read_exact_at(bytes, start)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Error::Truncated(self.name.clone()),
                _ => Error::io(&self.name, "read it", &error),
            })?;
        Ok(Int::from_ne_bytes(int_type, bytes))
    }

    /// Returns whether the name that the object was opened by still leads to it. It may have been removed, or taken by
    /// another object.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_still_linked(&self) -> Result<bool> {
        self.is_linked_as(&self.name)
    }

    /// Returns whether `name` leads to this object.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub(in crate::sys) fn is_linked_as(&self, name: &ShmName) -> Result<bool> {
        Ok(self.status_as(name)?.is_some())
    }

    /// Returns the status of the object, if the name that it was opened by still leads to it.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn linked_status(&self) -> Result<Option<FileStatus>> {
        self.status_as(&self.name)
    }

    fn status_as(&self, name: &ShmName) -> Result<Option<FileStatus>> {
        let own = match self.identity.get() {
            Some(own) => *own,
            None => {
                let status = self.status()?;
                *self.identity.get_or_init(|| (status.device, status.inode))
            }
        };
        let is_own = |other: &FileStatus| (other.device, other.inode) == own;
        Ok(self.directory.stat(name).ok().filter(is_own))
    }

    /// Removes the name of the object if it still leads to the object. Does nothing if the name was removed, or taken
    /// by another object.
    ///
    /// # Errors
    ///
    /// Those of [`unlink`](Self::unlink).
    pub fn unlink_own_name(&self) -> Result<()> {
        if !self.is_still_linked()? {
            return Ok(());
        }
        match Object::unlink(&self.directory, &self.name) {
            Err(Error::NotFound(_) | Error::NotAnObject { .. }) => Ok(()),
            result => result,
        }
    }

    /// Checks that the object still has at least `end` bytes. Call this after accessing a mapping of the object: if it
    /// was truncated within a page, accesses to the rest of that page do not fault. Loads return zeros, and stores are
    /// lost.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the object is smaller; otherwise those of `fstat(2)`.
    pub fn check_not_truncated(&self, end: u64) -> Result<()> {
        match self.status()?.size >= end {
            true => Ok(()),
            false => Err(Error::Truncated(self.name.clone())),
        }
    }

    /// Returns the error for a [`BusError`](crate::sys::memory::bus_error::BusError) during an access to the first
    /// `end` bytes of the object: either it was truncated, or its memory is gone for another reason.
    pub fn bus_error(&self, end: u64) -> Error {
        match self.check_not_truncated(end) {
            Ok(()) => Error::BusError(self.name.clone()),
            Err(error) => error,
        }
    }

    /// Sets the modification time to now with `futimens(3)`. Stores through a mapping do not reliably update it.
    ///
    /// # Errors
    ///
    /// Those of `futimens(3)`.
    pub fn set_modified(&self) -> Result<()> {
        // Set the access time too: a process that is not the owner may only set both times, and only to now.
        match futimens(&self.file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW) {
            // The owner took the permission away after the object was opened. What was stored stays stored.
            Ok(()) | Err(Errno::EACCES | Errno::EPERM) => Ok(()),
            Err(errno) => Err(Error::os(&self.name, "set its modification time", errno)),
        }
    }

    /// Sets the permissions with `fchmod(2)`. The umask does not apply.
    ///
    /// # Errors
    ///
    /// Those of `fchmod(2)`.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        fchmod(&self.file, Mode::from_bits_truncate(mode))
            .map_err(|errno| Error::os(&self.name, "set its mode", errno))
    }

    /// The directory in which the object was opened or created.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The name by which the object was opened or created.
    pub fn name(&self) -> &ShmName {
        &self.name
    }

    /// Removes a name with `shm_unlink(3)`. Processes that have the object open or mapped can still use it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such object, [`Error::NotOwner`] if it belongs to another user and the
    /// directory is sticky, [`Error::NotAnObject`] if the name belongs to something else, [`Error::Protected`] if a
    /// file attribute forbids it, and others of `shm_unlink(3)`.
    pub fn unlink(directory: &Directory, name: &ShmName) -> Result<()> {
        let owner = Uid::from_raw(directory.stat(name)?.uid);
        let is_ours = || [owner, Uid::from_raw(0)].contains(&geteuid());
        directory.unlink(name).map_err(|errno| match errno {
            Errno::ENOENT => Error::NotFound(name.clone()),
            // A directory has just taken the name.
            Errno::EISDIR => Error::NotAnObject {
                name: name.clone(),
                what: "a directory",
            },
            _ => match attribute::explain_refusal(directory, name, "remove it", errno) {
                // The directory is sticky (`unlink(2)`).
                Error::Os {
                    errno: Errno::EACCES | Errno::EPERM,
                    ..
                } if !is_ours() => Error::NotOwner(name.clone()),
                error => error,
            },
        })
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<Object> for OwnedFd {
    fn from(object: Object) -> OwnedFd {
        object.file.into()
    }
}

/// Repeats a call while it fails with EINTR. Some calls do that after SIGSTOP and SIGCONT even if there is no handler
/// (`signal(7)`).
fn retry_if_interrupted(mut call: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Converts a size or an offset for a system call.
///
/// # Errors
///
/// `EFBIG` if it does not fit; no file is that large.
pub(in crate::sys) fn to_off_t(size: u64) -> nix::Result<nix::libc::off_t> {
    size.try_into().map_err(|_| Errno::EFBIG)
}
