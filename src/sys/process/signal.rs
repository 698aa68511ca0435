//! Signals that would otherwise be what the user sees, `signal(7)`.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use std::sync::OnceLock;

/// What the handler of SIGBUS writes, and the status that it ends the process with.
static BUS_ERROR: OnceLock<(Vec<u8>, i32)> = OnceLock::new();

/// What was set before [`prepare`], by whoever started this process.
static INHERITED: OnceLock<Inherited> = OnceLock::new();

#[derive(Debug)]
struct Inherited {
    actions: [(Signal, SigAction); 2],
    mask: SigSet,
}

/// Sets the signals that writing raises, as every verb needs them.
///
/// SIGPIPE ends the process when nobody reads its output any more, as it ends `cat`, though our parent
/// ignored it. SIGXFSZ is ignored: a file too large for `RLIMIT_FSIZE` is an error (`EFBIG`,
/// `setrlimit(2)`) and not a death. Neither SIGPIPE nor SIGBUS is blocked, though our parent blocked it:
/// SIGBUS would kill us all the same, but without a word.
///
/// # Errors
///
/// Those of `sigaction(2)` and `sigprocmask(2)`.
pub fn prepare() -> nix::Result<()> {
    let set = |signal, handler| {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: neither action is a handler that could do harm.
        unsafe { sigaction(signal, &action) }.map(|old| (signal, old))
    };
    let actions = [
        set(Signal::SIGPIPE, SigHandler::SigDfl)?,
        set(Signal::SIGXFSZ, SigHandler::SigIgn)?,
    ];
    let ours = SigSet::from_iter([Signal::SIGPIPE, Signal::SIGBUS]);
    let mask = ours.thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
    INHERITED.get_or_init(|| Inherited { actions, mask });
    Ok(())
}

/// Gives the signals back as they were before [`prepare`], for a command that is to run as if on its own.
///
/// # Errors
///
/// Those of `sigaction(2)` and `sigprocmask(2)`.
pub fn give_back() -> nix::Result<()> {
    let Some(Inherited { actions, mask }) = INHERITED.get() else {
        return Ok(());
    };
    for (signal, action) in actions {
        // SAFETY: it is what it was; a process that has just been started has no handlers.
        unsafe { sigaction(*signal, action) }?;
    }
    mask.thread_set_mask()
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
