//! Where the process starts: C's `main`, and what Rust's runtime would do before ours.
//!
//! The runtime reads `/proc/self/maps` and sets up a signal stack, to tell an overflow of the stack from
//! other faults. That is a tenth of all the time that `read-int` takes, and nothing here recurses.

use crate::sys::io::stream;
use nix::libc::{c_char, c_int};
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Makes a function of the arguments, the program's name first, the program's `main`. What it returns is
/// the exit status.
#[macro_export]
macro_rules! start_with {
    ($main:path) => {
        // SAFETY: nothing else is called `main` where there is `#![no_main]`.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: ::std::ffi::c_int,
            args: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: this is what the C library calls, with what the kernel gave it.
            unsafe { $crate::sys::process::start::start(count, args, $main) }
        }
    };
}

/// Prepares the process, and runs `main`.
///
/// # Safety
///
/// `args` are as many strings as `count` says, and change no more: what C's `main` gets.
pub unsafe fn start(
    count: c_int,
    args: *const *const c_char,
    main: fn(&mut dyn Iterator<Item = OsString>) -> u8,
) -> c_int {
    stream::occupy_closed();
    let mut args = (0..count.try_into().unwrap_or(0)).map(|index| {
        // SAFETY: the caller's promise.
        let arg = unsafe { CStr::from_ptr(*args.add(index)) };
        OsStr::from_bytes(arg.to_bytes()).to_owned()
    });
    main(&mut args).into()
}
