//! Integers in mapped memory that other processes use at the same time: the atomic operations of the
//! machine, as `stdatomic.h(0p)` gives them to C.
//!
//! Memory that another process has truncated away, and a hole that a full file system cannot fill, is
//! [`Lost`].

use super::bus_error::Lost;
use super::int::{Int, IntType};
use super::mapping::Mapping;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

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

/// Whether an address is a multiple of the width of an integer type. `align_of` may be less (4 for a 64-bit
/// integer on 32-bit x86), but atomic operations need the whole width.
fn is_aligned<T>(pointer: *const T) -> bool {
    pointer.addr().is_multiple_of(size_of::<T>())
}

macro_rules! load {
    ($atomic:ty, $plain:ty, $address:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        if is_aligned(pointer) {
            // The mapping may be read-only. `core::sync::atomic` promises that a relaxed load never writes,
            // and says to add a fence for an acquire load.
            let value = <$atomic>::from_ptr(pointer).load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            value
        } else {
            pointer.cast::<Unaligned<$plain>>().read_volatile().0
        }
    }};
}

macro_rules! store {
    ($atomic:ty, $plain:ty, $address:expr, $bits:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        if is_aligned(pointer) {
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
// was truncated, the access faults and ends in zeros that take the mapping's place, see `bus_error`. A store
// into a read-only mapping faults, and ends the process. No access ever touches other memory.
impl Mapping {
    /// Loads the integer `offset` bytes from the start. If its address is a multiple of its width, the load is
    /// atomic, with acquire ordering.
    ///
    /// # Errors
    ///
    /// The memory is gone.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping.
    pub fn load(&self, offset: usize, int_type: IntType) -> Result<Int, Lost> {
        let address = self.address(offset, int_type.width());
        // SAFETY: above.
        let load = || unsafe { by_width!(int_type.width(), load!(address)) };
        let bits = self.pages().access(load)?;
        Ok(Int::from_bits(int_type, bits).expect("as many bits were loaded as the type has"))
    }

    /// Stores an integer `offset` bytes from the start. If its address is a multiple of its width, the store is
    /// atomic, and sequentially consistent.
    ///
    /// # Errors
    ///
    /// The memory is gone.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping.
    pub fn store(&self, offset: usize, int: Int) -> Result<(), Lost> {
        let width = int.int_type().width();
        let (address, bits) = (self.address(offset, width), int.to_bits());
        // SAFETY: above.
        let store = || unsafe { by_width!(width, store!(address, bits)) };
        self.pages().access(store).map(drop)
    }

    /// Stores `new` where the integer `offset` bytes from the start is `current`, in one atomic step, and
    /// gives the integer that was found there: `current` if it was stored.
    ///
    /// # Errors
    ///
    /// The memory is gone.
    ///
    /// # Panics
    ///
    /// The integer is not within the mapping, its address is not a multiple of its width, or `current` and
    /// `new` have different types.
    pub fn compare_exchange(&self, offset: usize, current: Int, new: Int) -> Result<Int, Lost> {
        let (int_type, width) = (current.int_type(), current.int_type().width());
        assert_eq!(int_type, new.int_type());
        let address = self.address(offset, width);
        assert!(
            address.addr().get().is_multiple_of(width),
            "nothing else is atomic"
        );
        let (current, new) = (current.to_bits(), new.to_bits());
        // SAFETY: above.
        let exchange = || unsafe { by_width!(width, compare_exchange!(address, current, new)) };
        let found = self.pages().access(exchange)?;
        Ok(Int::from_bits(int_type, found).expect("as many bits were found as the type has"))
    }
}
