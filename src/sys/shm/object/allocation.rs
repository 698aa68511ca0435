//! Allocating the memory of an object before it is used: `fallocate(2)`.

use super::{Object, retry_if_interrupted, to_off_t};
use crate::sys::error::{Error, Result};
use crate::sys::memory::mapping::{Mapping, page_end};
use crate::sys::shm::directory::Space;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::num::NonZero;
use std::sync::Arc;

/// What fails, as a phrase that follows "cannot".
const RESERVE: &str = "reserve its memory";

impl Object {
    /// Allocates memory for `length` bytes from the byte `start` with `fallocate(2)`, so that stores into them cannot
    /// fail. The size does not change, so an object that another process truncates meanwhile is not grown again.
    ///
    /// If the system does not support this, nothing is allocated, this returns false, and a store may raise SIGBUS if
    /// there is no memory. Writing zeros instead could overwrite what another process stores.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the file system is full; otherwise those of `fallocate(2)`.
    pub fn reserve(&self, start: u64, length: u64) -> Result<bool> {
        self.allocate(FallocateFlags::FALLOC_FL_KEEP_SIZE, start, length)
    }

    /// Estimates how many bytes must be allocated so that the first `end` bytes have memory.
    ///
    /// The kernel does not tell where memory is that was reserved but never stored into. If there is enough memory for the
    /// whole object, all of it has memory. Otherwise reserved memory counts as missing, because an error is better than
    /// a process that the OOM killer kills.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn missing_memory(&self, end: u64) -> Result<u64> {
        let FileStatus {
            size, allocated, ..
        } = self.status()?;
        if allocated >= page_end(size) {
            return Ok(end.saturating_sub(page_end(size)));
        }
        // Where the kernel cannot tell holes from data, the number of missing bytes is still known to be at least this.
        let least = end.saturating_sub(allocated);
        Ok(self.hole_bytes(0, end).max(least))
    }

    /// Allocates the memory of an object of `size` bytes that contains no data yet and that no other process can use.
    /// If the system does not support `fallocate(2)`, this writes zeros, as `posix_fallocate(3)` does.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the file system is full; [`Error::FileSizeLimit`] if the size exceeds `RLIMIT_FSIZE`;
    /// otherwise those of `fallocate(2)`.
    pub fn reserve_unshared(&self, size: u64) -> Result<()> {
        // gVisor does not support FALLOC_FL_KEEP_SIZE; ramfs and NFS do not support fallocate(2) at all.
        let flags = [FallocateFlags::FALLOC_FL_KEEP_SIZE, FallocateFlags::empty()];
        for flags in flags {
            if self.allocate(flags, 0, size)? {
                return Ok(());
            }
        }
        self.truncate(0)?;
        self.append_zeros(size)
    }

    /// Checks that this process may write up to the byte `end`, which [`reserve`](Self::reserve) does not.
    ///
    /// # Errors
    ///
    /// [`Error::FileSizeLimit`] if `end` exceeds `RLIMIT_FSIZE`.
    pub fn check_file_size_limit(&self, end: u64) -> Result<()> {
        match getrlimit(Resource::RLIMIT_FSIZE) {
            Ok((limit, _)) if end > limit => Err(self.size_error(RESERVE, Errno::EFBIG)),
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::os(&self.name, RESERVE, errno)),
        }
    }

    /// Turns `length` bytes from the byte `start` into a hole with `fallocate(2)`: they become zeros, and their memory is
    /// freed. The size does not change. Returns false if the system does not support this.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`.
    pub fn punch_hole(&self, start: u64, length: u64) -> Result<bool> {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        self.allocate(flags, start, length)
    }

    /// Grows the object to at least `size` bytes, with allocated memory, by `fallocate(2)`. The object never shrinks,
    /// so two processes can grow it at the same time. With `ftruncate(2)`, one could undo what the other did.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the file system is full; otherwise those of `fallocate(2)`.
    pub fn grow(&self, size: u64) -> Result<()> {
        if self.allocate(FallocateFlags::empty(), 0, size)? {
            return Ok(());
        }
        self.set_append(true)?;
        let grown = self.append_zeros(size);
        self.set_append(false).and(grown)
    }

    /// Calls `fallocate(2)`. Returns false if the file system does not support it with these flags, or if a sandbox
    /// forbids it.
    fn allocate(&self, flags: FallocateFlags, start: u64, length: u64) -> Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        match retry_if_interrupted(|| {
            fallocate(&self.file, flags, to_off_t(start)?, to_off_t(length)?)
        }) {
            Ok(()) => Ok(true),
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => Ok(false),
            Err(errno) => Err(self.allocation_error(length, errno)),
        }
    }

    /// Grows the object to at least `size` bytes by writing zeros at its end. With `O_APPEND` this never overwrites
    /// data, even if other processes grow the object or store into it meanwhile.
    fn append_zeros(&self, size: u64) -> Result<()> {
        const ZEROS: NonZero<usize> = NonZero::new(128 << 10).unwrap();
        let zeros = Mapping::private_anonymous(ZEROS)
            .map_err(|errno| Error::os(&self.name, RESERVE, errno))?;
        loop {
            let end = self.status()?.size;
            if end >= size {
                return Ok(());
            }
            let length = (size - end).min(zeros.len() as u64) as usize;
            match zeros.write_to(&self.file, end, 0, length) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.allocation_error(size - end, errno)),
            }
        }
    }

    /// Sets or clears `O_APPEND` (`open(2)`). With it, each write goes to the current end of the object.
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

    /// Returns the error for a failed allocation of `requested` more bytes.
    pub(super) fn allocation_error(&self, requested: u64, errno: Errno) -> Error {
        // An unnamed object is dropped after this error. Its memory becomes free again, so it counts as free.
        let own = self.status().map_or(0, |now| match now.links {
            0 => now.allocated,
            _ => 0,
        });
        match (errno, self.directory.space()) {
            // Without a size limit, the kernel has refused to commit the memory (`vm.overcommit_memory`, `proc(5)`).
            (Errno::ENOSPC, Ok(Space { size, free, .. })) if size > 0 => Error::NoSpace {
                directory: Arc::clone(self.directory.label()),
                name: self.name.clone(),
                requested: requested + own,
                free: free + own,
                limit: size,
            },
            _ => self.size_error(RESERVE, errno),
        }
    }

    /// Returns the error for a failed call that changes the size.
    pub(super) fn size_error(&self, action: &'static str, errno: Errno) -> Error {
        match (errno, getrlimit(Resource::RLIMIT_FSIZE)) {
            (Errno::EFBIG, Ok((limit, _))) if limit != RLIM_INFINITY => Error::FileSizeLimit {
                name: self.name.clone(),
                action,
                limit,
            },
            _ => Error::os(&self.name, action, errno),
        }
    }
}
