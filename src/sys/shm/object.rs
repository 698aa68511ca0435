//! One shared memory object: `shm_open(3)`, `ftruncate(2)`, `fstat(2)`, `shm_unlink(3)`.

use super::attribute;
use super::directory::{self, Directory, Space};
use super::name::ShmName;
use crate::sys::error::{Error, Result};
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::int::{Int, IntType};
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::sys::stat::{Mode, fchmod, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Uid, ftruncate, geteuid};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long an open waits for somebody else's lease (`F_SETLEASE`, `fcntl(2)`): whoever holds one for
/// a purpose of its own lets go within microseconds.
const LEASE_PATIENCE: Duration = Duration::from_secs(2);

/// An open shared memory object.
#[derive(Debug)]
pub struct Object {
    directory: Directory,
    name: ShmName,
    file: File,
}

impl Object {
    /// Opens an object that exists, `shm_open(3)`.
    ///
    /// # Errors
    ///
    /// There is none, something else has its name, permission is missing, or it is under a lease that
    /// its holder does not give up.
    pub fn open(directory: &Directory, name: &ShmName, access: Access) -> Result<Object> {
        // Looked at first, because the other end of a FIFO or a device would notice that it is opened.
        directory.stat(name)?;
        // O_NONBLOCK: a FIFO that is planted right now must not make us wait for its other end.
        let flags = OFlag::O_NONBLOCK
            | match access {
                Access::Read => OFlag::O_RDONLY,
                Access::ReadWrite => OFlag::O_RDWR,
            };
        let deadline = Instant::now() + LEASE_PATIENCE;
        loop {
            match directory.open(name, flags) {
                Ok(fd) => {
                    let object = Object::new(directory, name, fd);
                    directory::check_type(name, &object.metadata()?)?;
                    return Ok(object);
                }
                // O_NONBLOCK again (musl's shm_open always sets it): an object under a lease says
                // EAGAIN instead of waiting until the lease is broken.
                Err(Errno::EAGAIN) if Instant::now() < deadline => sleep(Duration::from_millis(1)),
                Err(Errno::EAGAIN) => return Err(Error::Leased(name.clone())),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOENT) => return Err(Error::NotFound(name.clone())),
                Err(Errno::EACCES) => return Err(Error::Denied(name.clone())),
                Err(errno) => return Err(attribute::refusal(directory, name, "open it", errno)),
            }
        }
    }

    pub(in crate::sys) fn new(directory: &Directory, name: &ShmName, fd: OwnedFd) -> Object {
        Object {
            directory: directory.clone(),
            name: name.clone(),
            file: File::from(fd),
        }
    }

    /// Sets the size in bytes, `ftruncate(2)`. New bytes are zeros, and have no memory yet.
    ///
    /// # Errors
    ///
    /// The size is more than a file, or this process (`RLIMIT_FSIZE`), may have.
    pub fn truncate(&self, size: u64) -> Result<()> {
        retry(|| ftruncate(&self.file, offset(size)?))
            .map_err(|errno| Error::os(&self.name, "set its size", errno))
    }

    /// Allocates the memory of `length` bytes from `start`, `fallocate(2)`, so that no store into them
    /// can fail. The size stays: an object that somebody else truncates meanwhile is not grown again.
    ///
    /// Where the system cannot do that, nothing is allocated: zeros that were written instead could overwrite what
    /// another process stores. A store for which there is no memory is then a bus error.
    ///
    /// # Errors
    ///
    /// `/dev/shm` is full.
    pub fn reserve(&self, start: u64, length: u64) -> Result<()> {
        self.allocate(FallocateFlags::FALLOC_FL_KEEP_SIZE, start, length)
            .map(drop)
    }

    /// Allocates the memory of the first `size` bytes, as many as the object has, while nobody else can use it and
    /// nothing is stored in it: by writing zeros where the system cannot do otherwise, as `posix_fallocate(3)` does.
    ///
    /// # Errors
    ///
    /// `/dev/shm` is full, or this process may not have a file that large (`RLIMIT_FSIZE`).
    pub(in crate::sys) fn reserve_unshared(&self, size: u64) -> Result<()> {
        // gVisor has no FALLOC_FL_KEEP_SIZE; ramfs and NFS have no fallocate(2).
        let flags = [FallocateFlags::FALLOC_FL_KEEP_SIZE, FallocateFlags::empty()];
        for flags in flags {
            if self.allocate(flags, 0, size)? {
                return Ok(());
            }
        }
        self.truncate(0)?;
        self.append_zeros(size)
    }

    /// Makes the object at least `size` bytes, their memory allocated, `fallocate(2)`. It never gets
    /// smaller, so that two who grow it at once cannot undo each other, as they could with `ftruncate(2)`.
    ///
    /// # Errors
    ///
    /// `/dev/shm` is full.
    pub fn grow(&self, size: u64) -> Result<()> {
        if self.allocate(FallocateFlags::empty(), 0, size)? {
            return Ok(());
        }
        self.set_append(true)?;
        let grown = self.append_zeros(size);
        self.set_append(false).and(grown)
    }

    /// False: the system does not have this way to allocate memory, or a sandbox does not let us use it.
    fn allocate(&self, flags: FallocateFlags, start: u64, length: u64) -> Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        match retry(|| fallocate(&self.file, flags, offset(start)?, offset(length)?)) {
            Ok(()) => Ok(true),
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => Ok(false),
            Err(errno) => Err(self.no_memory(length, errno)),
        }
    }

    /// Makes the object at least `size` bytes by appending zeros, which overwrite nothing, whoever else grows the object
    /// or stores into it.
    fn append_zeros(&self, size: u64) -> Result<()> {
        const ZEROS: NonZero<usize> = NonZero::new(128 << 10).unwrap();
        let zeros = Mapping::private_anonymous(ZEROS)
            .map_err(|errno| Error::os(&self.name, "reserve its memory", errno))?;
        loop {
            let end = self.metadata()?.len();
            if end >= size {
                return Ok(());
            }
            let length = (size - end).min(zeros.len() as u64) as usize;
            match zeros.write_to(&self.file, end, 0, length) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.no_memory(size, errno)),
            }
        }
    }

    /// Whether what is written goes to the end of the object, wherever that is by then: `O_APPEND` of `open(2)`.
    fn set_append(&self, append: bool) -> Result<()> {
        let flags = fcntl(&self.file, FcntlArg::F_GETFL).and_then(|flags| {
            let mut flags = OFlag::from_bits_retain(flags);
            flags.set(OFlag::O_APPEND, append);
            fcntl(&self.file, FcntlArg::F_SETFL(flags))
        });
        flags
            .map(drop)
            .map_err(|errno| Error::os(&self.name, "grow it", errno))
    }

    fn no_memory(&self, asked: u64, errno: Errno) -> Error {
        match (errno, self.directory.space()) {
            (Errno::ENOSPC, Ok(Space { size, free, .. })) => Error::NoSpace {
                name: self.name.clone(),
                asked,
                // What one without a name has got so far comes back when it is given up.
                free: free
                    + self.metadata().map_or(0, |now| match now.nlink() {
                        0 => now.blocks() * 512,
                        _ => 0,
                    }),
                limit: size,
            },
            _ => Error::os(&self.name, "reserve its memory", errno),
        }
    }

    /// Writes some of `length` bytes that start `offset` bytes into a mapping, `pwrite(2)`, and says how
    /// many. None: the bytes are gone from the mapping, for their file was truncated.
    ///
    /// # Errors
    ///
    /// `/dev/shm` is full, or this process may not have a file that large (`RLIMIT_FSIZE`).
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
                Err(errno) => return Err(self.no_memory(at + length as u64, errno)),
            }
        }
    }

    /// What `fstat(2)` knows: the size, the owner, the mode, the times.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn metadata(&self) -> Result<Metadata> {
        self.file
            .metadata()
            .map_err(|error| Error::io(&self.name, "look at it", &error))
    }

    /// Whether all of these bytes lie in a [hole], and are zeros.
    pub fn is_hole(&self, start: u64, length: u64) -> bool {
        hole::end(&self.file, start) >= start + length
    }

    /// Whether memory is set aside for all of its bytes, so that using a page that was never written takes
    /// no more.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_reserved(&self) -> Result<bool> {
        // Blocks of `stat(3type)` have 512 bytes.
        self.metadata().map(|now| now.blocks() * 512 >= now.len())
    }

    /// Copies an integer out of the object, `pread(2)`. That is not atomic, but allocates nothing in a
    /// hole, where a load from a mapping does.
    ///
    /// # Errors
    ///
    /// The object ends before the integer does.
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

    /// Whether its name still leads to it, and not to another object, or none.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn has_its_name(&self) -> Result<bool> {
        self.has_name(&self.name)
    }

    /// Whether this name leads to it.
    pub(in crate::sys) fn has_name(&self, name: &ShmName) -> Result<bool> {
        let own = self.metadata()?;
        let is_own = |other: Metadata| (other.dev(), other.ino()) == (own.dev(), own.ino());
        Ok(self.directory.stat(name).is_ok_and(is_own))
    }

    /// Removes its name, if that still leads to it, and not to what has taken the name since.
    ///
    /// # Errors
    ///
    /// Those of [`unlink`](Self::unlink).
    pub fn unlink_own_name(&self) -> Result<()> {
        if !self.has_its_name()? {
            return Ok(());
        }
        match Object::unlink(&self.directory, &self.name) {
            Err(Error::NotFound(_)) => Ok(()),
            result => result,
        }
    }

    /// Makes sure that the object was not truncated before `end` while its mapping was used: the rest of
    /// its last page is zeros then, which nobody stored, and swallows what is stored.
    ///
    /// # Errors
    ///
    /// It was.
    pub fn still_reaches(&self, end: u64) -> Result<()> {
        match self.metadata()?.len() >= end {
            true => Ok(()),
            false => Err(Error::Truncated(self.name.clone())),
        }
    }

    /// Why memory of the object was [`Lost`](crate::sys::memory::bus_error::Lost) that lies before `end`.
    pub fn lost(&self, end: u64) -> Error {
        match self.still_reaches(end) {
            Ok(()) => Error::Lost(self.name.clone()),
            Err(error) => error,
        }
    }

    /// Sets the modification time to now, `futimens(3)`: a store through a mapping does so only sometimes.
    ///
    /// # Errors
    ///
    /// Those of `futimens(3)`.
    pub fn set_modified(&self) -> Result<()> {
        // Both times: whoever is not the owner may set only both, and only to now.
        futimens(&self.file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)
            .map_err(|errno| Error::os(&self.name, "set its modification time", errno))
    }

    /// Sets the permissions, whatever the umask, `fchmod(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fchmod(2)`.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        fchmod(&self.file, Mode::from_bits_truncate(mode))
            .map_err(|errno| Error::os(&self.name, "set its mode", errno))
    }

    /// The directory that it was opened or created in.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The name that it was opened or created by.
    pub fn name(&self) -> &ShmName {
        &self.name
    }

    /// Removes a name, `shm_unlink(3)`. Whoever has the object open or mapped keeps it.
    ///
    /// # Errors
    ///
    /// There is no such object, it is another user's, or something else has its name: that is left.
    pub fn unlink(directory: &Directory, name: &ShmName) -> Result<()> {
        let owner = Uid::from_raw(directory.stat(name)?.uid());
        let is_ours = || [owner, Uid::from_raw(0)].contains(&geteuid());
        directory.unlink(name).map_err(|errno| match errno {
            Errno::ENOENT => Error::NotFound(name.clone()),
            _ => match attribute::refusal(directory, name, "remove it", errno) {
                // The directory is sticky, `unlink(2)`.
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

/// A signal that stops and continues us ends some calls with EINTR, though no handler ran (`signal(7)`).
fn retry(mut call: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// A size as the system calls take it. No file is larger.
pub(in crate::sys) fn offset(size: u64) -> nix::Result<nix::libc::off_t> {
    size.try_into().map_err(|_| Errno::EFBIG)
}
