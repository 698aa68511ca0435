//! Sleeping until a word of shared memory changes, `futex(2)`.
//!
//! The kernel knows the words of a file by the file and the place in it, so that all who map it meet,
//! wherever they map it; that takes the shared kind (no `FUTEX_PRIVATE_FLAG`).

use super::bus_error::Lost;
use super::int::{Int, IntType};
use super::mapping::Mapping;
use nix::errno::Errno;
use nix::libc;
use nix::sys::time::TimeSpec;
use std::ptr;
use std::time::Duration;

/// The bytes of the word that is slept on. It is aligned to as many.
pub const WORD: usize = 4;

/// The word to sleep on for an integer, and the value it had when the integer was loaded.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// In bytes from the start of the mapping.
    offset: usize,
    value: u32,
}

impl Word {
    /// Loads an integer and the word that stands for it, in one atomic access.
    ///
    /// That is the word around a smaller integer. Of the two words of a 64-bit one it is the one with the
    /// low bits, which next to every change changes. A store that changes the other alone just between
    /// this load and the sleep is slept through, to the end of the timeout.
    ///
    /// # Errors
    ///
    /// The memory is gone.
    ///
    /// # Panics
    ///
    /// The mapping does not start on a word, or the integer is not aligned to its type.
    pub fn load(mapping: &Mapping, offset: usize, int_type: IntType) -> Result<(Int, Word), Lost> {
        let (word, width) = (Self::offset(offset, int_type), int_type.width());
        let (int, value) = match width >= WORD {
            true => {
                let int = mapping.load(offset, int_type)?;
                (int, int.to_bits() as u32)
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

    /// The same for an integer that lies in a hole, of which nothing is loaded.
    pub fn of_hole(offset: usize, int_type: IntType) -> (Int, Word) {
        let offset = Self::offset(offset, int_type);
        (Int::zero(int_type), Word { offset, value: 0 })
    }

    fn offset(offset: usize, int_type: IntType) -> usize {
        match int_type.width() {
            8 if cfg!(target_endian = "big") => offset + WORD,
            _ => offset - offset % WORD,
        }
    }

    /// Sleeps until somebody [wakes](wake) the word, but at most for `timeout`; not at all if it has
    /// another value by now.
    ///
    /// # Errors
    ///
    /// `EFAULT`: the file was truncated there, or there is no memory for a page of a hole.
    pub fn sleep(self, mapping: &Mapping, timeout: Duration) -> nix::Result<()> {
        let timeout = TimeSpec::from_duration(timeout);
        let timeout: *const libc::timespec = timeout.as_ref();
        match futex(mapping, self.offset, libc::FUTEX_WAIT, self.value, timeout) {
            // Another value, a signal, the timeout: each a reason to look again.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT) => Ok(()),
            result => result,
        }
    }
}

/// Wakes all who sleep on a word that these bytes are in, whole or in part.
pub fn wake(mapping: &Mapping, offset: usize, length: usize) {
    for word in (offset - offset % WORD..offset + length).step_by(WORD) {
        // EFAULT: the file was truncated there, and who sleeps on it looks by itself, after its timeout.
        let _ = futex(
            mapping,
            word,
            libc::FUTEX_WAKE,
            i32::MAX as u32,
            ptr::null(),
        );
    }
}

/// nix does not wrap `futex(2)`.
fn futex(
    mapping: &Mapping,
    offset: usize,
    operation: i32,
    value: u32,
    timeout: *const libc::timespec,
) -> nix::Result<()> {
    let word = mapping.address(offset, WORD).as_ptr();
    // SAFETY: the word is mapped for as long as `mapping` is borrowed, and only the kernel looks at it:
    // where the file was truncated it says EFAULT. `timeout` is null or lives as long as the caller.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, operation, value, timeout) };
    Errno::result(result).map(drop)
}
