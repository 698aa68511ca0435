//! Signals by their numbers: nix knows no real-time signals, and the C library keeps two of those to itself.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::getpid;
use std::mem::MaybeUninit;
use std::ptr;

/// Blocks every signal in this thread, and returns their set. (SIGKILL and SIGSTOP cannot be blocked.)
///
/// # Errors
///
/// Those of `rt_sigprocmask(2)`.
pub fn block_all() -> nix::Result<SigSet> {
    let all = set_of_bits(u64::MAX);
    change_mask(libc::SIG_BLOCK, &all)?;
    // SAFETY: all bit patterns of a set are valid.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(all) })
}

/// The set of one signal.
pub fn only(signal: i32) -> libc::sigset_t {
    set_of_bits(1 << (signal - 1))
}

/// A set as the kernel has it, one bit for each signal from 1 on. The C library's own functions leave out the two
/// signals that it uses itself.
fn set_of_bits(bits: u64) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a set is an array of words, longer than 64 bits, of which all bit patterns are valid.
    unsafe {
        set.as_mut_ptr().cast::<u64>().write_unaligned(bits);
        set.assume_init()
    }
}

/// `rt_sigprocmask(2)`.
fn change_mask(how: i32, set: &libc::sigset_t) -> nix::Result<()> {
    let (nothing, size) = (ptr::null_mut::<libc::sigset_t>(), size_of::<u64>());
    // SAFETY: the call reads as many bytes of the set as it is told.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, set, nothing, size) };
    Errno::result(result).map(drop)
}

/// Whether a signal waits to be delivered, `sigpending(2)`.
///
/// # Errors
///
/// Those of `sigpending(2)`.
pub fn is_pending(signal: i32) -> nix::Result<bool> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigpending initializes the set, which is memory of our own.
    unsafe {
        Errno::result(libc::sigpending(set.as_mut_ptr()))?;
        Ok(libc::sigismember(set.as_ptr(), signal) == 1)
    }
}

/// Sends a signal to a process, or to a process group if the id is negative, `kill(2)`.
///
/// # Errors
///
/// Those of `kill(2)`.
pub fn send(id: i32, signal: i32) -> nix::Result<()> {
    // SAFETY: the call takes no memory.
    Errno::result(unsafe { libc::kill(id, signal) }).map(drop)
}

/// Has the default action of a signal happen to this process, which has it blocked: stops until it is continued,
/// or ends. Returns at once if the kernel ignores the signal: PID 1 cannot be ended by its own signals, nor an
/// orphaned process group be stopped by those of the terminal. Afterwards the signal is blocked again.
///
/// # Errors
///
/// Those of `kill(2)` and `rt_sigprocmask(2)`.
pub fn raise_default(signal: i32) -> nix::Result<()> {
    let set = only(signal);
    // SAFETY: zeros are a valid sigaction, with the default action, which runs no handler, and an empty mask. It fails
    // for SIGKILL and SIGSTOP, which have no other action.
    unsafe {
        let default: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, &default, ptr::null_mut());
    }
    send(getpid().as_raw(), signal)?;
    change_mask(libc::SIG_UNBLOCK, &set)?;
    change_mask(libc::SIG_BLOCK, &set)
}
