//! Memory mappings (`mmap(2)`), unmapped when they are dropped. There are four kinds:
//!
//! | kind | initial contents | a store is visible to |
//! | --- | --- | --- |
//! | [private file](Mapping::private_file) | the file; a page is copied on the first store to it | this process |
//! | [shared file](Mapping::shared_file) | the file | everybody who maps or reads the file |
//! | [private anonymous](Mapping::private_anonymous) | zeros | this process |
//! | [shared anonymous](Mapping::shared_anonymous) | zeros | this process and children that it forks afterwards |

use super::bus_error::Pages;
use crate::sys::memory::access::Access;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{
    MapFlags, MmapAdvise, MsFlags, ProtFlags, madvise, mmap, mmap_anonymous, msync, munmap,
};
use nix::unistd::{SysconfVar, sysconf};
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

/// The kernel maps up to this number of bytes at a page fault, aligned to it.
const FAULT_AROUND: usize = 64 << 10;

/// A memory mapping. It stays mapped until it is dropped, whatever happens to the file.
///
/// A file can be truncated while it is mapped. Loads and stores beyond its new end then fail with
/// [`BusError`](super::bus_error::BusError), and system calls that get such an address fail with `EFAULT`.
#[derive(Debug)]
pub struct Mapping {
    pages: Pages,
    /// Bytes from the start of the first page to the first byte that was requested.
    page_offset: usize,
    /// The number of bytes that were requested.
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes of a file, starting at the byte `offset`, which need not be a multiple of the page size.
    /// Stores go to a private copy.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`: `EACCES` or `ENODEV` if the file cannot be mapped, `ENOMEM` if there is no address space
    /// left.
    pub fn private_file(
        file: impl AsFd,
        offset: u64,
        length: NonZero<usize>,
    ) -> nix::Result<Mapping> {
        Self::file(
            file,
            offset,
            length,
            Access::ReadWrite,
            MapFlags::MAP_PRIVATE,
        )
    }

    /// Maps `length` bytes of a file, starting at the byte `offset`, which need not be a multiple of the page size.
    /// Stores go to the file.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`: `EACCES` or `ENODEV` if the file cannot be mapped, `ENOMEM` if there is no address space
    /// left.
    pub fn shared_file(
        file: impl AsFd,
        offset: u64,
        length: NonZero<usize>,
        access: Access,
    ) -> nix::Result<Mapping> {
        Self::file(file, offset, length, access, MapFlags::MAP_SHARED)
    }

    /// Maps `length` zero bytes that are private to this process.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or address space left.
    pub fn private_anonymous(length: NonZero<usize>) -> nix::Result<Mapping> {
        Self::anonymous(length, MapFlags::MAP_PRIVATE)
    }

    /// Maps `length` zero bytes that this process shares with the children it forks from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or address space left.
    pub fn shared_anonymous(length: NonZero<usize>) -> nix::Result<Mapping> {
        Self::anonymous(length, MapFlags::MAP_SHARED)
    }

    fn file(
        file: impl AsFd,
        offset: u64,
        length: NonZero<usize>,
        access: Access,
        sharing: MapFlags,
    ) -> nix::Result<Mapping> {
        let end = offset
            .checked_add(length.get() as u64)
            .ok_or(Errno::EOVERFLOW)?;
        let window = offset - offset % page_size() as u64..end;
        Self::window(file, window, offset, length, access, sharing)
    }

    /// Maps `length` bytes of a file, starting at the byte `offset`, by mapping the bytes in `window`. This is for files
    /// of which only certain ranges can be mapped, such as whole huge pages. Stores go to the file.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`.
    ///
    /// # Panics
    ///
    /// Panics if the bytes are not within the window.
    pub(in crate::sys) fn shared_window(
        file: impl AsFd,
        window: Range<u64>,
        offset: u64,
        length: NonZero<usize>,
        access: Access,
    ) -> nix::Result<Mapping> {
        Self::window(file, window, offset, length, access, MapFlags::MAP_SHARED)
    }

