//! Where the process starts: C's `main`, and what Rust's runtime would do before ours.
//!
//! The runtime reads `/proc/self/maps` and sets up a signal stack, to tell an overflow of the stack from
//! other faults. That is a tenth of all the time that `read-int` takes, and nothing here recurses.

use crate::sys::io::stream;
use nix::libc::{c_char, c_int};
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

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

/// The arguments as the kernel laid them out, one after the other, each with a NUL behind it: where they
/// start, and how many bytes they take. This is what `ps` and `pgrep -f` look at.
static ARGUMENTS: (AtomicPtr<c_char>, AtomicUsize) =
    (AtomicPtr::new(ptr::null_mut()), AtomicUsize::new(0));

/// Prepares the process, and runs `main`.
///
/// # Safety
///
/// `args` are as many strings as `count` says, which nothing else uses: what C's `main` gets.
pub unsafe fn start(
    count: c_int,
    args: *const *const c_char,
    main: fn(&mut dyn Iterator<Item = OsString>) -> u8,
) -> c_int {
    stream::reopen_closed_streams();
    let count = count.try_into().unwrap_or(0);
    // SAFETY: the caller's promise.
    let arg = |index: usize| unsafe { CStr::from_ptr(*args.add(index)) };
    if count > 0 {
        let (first, last) = (arg(0), arg(count - 1));
        let end = last.as_ptr().addr() + last.count_bytes();
        ARGUMENTS
            .0
            .store(first.as_ptr().cast_mut(), Ordering::Relaxed);
        ARGUMENTS
            .1
            .store(end.saturating_sub(first.as_ptr().addr()), Ordering::Relaxed);
    }
    let mut args = (0..count).map(|index| OsStr::from_bytes(arg(index).to_bytes()).to_owned());
    main(&mut args).into()
}

/// Shows this text, as much of it as has room, instead of the arguments to whoever lists processes. Only for
/// a forked process that has its arguments in another form.
pub(super) fn overwrite_arguments(text: &CStr) {
    let (start, length) = (
        ARGUMENTS.0.load(Ordering::Relaxed),
        ARGUMENTS.1.load(Ordering::Relaxed),
    );
    let text = text.to_bytes();
    let shown = text.len().min(length);
    if !start.is_null() {
        // SAFETY: the kernel wrote the arguments to writable memory of this process (execve(2)), and `start`
        // got copies, so that nothing refers to them any more.
        unsafe {
            start.write_bytes(0, length);
            start.copy_from_nonoverlapping(text.as_ptr().cast(), shown);
        }
    }
}
