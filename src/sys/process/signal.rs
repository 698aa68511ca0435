//! Signals that would otherwise be what the user sees, `signal(7)`.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

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

thread_local! {
    /// How many [`BlockedSignals`] this thread has, and its mask before the first.
    static BLOCKED: Cell<(usize, SigSet)> = Cell::new((0, SigSet::empty()));
}

/// Blocks all signals of this thread until it is dropped.
///
/// Several may overlap and be dropped in any order: the last one restores the mask that was there before the
/// first. The mask belongs to the thread, so the guard must not move to another one.
#[derive(Debug)]
pub(in crate::sys) struct BlockedSignals {
    _not_send: PhantomData<*const ()>,
}

impl BlockedSignals {
    pub(in crate::sys) fn new() -> nix::Result<BlockedSignals> {
        let (depth, mut mask) = BLOCKED.get();
        if depth == 0 {
            mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
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
        if depth == 1 {
            // It can only fail for an invalid operation, `sigprocmask(2)`.
            let restored = mask.thread_set_mask();
            debug_assert_eq!(restored, Ok(()));
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