    fn window(
        file: impl AsFd,
        window: Range<u64>,
        offset: u64,
        length: NonZero<usize>,
        access: Access,
        sharing: MapFlags,
    ) -> nix::Result<Mapping> {
        let end = offset.checked_add(length.get() as u64);
        assert!(window.start <= offset && end.is_some_and(|end| end <= window.end));
        let start = window.start.try_into().map_err(|_| Errno::EOVERFLOW)?;
        let whole = usize::try_from(window.end - window.start).ok();
        let whole = whole.and_then(NonZero::new).ok_or(Errno::ENOMEM)?;
        // SAFETY: the kernel chooses the address (no MAP_FIXED), so existing memory is not affected.
        let base = unsafe { mmap(None, whole, protection(access), sharing, file, start) }?;
        Ok(Mapping {
            // SAFETY: the pages are unmapped when the mapping is dropped, and not before.
            pages: unsafe { Pages::new(base, whole) },
            // The cast is safe: the offset is within the window, whose length fits into a usize.
            page_offset: (offset - window.start) as usize,
            length: length.get(),
        })
    }

    fn anonymous(length: NonZero<usize>, sharing: MapFlags) -> nix::Result<Mapping> {
        // SAFETY: as in `Mapping::file`.
        let base = unsafe { mmap_anonymous(None, length, protection(Access::ReadWrite), sharing) }?;
        Ok(Mapping {
            // SAFETY: as in `Mapping::file`.
            pages: unsafe { Pages::new(base, length) },
            page_offset: 0,
            length: length.get(),
        })
    }

