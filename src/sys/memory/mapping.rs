//! A memory mapping, `mmap(2)`, that unmaps itself: the four kinds there are.
//!
//! | kind | made of | who sees a store |
//! | --- | --- | --- |
//! | [private file](Mapping::private_file) | a copy of the file's pages, made on the first store | this process |
//! | [shared file](Mapping::shared_file) | the file's pages | everyone who maps or reads the file |
//! | [private anonymous](Mapping::private_anonymous) | zeros | this process |
//! | [shared anonymous](Mapping::shared_anonymous) | zeros | this process and the children it forks |

use super::bus_error::Pages;
use crate::sys::memory::access::Access;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use nix::unistd::{SysconfVar, sysconf};
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

/// Mapped memory. It stays mapped until it is dropped, whatever happens to the file.
///
/// A file can be truncated while it is mapped. Loads and stores of what is gone then fail with
/// [`Lost`](super::bus_error::Lost), and system calls that are given the address fail with `EFAULT`.
#[derive(Debug)]
pub struct Mapping {
    pages: Pages,
    /// From the start of the first page to the first byte that was asked for.
    lead: usize,
    /// The bytes that were asked for.
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes of a file from `offset` on, which need not be on a page. Stores go to a copy.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`: `EACCES` or `ENODEV` for what cannot be mapped, `ENOMEM` without room.
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

    /// Maps `length` bytes of a file from `offset` on, which need not be on a page. Stores go to the file.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`: `EACCES` or `ENODEV` for what cannot be mapped, `ENOMEM` without room.
    pub fn shared_file(
        file: impl AsFd,
        offset: u64,
        length: NonZero<usize>,
        access: Access,
    ) -> nix::Result<Mapping> {
        Self::file(file, offset, length, access, MapFlags::MAP_SHARED)
    }

    /// Maps `length` zero bytes that no other process sees.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without room.
    pub fn private_anonymous(length: NonZero<usize>) -> nix::Result<Mapping> {
        Self::anonymous(length, MapFlags::MAP_PRIVATE)
    }

    /// Maps `length` zero bytes that this process shares with the children it forks from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without room.
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
        let page = page_size() as u64;
        let lead = (offset % page) as usize;
        let start = (offset - offset % page)
            .try_into()
            .map_err(|_| Errno::EOVERFLOW)?;
        let whole = length.checked_add(lead).ok_or(Errno::ENOMEM)?;
        // SAFETY: the kernel chooses the address (no MAP_FIXED), so no memory that exists is touched.
        let base = unsafe { mmap(None, whole, protection(access), sharing, file, start) }?;
        Ok(Mapping {
            // SAFETY: they are unmapped when the mapping is dropped, and not before.
            pages: unsafe { Pages::new(base, whole) },
            lead,
            length: length.get(),
        })
    }

    fn anonymous(length: NonZero<usize>, sharing: MapFlags) -> nix::Result<Mapping> {
        // SAFETY: as for a file.
        let base = unsafe { mmap_anonymous(None, length, protection(Access::ReadWrite), sharing) }?;
        Ok(Mapping {
            // SAFETY: as for a file.
            pages: unsafe { Pages::new(base, length) },
            lead: 0,
            length: length.get(),
        })
    }

    /// The bytes that are mapped.
    #[allow(clippy::len_without_is_empty, reason = "no mapping is empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The pages that the mapping lies in.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The address of the byte `offset` bytes from the start.
    ///
    /// # Panics
    ///
    /// `offset` and the `length` bytes after it are not within the mapping.
    pub(in crate::sys) fn address(&self, offset: usize, length: usize) -> NonNull<c_void> {
        let end = offset.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{offset}+{length} of {}",
            self.length
        );
        // SAFETY: by the assertion the address is within the mapping, or one past its end.
        unsafe { self.pages.base().byte_add(self.lead + offset) }
    }

    /// Writes some of `length` bytes from `offset` on to a place in a file, `pwrite(2)`, and says how many.
    ///
    /// The bytes may change or vanish meanwhile: only the kernel looks at them.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the bytes are gone, or cannot be read; else those of `pwrite(2)`.
    pub(in crate::sys) fn write_to(
        &self,
        file: &File,
        at: u64,
        offset: usize,
        length: usize,
    ) -> nix::Result<usize> {
        let at = at.try_into().map_err(|_| Errno::EFBIG)?;
        let address = self.address(offset, length).as_ptr();
        // SAFETY: the range is mapped for as long as `self` is borrowed. If the file behind it is truncated,
        // the kernel says EFAULT. nix takes a slice, which must not be made over it.
        let count = unsafe { libc::pwrite(file.as_raw_fd(), address, length, at) };
        // Not negative: that would have been an error.
        Errno::result(count).map(|count| count as usize)
    }

    /// Gets the pages of a range ready to be read, all at once: one call is cheaper than a fault for each.
    ///
    /// It is a hint: Linux before 5.14 does not know it, and pages that cannot be had are told of when
    /// they are used.
    pub fn populate(&self, offset: usize, length: usize) {
        self.advise(offset, length, MmapAdvise::MADV_POPULATE_READ);
    }

    /// Lets the pages of a range go, which are counted as this process's memory as long as they are
    /// mapped. The file keeps them; a private mapping loses what was stored into it.
    pub fn let_go(&self, offset: usize, length: usize) {
        self.advise(offset, length, MmapAdvise::MADV_DONTNEED);
    }

    /// Advises on all pages that a range touches, `madvise(2)`. Whether it helped does not matter.
    fn advise(&self, offset: usize, length: usize, advice: MmapAdvise) {
        let address = self.address(offset, length);
        let lead = address.as_ptr().addr() % page_size();
        // SAFETY: the page's start is within the mapping, for that starts on a page. Reading ahead and
        // letting go change no memory of a shared mapping, and references into mappings are never made.
        let _ = unsafe { madvise(address.byte_sub(lead), length + lead, advice) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` gave us, and no address of it is used after its `Mapping`. It can
        // only fail for an address that is none (`munmap(2)`).
        let unmapped = unsafe { munmap(self.pages.base(), self.pages.length().get()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// The bytes of a page, `sysconf(3)`.
fn page_size() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| size.try_into().ok())
        .expect("POSIX has every system know its page size")
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::Read => ProtFlags::PROT_READ,
        Access::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    }
}
