//! Atomic operations on integers in mapped memory that other processes use at the same time. They are compatible with
//! `stdatomic.h(0p)` in C.
//!
//! An operation fails with [`BusError`] if another process truncated the file, or if it hits a hole that a full file
//! system cannot fill.

use super::bus_error::BusError;
use super::int::{Int, IntType};
use super::mapping::Mapping;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// An integer at any address. `packed` makes the compiler generate accesses that need no alignment.
#[repr(C, packed)]
struct Unaligned<T>(T);

/// Runs one of the macros below for integers of this width in bytes, and widens the result to 64 bits.
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

/// Returns whether an address is a multiple of the size of `T`. `align_of` may be smaller (4 for a 64-bit integer on
/// 32-bit x86), but atomic operations need the full size.
fn is_aligned<T>(pointer: *const T) -> bool {
    pointer.addr().is_multiple_of(size_of::<T>())
}

macro_rules! load {
    ($atomic:ty, $plain:ty, $address:expr) => {{
        let pointer = $address.as_ptr().cast::<$plain>();
        if is_aligned(pointer) {
            // The mapping may be read-only. `core::sync::atomic` guarantees only for relaxed loads that they do not
            // write, and recommends a fence to get acquire ordering.
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

macro_rules! load_plain {
    ($atomic:ty, $plain:ty, $address:expr) => {
        $address.as_ptr().cast::<$plain>().read_volatile()
    };
}

macro_rules! store_plain {
    ($atomic:ty, $plain:ty, $address:expr, $bits:expr) => {{
        let bits = $bits as $plain;
        $address.as_ptr().cast::<$plain>().write_volatile(bits);
        bits
    }};
}

// SAFETY of all operations: `Mapping::address` checks that the integer is within the mapping, which stays mapped
// as long as `self` is borrowed. Every bit pattern is a valid integer. Other processes may store at any time, so
// aligned accesses are atomic, unaligned ones are volatile, and no reference to the memory is created. If the file was
// truncated, the access faults; the SIGBUS handler then replaces the mapping with zeros, and the access completes
// there (see `bus_error`). A store into a read-only mapping raises SIGSEGV, which kills the process. No access ever
// touches memory outside the mapping.
impl Mapping {
    /// Loads the integer at `offset` bytes from the start of the mapping. The load is atomic, with acquire ordering,
    /// if the address is a multiple of the type's width.
    ///
    /// # Errors
    ///
    /// [`BusError`] if the memory is gone.
    ///
    /// # Panics
    ///
    /// Panics if the integer is not within the mapping.
    pub fn load(&self, offset: usize, int_type: IntType) -> Result<Int, BusError> {
        let address = self.address(offset, int_type.width());
        // SAFETY: see the comment on this `impl` block.
        let load = || unsafe { by_width!(int_type.width(), load!(address)) };
        let bits = self.pages().access(load)?;
        Ok(Int::from_bits(int_type, bits).expect("the number of bits loaded is that of the type"))
    }

    /// Stores an integer at `offset` bytes from the start of the mapping. The store is atomic, with sequentially
    /// consistent ordering, if the address is a multiple of the type's width.
    ///
    /// # Errors
    ///
    /// [`BusError`] if the memory is gone.
    ///
    /// # Panics
    ///
    /// Panics if the integer is not within the mapping.
    pub fn store(&self, offset: usize, int: Int) -> Result<(), BusError> {
        let width = int.int_type().width();
        let (address, bits) = (self.address(offset, width), int.to_bits());
        // SAFETY: see the comment on this `impl` block.
        let store = || unsafe { by_width!(width, store!(address, bits)) };
        self.pages().access(store).map(drop)
    }

    /// Atomically stores `new` at `offset` bytes from the start of the mapping if the integer there equals `current`.
    /// Returns the previous integer; `new` was stored if that equals `current`.
    ///
    /// # Errors
    ///
    /// [`BusError`] if the memory is gone.
    ///
    /// # Panics
    ///
    /// Panics if the integer is not within the mapping, if its address is not a multiple of the type's width, or if
    /// `current` and `new` have different types.
    pub fn compare_exchange(&self, offset: usize, current: Int, new: Int) -> Result<Int, BusError> {
        let (int_type, width) = (current.int_type(), current.int_type().width());
        assert_eq!(int_type, new.int_type());
        let address = self.aligned_address(offset, int_type);
        let (current, new) = (current.to_bits(), new.to_bits());
        // SAFETY: see the comment on this `impl` block.
        let exchange = || unsafe { by_width!(width, compare_exchange!(address, current, new)) };
        let found = self.pages().access(exchange)?;
        Ok(Int::from_bits(int_type, found).expect("the number of bits loaded is that of the type"))
    }

    /// Loads the integer at `offset` bytes from the start of the mapping with one plain load instruction of the type's
    /// width. This is for registers of devices. (On a 32-bit machine, a 64-bit integer takes two instructions.)
    ///
    /// # Errors
    ///
    /// [`BusError`] if there is no memory at the address.
    ///
    /// # Panics
    ///
    /// Panics if the integer is not within the mapping, or if its address is not a multiple of the type's width.
    pub fn load_volatile(&self, offset: usize, int_type: IntType) -> Result<Int, BusError> {
        let address = self.aligned_address(offset, int_type);
        // SAFETY: see the comment on this `impl` block.
        let load = || unsafe { by_width!(int_type.width(), load_plain!(address)) };
        let bits = self.pages().access(load)?;
        Ok(Int::from_bits(int_type, bits).expect("the number of bits loaded is that of the type"))
    }

    /// Stores an integer at `offset` bytes from the start of the mapping with one plain store instruction of the type's
    /// width. This is for registers of devices: the atomic store of x86 also reads, and locks the bus. (On a 32-bit
    /// machine, a 64-bit integer takes two instructions.)
    ///
    /// # Errors
    ///
    /// [`BusError`] if there is no memory at the address.
    ///
    /// # Panics
    ///
    /// Panics if the integer is not within the mapping, or if its address is not a multiple of the type's width.
    pub fn store_volatile(&self, offset: usize, int: Int) -> Result<(), BusError> {
        let (address, bits) = (self.aligned_address(offset, int.int_type()), int.to_bits());
        // SAFETY: see the comment on this `impl` block.
        let store = || unsafe { by_width!(int.int_type().width(), store_plain!(address, bits)) };
        self.pages().access(store).map(drop)
    }

    /// Returns the address of an integer. Panics if it is not aligned.
    fn aligned_address(&self, offset: usize, int_type: IntType) -> NonNull<c_void> {
        let address = self.address(offset, int_type.width());
        assert!(
            address.addr().get().is_multiple_of(int_type.width()),
            "this operation needs an aligned address"
        );
        address
    }
}
