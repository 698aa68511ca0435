//! Signals that would otherwise be what the user sees, `signal(7)`.

use super::raw_signal::{self, change_mask};
use nix::libc::{SIG_SETMASK, SIG_UNBLOCK};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The actions that were set when this process started, of the signals that it has set others for.
static INHERITED_ACTIONS: Mutex<Vec<(Signal, SigAction)>> = Mutex::new(Vec::new());

/// The signals that were blocked when this process started, once [`prepare`] has changed them.
static INHERITED_MASK: OnceLock<raw_signal::Set> = OnceLock::new();

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
    for signal in [Signal::SIGPIPE, Signal::SIGBUS] {
        let mask = change_mask(SIG_UNBLOCK, &raw_signal::only(signal as i32))?;
        INHERITED_MASK.get_or_init(|| mask);
    }
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
        Some(mask) => change_mask(SIG_SETMASK, mask).map(drop),
        None => Ok(()),
    }
}

thread_local! {
    /// How many [`BlockedSignals`] this thread has, and its mask before the first.
    static BLOCKED: Cell<(usize, Option<raw_signal::Set>)> = const { Cell::new((0, None)) };
}

/// Blocks all signals of this thread until it is dropped.
///
/// Several may overlap and be dropped in any order: the last one restores the mask that was there before the
/// first. The mask belongs to the thread, so the guard must not move to another one.
#[derive(Debug)]
pub struct BlockedSignals {
    _not_send: PhantomData<*const ()>,
}

impl BlockedSignals {
    /// Blocks all signals.
    ///
    /// # Errors
    ///
    /// Those of `sigprocmask(2)`.
    pub fn new() -> nix::Result<BlockedSignals> {
        let (depth, mut mask) = BLOCKED.get();
        if depth == 0 {
            mask = Some(change_mask(SIG_SETMASK, &raw_signal::all())?);
        }
        BLOCKED.set((depth + 1, mask));
        Ok(BlockedSignals {
            _not_send: PhantomData,
        })
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let (depth, mask) = BLOCKED.get();
        BLOCKED.set((depth - 1, mask));
        if depth == 1
            && let Some(mask) = mask
        {
            // It can only fail for an invalid operation, `sigprocmask(2)`.
            let restored = change_mask(SIG_SETMASK, &mask);
            debug_assert!(restored.is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_guard_restores_the_mask_whatever_the_order() {
        let mask = || SigSet::thread_get_mask().unwrap();
        let before = mask();
        let (first, second) = (BlockedSignals::new().unwrap(), BlockedSignals::new());
        drop(first);
        assert!(mask().contains(Signal::SIGTERM));
        drop(second);
        assert_eq!(mask(), before);
        drop(BlockedSignals::new());
        assert_eq!(mask(), before);
    }
}
