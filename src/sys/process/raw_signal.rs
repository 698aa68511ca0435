//! Signals by their numbers: nix knows no real-time signals, and the C library keeps two of those to itself.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::siginfo;
use nix::unistd::getpid;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

/// The first of the kernel's real-time signals, each of which counts, `signal(7)`.
pub const FIRST_REAL_TIME: u32 = 32;

/// A set of signals that leaves none out.
pub type Set = libc::sigset_t;

/// All signals.
pub fn all() -> Set {
    set_of_bits(u64::MAX)
}

/// One signal.
pub fn only(signal: i32) -> Set {
    set_of_bits(1 << (signal - 1))
}

/// The same set for nix.
pub fn for_nix(set: Set) -> SigSet {
    // SAFETY: all bit patterns of a set are valid.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// A set as the kernel has it, one bit for each signal from 1 on. The C library's own functions leave out the two
/// signals that it uses itself.
fn set_of_bits(bits: u64) -> Set {
    let mut set = MaybeUninit::<Set>::zeroed();
    // SAFETY: a set is an array of words, at least 64 bits long, of which all bit patterns are valid.
    unsafe {
        set.as_mut_ptr().cast::<u64>().write_unaligned(bits);
        set.assume_init()
    }
}

/// Changes which signals this thread blocks, `rt_sigprocmask(2)`: `how` is SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK.
/// Returns what it blocked before. (SIGKILL and SIGSTOP cannot be blocked.)
///
/// # Errors
///
/// Those of `rt_sigprocmask(2)`.
pub fn change_mask(how: i32, set: &Set) -> nix::Result<Set> {
    let mut old = set_of_bits(0);
    let size = size_of::<u64>();
    // SAFETY: the call reads and writes as many bytes of the sets as it is told, and they have as many.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, set, &mut old, size) };
    Errno::result(result).map(|_| old)
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

/// Takes back a signal that is blocked and pending, if it is, `sigtimedwait(2)`.
pub fn discard_pending(signal: i32) {
    let (set, now) = (
        only(signal),
        libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    );
    // SAFETY: the set and the time are memory of our own, and no information about the signal is asked for.
    unsafe { libc::sigtimedwait(&set, ptr::null_mut(), &now) };
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

/// Sends a signal on to a process with the value that came with it, `rt_sigqueueinfo(2)`.
///
/// # Errors
///
/// Those of `rt_sigqueueinfo(2)`.
pub fn send_queued(id: i32, got: &siginfo) -> nix::Result<()> {
    /// The part of `siginfo_t` that `sigqueue(3)` fills in. The C library hides it.
    #[repr(C)]
    struct Queued {
        signal: i32,
        errno: i32,
        code: i32,
        sender: Sender,
    }
    #[repr(C)]
    struct Sender {
        pid: i32,
        uid: u32,
        value: *mut c_void,
    }
    let queued = Queued {
        signal: got.ssi_signo as i32,
        errno: 0,
        code: got.ssi_code,
        sender: Sender {
            pid: got.ssi_pid as i32,
            uid: got.ssi_uid,
            value: ptr::with_exposed_provenance_mut(got.ssi_ptr as usize),
        },
    };
    let mut information = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel reads one siginfo_t, which is longer than what is written to its start.
    unsafe {
        information.as_mut_ptr().cast::<Queued>().write(queued);
        let (call, signal) = (libc::SYS_rt_sigqueueinfo, got.ssi_signo);
        Errno::result(libc::syscall(call, id, signal, information.as_ptr())).map(drop)
    }
}

/// Sets the default action of a signal and sends it to this process, which has it blocked: it stays pending until
/// [`deliver`]. SIGKILL and SIGSTOP act at once.
///
/// # Errors
///
/// Those of `kill(2)`.
pub fn raise_default(signal: i32) -> nix::Result<()> {
    // SAFETY: zeros are a valid sigaction, with the default action, which runs no handler, and an empty mask. The call
    // fails for SIGKILL and SIGSTOP, which have no other action.
    unsafe {
        let default: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, &default, ptr::null_mut());
    }
    send(getpid().as_raw(), signal)
}

/// Unblocks a pending signal for as long as it takes to act, and blocks it again. The kernel may ignore it: PID 1
/// cannot be ended by its own signals, nor can an orphaned process group be stopped by those of the terminal.
///
/// # Errors
///
/// Those of `rt_sigprocmask(2)`.
pub fn deliver(signal: i32) -> nix::Result<()> {
    change_mask(libc::SIG_UNBLOCK, &only(signal))?;
    change_mask(libc::SIG_BLOCK, &only(signal)).map(drop)
}
