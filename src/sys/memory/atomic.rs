//! Integers in mapped memory that other processes use at the same time: the atomic operations of the
//! machine, as `stdatomic.h(0p)` gives them to C.
//!
//! Memory that another process has truncated away raises SIGBUS, and so does a store into a hole that a
//! full file system cannot fill; see [`signal::bus_error_is`](crate::sys::process::signal::bus_error_is).

use super::int::{Int, IntType};
use super::mapping::Mapping;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// An integer at any address: the type makes the compiler use accesses that need no alignment.
#[repr(C, packed)]
struct Unaligned<T>(T);

/// Runs one of the macros below for the integer of a width, and widens what it gives to 64 bits.
macro_rules! by_width {
    ($width:expr, $operation:ident!($($argument:expr),*)) => {
        match $width {
            1 => u64::from($operation!(AtomicU8, u8, $($argument),*)),
            2 => u64::from($operation!(AtomicU16, u16, $($argument),*)),
            4 => u64::from($operation!(AtomicU32, u32, $($argument),*)),
            _ => $operation!(AtomicU64, u64, $($argument),*),
        }
    };
}

macro_rules! load {
    ($atomic:ty, $plain:ty, $address:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        if pointer.is_aligned() {
            <$atomic>::from_ptr(pointer).load(Ordering::SeqCst)
        } else {
            pointer.cast::<Unaligned<$plain>>().read_volatile().0
        }
    }};
}

macro_rules! store {
    ($atomic:ty, $plain:ty, $address:expr, $bits:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        if pointer.is_aligned() {
            <$atomic>::from_ptr(pointer).store($bits as $plain, Ordering::SeqCst);
        } else {
            pointer
                .cast::<Unaligned<$plain>>()
                .write_volatile(Unaligned($bits as $plain));
        }
        $bits as $plain
    }};
}

macro_rules! compare_exchange {
    ($atomic:ty, $plain:ty, $address:expr, $current:expr, $new:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        assert!(pointer.is_aligned(), "nothing else is atomic");
        let (current, new) = ($current as $plain, $new as $plain);
        let (success, failure) = (Ordering::SeqCst, Ordering::SeqCst);
        match <$atomic>::from_ptr(pointer).compare_exchange(current, new, success, failure) {
            Ok(found) | Err(found) => found,
        }
    }};
}

// SAFETY, of all three operations: the address is within the mapping, which lives as long as `self`, and
// every bit pattern is an integer. Other processes may store at any time: the aligned accesses are atomic,
// the others volatile, and no reference to the memory is made that promises it keeps still. If the file
// was truncated, or the mapping was made to be read only and is stored into, the access faults; it never
// touches other memory.
impl Mapping {
    /// Loads the integer `offset` bytes from the start: atomically where it is aligned to its type.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping.
    pub fn load(&self, offset: usize, int_type: IntType) -> Int {
        let address = self.address(offset, int_type.width());
        // SAFETY: above.
        let bits = unsafe { by_width!(int_type.width(), load!(address)) };
        Int::from_bits(int_type, bits).expect("as many bits were loaded as the type has")
    }

    /// Stores an integer `offset` bytes from the start: atomically where it is aligned to its type.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping.
    pub fn store(&self, offset: usize, int: Int) {
        let width = int.int_type().width();
        let (address, bits) = (self.address(offset, width), int.to_bits());
        // SAFETY: above.
        unsafe { by_width!(width, store!(address, bits)) };
    }

    /// Stores `new` where the integer `offset` bytes from the start is `current`, in one atomic step, and
    /// gives the integer that was found there: `current` if it was stored.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping, is not aligned to its type, or the two are of two types.
    pub fn compare_exchange(&self, offset: usize, current: Int, new: Int) -> Int {
        let int_type = current.int_type();
        assert_eq!(int_type, new.int_type());
        let address = self.address(offset, int_type.width());
        let (current, new) = (current.to_bits(), new.to_bits());
        // SAFETY: above.
        let found =
            unsafe { by_width!(int_type.width(), compare_exchange!(address, current, new)) };
        Int::from_bits(int_type, found).expect("as many bits were found as the type has")
    }
}
