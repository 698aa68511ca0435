//! Mapping a file shared, and preparing its pages for stores: `mmap(2)`, `madvise(2)`.

use super::error::{FileError, Label};
use super::int_file::{FileKind, IntFile};
use crate::sys::attribute;
use crate::sys::memory::access::Access;
use crate::sys::memory::int::IntType;
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs};
use nix::unistd::geteuid;
use std::num::NonZero;

/// A file system with less free space than this counts as full. Some keep a few blocks that data cannot use.
const ALMOST_NOTHING: u64 = 128 << 10;

impl IntFile {
    /// Maps `length` bytes of the file from the byte `start` shared, so that stores go to the file.
    ///
    /// # Errors
    ///
    /// [`FileError::NotMappable`] if the file system does not support shared mappings,
    /// [`FileError::WithoutMemory`] or [`FileError::OutOfRange`] for devices, [`FileError::Sealed`],
    /// [`FileError::SwapSpace`], and others of `mmap(2)`.
    pub fn map(
        &self,
        start: u64,
        length: NonZero<usize>,
        access: Access,
    ) -> Result<Mapping, FileError> {
        self.try_map(start, length, access)
            .map_err(|errno| self.explain_mapping(start, length, access, errno))
    }

    fn try_map(&self, start: u64, length: NonZero<usize>, access: Access) -> nix::Result<Mapping> {
        let end = start
            .checked_add(length.get() as u64)
            .ok_or(Errno::EOVERFLOW)?;
        if let Some(region) = self.uio {
            // An integer that is aligned in the region must be aligned in memory too.
            let is_aligned = region.page_offset % 8 == 0;
            if end > region.size || !is_aligned {
                return Err(Errno::EINVAL);
            }
            // The offset of mmap chooses the region. So map all of region 0, from 0.
            let window = 0..region.page_offset + region.size;
            let start = region.page_offset + start;
            return Mapping::shared_window(&*self.file, window, start, length, access);
        }
        match self.huge_page_size() {
            Some(size) => {
                // munmap fails if the length is not a multiple of the size of the huge pages.
                let window_end = end.checked_next_multiple_of(size).ok_or(Errno::EOVERFLOW)?;
                let window = start - start % size..window_end;
                Mapping::shared_window(&*self.file, window, start, length, access)
            }
            None => Mapping::shared_file(&*self.file, start, length, access),
        }
    }

    fn explain_mapping(
        &self,
        start: u64,
        length: NonZero<usize>,
        access: Access,
        errno: Errno,
    ) -> FileError {
        let label = Label::clone(&self.label);
        match (self.kind, errno) {
            (FileKind::Device, Errno::ENODEV | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                self.without_memory()
            }
            (FileKind::Device, Errno::EPERM) => FileError::Restricted(label),
            (
                FileKind::Device,
                Errno::EINVAL | Errno::ENXIO | Errno::EFAULT | Errno::EOVERFLOW | Errno::EFBIG,
            ) => FileError::OutOfRange {
                label,
                start,
                end: start.saturating_add(length.get() as u64),
            },
            // 9p without a cache returns EINVAL.
            (
                FileKind::Regular,
                Errno::ENODEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS,
            ) => FileError::NotMappable { label, errno },
            // Before Linux 6.7, a memfd that is sealed against writing cannot be mapped shared through a descriptor that
            // allows writing, not even for reading.
            (FileKind::Regular, Errno::EPERM) if access == Access::Read => {
                FileError::NotMappable { label, errno }
            }
            _ => self.refusal("map it", access, errno),
        }
    }

    /// Makes sure that storing into the first `length` bytes of a mapping that starts at the byte `start` of the file
    /// does not fail for lack of space: `MADV_POPULATE_WRITE`, which returns an error where a store would raise SIGBUS.
    ///
    /// This is better than `fallocate(2)`: on a full btrfs that succeeds although the store fails, because it copies the
    /// page, and on a full xfs it fails although the store would succeed. It may allocate space for a hole, so do not
    /// call it before it is certain that there will be a store. Before Linux 5.14 this does nothing, and neither for
    /// devices.
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`], [`FileError::NoSpace`], [`FileError::Protected`], [`FileError::ReadOnly`],
    /// [`FileError::NoSpaceOrQuota`] or [`FileError::BusError`] if a store would fail; otherwise those of `madvise(2)`.
    ///
    /// # Panics
    ///
    /// Panics if the mapping is shorter than `length`.
    pub fn prepare_store(
        &self,
        mapping: &Mapping,
        start: u64,
        length: u64,
    ) -> Result<(), FileError> {
        if self.kind == FileKind::Device {
            return Ok(());
        }
        let count = usize::try_from(length).unwrap_or(usize::MAX);
        match mapping.populate_for_stores(0, count) {
            // The kernel or a sandbox does not support it.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => Ok(()),
            Err(Errno::EFAULT) => Err(self.store_error(start + length)),
            Err(errno) => Err(self.os_error("get memory for it", errno)),
        }
    }

    /// Returns the error for a store into the first `end` bytes of the file that raised SIGBUS, or would raise it.
    fn store_error(&self, end: u64) -> FileError {
        if let Err(error) = self.check_not_truncated(end) {
            return error;
        }
        let label = Label::clone(&self.label);
        // Some file systems look at the attributes again when a page is about to change.
        if let Some(attribute) = attribute::protecting(self) {
            return FileError::Protected { label, attribute };
        }
        match fstatvfs(self) {
            // The kernel makes a file system read-only after some errors.
            Ok(space) if space.flags().contains(FsFlags::ST_RDONLY) => {
                let what = "its file system";
                FileError::ReadOnly { label, what }
            }
            Ok(space) if self.kind == FileKind::Regular && free_space(&space) < ALMOST_NOTHING => {
                let free = free_space(&space);
                FileError::NoSpace { label, free }
            }
            _ => self.unexplained_store_error(end),
        }
    }

    /// Returns the error for such a store if neither the size nor the free space explains it: is it possible to read the
    /// page?
    fn unexplained_store_error(&self, end: u64) -> FileError {
        let label = Label::clone(&self.label);
        match (self.pread(end.saturating_sub(1), IntType::U8), self.kind) {
            (Err(error), _) => error,
            (Ok(_), FileKind::Regular) => FileError::NoSpaceOrQuota(label),
            (Ok(_), _) => FileError::BusError(label),
        }
    }

    /// Returns the error for a [`BusError`](crate::sys::memory::bus_error::BusError) during an access to the first
    /// `end` bytes of the file.
    pub fn bus_error(&self, end: u64) -> FileError {
        match self.kind {
            FileKind::Device => FileError::OutOfRange {
                label: Label::clone(&self.label),
                start: 0,
                end,
            },
            FileKind::Regular | FileKind::Block => self.store_error(end),
        }
    }
}

/// Returns the number of bytes that we may still allocate on a file system. tmpfs without a limit claims to have no
/// blocks at all.
#[allow(
    clippy::unnecessary_cast,
    reason = "some of these types are narrower than 64 bits on some architectures"
)]
fn free_space(space: &Statvfs) -> u64 {
    let blocks = match geteuid().is_root() {
        _ if space.blocks() == 0 => return u64::MAX,
        true => space.blocks_free(),
        false => space.blocks_available(),
    };
    (blocks as u64).saturating_mul(space.fragment_size() as u64)
}
