//! Signals that would otherwise be what the user sees, `signal(7)`.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What the handler of SIGBUS writes, and the status that it ends the process with.
static BUS_ERROR: OnceLock<(Vec<u8>, i32)> = OnceLock::new();

/// The actions that were set when this process started, of the signals that it has set others for.
static INHERITED_ACTIONS: Mutex<Vec<(Signal, SigAction)>> = Mutex::new(Vec::new());

/// The signals that were blocked when this process started, once [`prepare`] has changed them.
static INHERITED_MASK: OnceLock<SigSet> = OnceLock::new();

/// Sets the signals that writing raises, as every verb needs them.
///
/// SIGPIPE ends the process when nobody reads its output any more, as it ends `cat`, even if our parent
/// ignored it. SIGXFSZ is ignored, so that a file too large for `RLIMIT_FSIZE` is an error (`EFBIG`,
/// `setrlimit(2)`) and does not end the process. Neither SIGPIPE nor SIGBUS is blocked, even if our parent
/// blocked it: a blocked SIGBUS would end us all the same, but without a word.
///
/// # Errors
///
/// Those of `sigaction(2)` and `sigprocmask(2)`.
pub fn prepare() -> nix::Result<()> {
    set(Signal::SIGPIPE, SigHandler::SigDfl)?;
    set(Signal::SIGXFSZ, SigHandler::SigIgn)?;
    let unblocked = SigSet::from_iter([Signal::SIGPIPE, Signal::SIGBUS]);
    let mask = unblocked.thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
    INHERITED_MASK.get_or_init(|| mask);
    Ok(())
}

/// Ignores SIGIO, which tells the holder of a lease that somebody else wants the file (`F_SETLEASE`, `fcntl(2)`),
/// and ends a process that does not expect it.
///
/// # Errors
///
/// Those of `sigaction(2)`.
pub fn ignore_lease_breaks() -> nix::Result<()> {
    set(Signal::SIGIO, SigHandler::SigIgn)
}

/// Has the kernel keep the status of children for `waitpid(2)`, even if our parent ignored SIGCHLD.
///
/// # Errors
///
/// Those of `sigaction(2)`.
pub fn notice_children() -> nix::Result<()> {
    set(Signal::SIGCHLD, SigHandler::SigDfl)
}

/// Sets the default action of a signal, or ignores it, and remembers what was set before the first change.
fn set(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither the default action nor ignoring a signal runs a handler.
    let old = unsafe { sigaction(signal, &action) }?;
    let mut inherited = INHERITED_ACTIONS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if inherited.iter().all(|(known, _)| *known != signal) {
        inherited.push((signal, old));
    }
    Ok(())
}

/// Restores the actions and the mask that were inherited, for a command that is to run as if on its own.
///
/// # Errors
///
/// Those of `sigaction(2)` and `sigprocmask(2)`.
pub fn restore_inherited() -> nix::Result<()> {
    for (signal, action) in INHERITED_ACTIONS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        // SAFETY: the action was in force when the process started, when it had no handlers.
        unsafe { sigaction(*signal, action) }?;
    }
    match INHERITED_MASK.get() {
        Some(mask) => mask.thread_set_mask(),
        None => Ok(()),
    }
}

/// All signals of this thread, let in again when it is dropped.
#[derive(Debug)]
pub(in crate::sys) struct BlockedSignals(SigSet);

impl BlockedSignals {
    pub(in crate::sys) fn new() -> nix::Result<BlockedSignals> {
        SigSet::all()
            .thread_swap_mask(SigmaskHow::SIG_SETMASK)
            .map(BlockedSignals)
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // It can only fail for a mask that is none, `sigprocmask(2)`.
        let restored = self.0.thread_set_mask();
        debug_assert_eq!(restored, Ok(()));
    }
}

/// Ends the process with this message on standard error, and this status, when a mapping is touched
/// whose file was truncated meanwhile (SIGBUS, `mmap(2)`). Only the first call counts.
///
/// # Errors
///
/// Those of `sigaction(2)`.
pub fn bus_error_is(message: String, status: i32) -> nix::Result<()> {
    BUS_ERROR.get_or_init(|| (message.into_bytes(), status));
    let action = SigAction::new(
        SigHandler::Handler(on_bus_error),
        SaFlags::empty(),
        SigSet::all(),
    );
    // SAFETY: the handler makes only calls that `signal-safety(7)` lists, and does not return.
    unsafe { sigaction(Signal::SIGBUS, &action) }.map(drop)
}

extern "C" fn on_bus_error(_: libc::c_int) {
    let (message, status) = BUS_ERROR
        .get()
        .map_or((&[][..], 1), |(text, status)| (text, *status));
    // SAFETY: `message` is memory of our own that never changes again (reading a set OnceLock takes no
    // lock), and write and _exit are async-signal-safe. There is nobody to tell that the write failed.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(status)
    }
}