    /// The length in bytes, as requested.
    #[allow(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The pages that contain the mapping.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Returns the address of the `length` bytes that start `offset` bytes into the mapping.
    ///
    /// # Panics
    ///
    /// Panics if these bytes are not within the mapping.
    pub(in crate::sys) fn address(&self, offset: usize, length: usize) -> NonNull<c_void> {
        let end = offset.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{offset}+{length} of {}",
            self.length
        );
        // SAFETY: the assertion has checked that the address is within the mapping or one past its end.
        unsafe { self.pages.base().byte_add(self.page_offset + offset) }
    }

    /// Writes `length` bytes, starting `offset` bytes into the mapping, to the byte `at` of a file, with `pwrite(2)`.
    /// Returns the number of bytes written, which may be smaller.
    ///
    /// This is safe even if other processes change or truncate the mapped memory meanwhile, because only the kernel
    /// accesses it.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is gone or cannot be read; otherwise those of `pwrite(2)`.
    pub(in crate::sys) fn write_to(
        &self,
        file: &File,
        at: u64,
        offset: usize,
        length: usize,
    ) -> nix::Result<usize> {
        let at = at.try_into().map_err(|_| Errno::EFBIG)?;
        let address = self.address(offset, length).as_ptr();
        // SAFETY: the range stays mapped as long as `self` is borrowed. If the file behind it is truncated, the kernel
        // returns EFAULT. nix would take a slice, which must not exist over memory that other processes change.
        let count = unsafe { libc::pwrite(file.as_raw_fd(), address, length, at) };
        // The cast is safe: a negative count would have been an error.
        Errno::result(count).map(|count| count as usize)
    }

    /// Prefaults the pages of a range for reading, so that a system call that uses them does not fault for each page.
    ///
    /// At a fault, the kernel maps all pages around it that are in memory already, up to 64 KiB (`fault_around_bytes`). So
    /// one page of each 64 KiB is enough, and much faster than to ask for all of them: those would be visited one by one.
    ///
    /// This is only a hint: Linux before 5.14 does not support it, and errors show when the pages are used.
    pub fn populate(&self, offset: usize, length: usize) {
        let first = self.address(offset, length).as_ptr().addr();
        let mut next = 0;
        while next < length {
            if self
                .advise(offset + next, 1, MmapAdvise::MADV_POPULATE_READ)
                .is_err()
            {
                return;
            }
            next = (first + next + 1).next_multiple_of(FAULT_AROUND) - first;
        }
    }

    /// Tells the kernel that the pages will be used one after the other, so that it reads the file ahead and
    /// forgets pages early.
    pub fn will_be_read_in_order(&self) {
        // This is only a hint.
        let _ = self.advise(0, self.length, MmapAdvise::MADV_SEQUENTIAL);
    }

    /// Prefaults the pages of a range for writing, so that stores into them do not fault unless the file is truncated.
    /// This allocates memory or disk space for holes.
    ///
    /// # Errors
    ///
    /// `EFAULT` if a store would raise SIGBUS, `EINVAL` if the kernel does not support this (Linux before 5.14), and
    /// others of `madvise(2)`.
    pub(in crate::sys) fn populate_for_stores(
        &self,
        offset: usize,
        length: usize,
    ) -> nix::Result<()> {
        self.advise(offset, length, MmapAdvise::MADV_POPULATE_WRITE)
    }

    /// Drops the pages of a range from the address space, so that they no longer count as memory of this process. The
    /// file keeps its contents, but stores into a private mapping are lost.
    pub fn drop_pages(&self, offset: usize, length: usize) {
        let _ = self.advise(offset, length, MmapAdvise::MADV_DONTNEED);
    }

    /// Writes all changed pages of the mapping to the disk, and waits for it (`msync(2)` with `MS_SYNC`).
    ///
    /// # Errors
    ///
    /// Those of `msync(2)`.
    pub fn sync(&self) -> nix::Result<()> {
        // SAFETY: the range stays mapped as long as `self` is borrowed. Writing pages back does not change them, and
        // the kernel skips pages that were truncated.
        unsafe {
            msync(
                self.pages.base(),
                self.pages.length().get(),
                MsFlags::MS_SYNC,
            )
        }
    }

    /// Calls `madvise(2)` for all pages that overlap a range.
    fn advise(&self, offset: usize, length: usize, advice: MmapAdvise) -> nix::Result<()> {
        let address = self.address(offset, length);
        let page_offset = address.as_ptr().addr() % page_size();
        // SAFETY: the start of the page belongs to the mapping, because the mapping starts at a page. Neither
        // prefaulting nor dropping pages changes the contents of a shared mapping, and there are no references into
        // mappings.
        unsafe { madvise(address.byte_sub(page_offset), length + page_offset, advice) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is exactly the range that `mmap` returned, and no address in it is used after the `Mapping`.
        // munmap(2) fails only for invalid addresses.
        let unmapped = unsafe { munmap(self.pages.base(), self.pages.length().get()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// Returns the size of a page in bytes (`sysconf(3)`).
pub(crate) fn page_size() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| size.try_into().ok())
        .expect("POSIX requires sysconf to return the page size")
}

/// Returns the end of the last page of a file of this size.
pub fn page_end(size: u64) -> u64 {
    size.checked_next_multiple_of(page_size() as u64)
        .unwrap_or(size)
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::Read => ProtFlags::PROT_READ,
        Access::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::int::{Int, IntType};
    use std::os::unix::fs::FileExt;

    #[test]
    fn an_offset_counts_from_the_start_of_the_file_and_not_of_the_window() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let length = NonZero::new(4).unwrap();
        for (window, offset) in [
            (0..1 << 20, (1 << 20) - 4),
            (65536..131072, 65536),
            (65536..131072, 70000),
        ] {
            let mapping =
                Mapping::shared_window(&file, window, offset, length, Access::ReadWrite).unwrap();
            assert_eq!(mapping.len(), 4);
            let int = Int::new(IntType::U32, offset.into()).unwrap();
            mapping.populate_for_stores(0, 4).unwrap();
            mapping.store(0, int).unwrap();
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, offset).unwrap();
            assert_eq!(Int::from_ne_bytes(IntType::U32, &bytes), int);
            mapping.sync().unwrap();
        }
    }
}
