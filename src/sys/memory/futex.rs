//! Sleeping until a word of shared memory changes: `futex(2)`.
//!
//! These are shared futexes (no `FUTEX_PRIVATE_FLAG`). The kernel identifies them by the file and the offset in it, so
//! that a wake-up reaches every process that maps the file, at whatever address.

use super::bus_error::BusError;
use super::int::{Endian, Int, IntType};
use super::mapping::Mapping;
use nix::errno::Errno;
use nix::libc;
use nix::sys::time::TimeSpec;
use std::ptr;
use std::time::Duration;

/// The size of a futex word in bytes. It must be aligned to its size.
pub const WORD_SIZE: usize = 4;

/// The futex word for an integer, with the value that the word had when the integer was loaded.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// Bytes from the start of the mapping.
    offset: usize,
    value: u32,
}

impl Word {
    /// Loads an integer and its futex word in one atomic access.
    ///
    /// For an integer smaller than a word, that is the word that contains it. For a 64-bit integer it is the half with
    /// the low bits, because almost every change affects them; the order of the bytes decides where it is. If a store changes only the high bits, and does so
    /// between this load and the sleep, [`sleep`](Self::sleep) does not notice and sleeps until its timeout.
    ///
    /// # Errors
    ///
    /// [`BusError`] if the memory is gone.
    ///
    /// # Panics
    ///
    /// Panics if the integer and its word are not within the mapping. The mapping must start at a multiple of
    /// [`WORD_SIZE`], and the integer must be aligned to its width.
    pub fn load(
        mapping: &Mapping,
        offset: usize,
        int_type: IntType,
        endian: Endian,
    ) -> Result<(Int, Word), BusError> {
        let (word, width) = (Self::offset(offset, int_type, endian), int_type.width());
        let (int, value) = match width >= WORD_SIZE {
            true => {
                let int = mapping.load(offset, int_type)?;
                // The machine's own order decides which half of the loaded bits the word is.
                let high = width > WORD_SIZE && endian != Endian::NATIVE;
                let bits = int.to_bits() >> if high { 32 } else { 0 };
                (int, bits as u32)
            }
            false => {
                let value = mapping.load(word, IntType::U32)?.to_bits() as u32;
                let part = &value.to_ne_bytes()[offset - word..][..width];
                (Int::from_ne_bytes(int_type, part), value)
            }
        };
        Ok((
            int,
            Word {
                offset: word,
                value,
            },
        ))
    }

    /// Returns zero and its futex word for an integer in a hole, without touching the memory: a load would allocate a
    /// page.
    pub fn for_hole(offset: usize, int_type: IntType, endian: Endian) -> (Int, Word) {
        let offset = Self::offset(offset, int_type, endian);
        (Int::zero(int_type), Word { offset, value: 0 })
    }

    fn offset(offset: usize, int_type: IntType, endian: Endian) -> usize {
        match int_type.width() {
            8 if endian == Endian::Big => offset + WORD_SIZE,
            _ => offset - offset % WORD_SIZE,
        }
    }

    /// Sleeps until the word is [woken](wake), at most for `timeout`. Returns immediately if the value of the word has
    /// changed since it was loaded. May also return early, so the caller must check the integer again.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the file was truncated before the word, or if there is no memory for the page of a hole.
    pub fn sleep(self, mapping: &Mapping, timeout: Duration) -> nix::Result<()> {
        let timeout = TimeSpec::from_duration(timeout);
        let timeout: *const libc::timespec = timeout.as_ref();
        match futex(mapping, self.offset, libc::FUTEX_WAIT, self.value, timeout) {
            // The value has changed, a signal arrived, or the time is up. The caller checks the integer in all cases.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT) => Ok(()),
            result => result,
        }
    }
}

/// Wakes everybody who sleeps on a word that overlaps the `length` bytes at `offset`.
pub fn wake(mapping: &Mapping, offset: usize, length: usize) {
    for word in (offset - offset % WORD_SIZE..offset + length).step_by(WORD_SIZE) {
        // EFAULT if the file was truncated before the word. Sleepers notice that when their timeout expires.
        let _ = futex(
            mapping,
            word,
            libc::FUTEX_WAKE,
            i32::MAX as u32,
            ptr::null(),
        );
    }
}

/// Calls `futex(2)`, which nix does not wrap.
fn futex(
    mapping: &Mapping,
    offset: usize,
    operation: i32,
    value: u32,
    timeout: *const libc::timespec,
) -> nix::Result<()> {
    let word = mapping.address(offset, WORD_SIZE).as_ptr();
    // SAFETY: the word stays mapped as long as `mapping` is borrowed. Only the kernel accesses it, and returns EFAULT
    // if the file was truncated. `timeout` is null, or points to a value that outlives this call.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, operation, value, timeout) };
    Errno::result(result).map(drop)
}
