//! Loads and stores that fail, instead of killing the process, when the memory is gone: `mmap(2)`, SIGBUS.
//!
//! Whoever may write to a file can truncate it, and a program that then uses a mapping of it gets SIGBUS. No look
//! at the file's size prevents that, because the file may be truncated just before the next instruction. So a
//! handler lets the instruction finish on a page of zeros, and whoever made the access is told that it was lost.

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::ffi::c_void;
use std::num::NonZero;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};

/// The memory is gone: another process truncated the file, or the kernel has no page for it.
///
/// Nothing was stored, and what was loaded means nothing. The mapping stays lost, even if the file grows again: it
/// takes a new mapping to see the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory is gone: its file was truncated, or there is no page for it")]
pub struct Lost;

/// The action for SIGBUS before ours.
static PREVIOUS: OnceLock<SigAction> = OnceLock::new();

thread_local! {
    /// The pages that this thread is using right now. Null between two accesses.
    ///
    /// It is initialized at compile time and has nothing to drop, so that the handler may look at it: that is a
    /// plain load from the thread's own memory.
    static IN_USE: AtomicPtr<Pages> = const { AtomicPtr::new(null_mut()) };
}

/// The pages of one mapping.
#[derive(Debug)]
pub(super) struct Pages {
    base: NonNull<c_void>,
    length: NonZero<usize>,
    lost: AtomicBool,
}

impl Pages {
    /// # Safety
    ///
    /// `mmap` returned `base` for `length` bytes, and they stay mapped until the value is dropped.
    pub(super) unsafe fn new(base: NonNull<c_void>, length: NonZero<usize>) -> Pages {
        let lost = AtomicBool::new(false);
        Pages { base, length, lost }
    }

    pub(super) fn base(&self) -> NonNull<c_void> {
        self.base
    }

    pub(super) fn length(&self) -> NonZero<usize> {
        self.length
    }

    /// Runs `access`, which must not panic, and tells whether the pages that it used were there.
    pub(super) fn access<T>(&self, access: impl FnOnce() -> T) -> Result<T, Lost> {
        // A lost mapping holds zeros, and would take stores that nobody sees.
        if self.lost.load(Ordering::Relaxed) {
            return Err(Lost);
        }
        install_handler();
        let outer =
            IN_USE.with(|pages| pages.swap((&raw const *self).cast_mut(), Ordering::Relaxed));
        // The handler runs on this thread, in the middle of `access`: it is the compiler that must not move the
        // access out from between the two, nor the look at `lost` before it. A fault comes in program order.
        compiler_fence(Ordering::SeqCst);
        let result = access();
        compiler_fence(Ordering::SeqCst);
        IN_USE.with(|pages| pages.store(outer, Ordering::Relaxed));
        match self.lost.load(Ordering::Relaxed) {
            true => Err(Lost),
            false => Ok(result),
        }
    }

    /// Puts zeros in the place of all the pages, if the address lies in them.
    ///
    /// False: it does not, or that was done already, or the kernel refuses; then the fault would come back for ever.
    fn replace(&self, address: usize) -> bool {
        let start = self.base.addr();
        let contains = address >= start.get() && address - start.get() < self.length.get();
        if !contains || self.lost.swap(true, Ordering::Relaxed) {
            return false;
        }
        // All pages, not only this one: then no page is left that might be taken for the file's, and a mapping of
        // huge pages cannot be replaced in part. NORESERVE, so that the kernel does not count them as memory.
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: MAP_FIXED replaces exactly the pages that `new` was promised are ours. No reference points into
        // them (there are only raw pointers), and the mapping behind `self` unmaps the new pages as it would have
        // unmapped the old ones. That others truncate the file meanwhile does not matter: it is not used again.
        unsafe { mmap_anonymous(Some(start), self.length, access, flags) }.is_ok()
    }
}

/// Installs the handler, once in the process. It stays: there may be an access at any time.
fn install_handler() {
    PREVIOUS.get_or_init(|| {
        let handler = SigHandler::SigAction(on_bus_error);
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(handler, flags, SigSet::empty());
        // SAFETY: the handler makes only async-signal-safe calls, see there. If it cannot be installed, which no
        // kernel does, a bus error kills the process as it would have done without us.
        unsafe { sigaction(Signal::SIGBUS, &action) }.unwrap_or_else(|_| default_action())
    });
}

fn default_action() -> SigAction {
    SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
}

extern "C" fn on_bus_error(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid `siginfo_t` (`sigaction(2)`). Of a signal that a
    // process sent, the address is some number, which is not used.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let pages = IN_USE.with(|pages| pages.load(Ordering::Relaxed));
    // SAFETY: if it is not null, this thread is inside `access`, which borrows the pages until it has set it back.
    let pages = unsafe { pages.as_ref() };
    // BUS_ADRERR: there is no page for the address. All that runs here is async-signal-safe (`signal-safety(7)`):
    // atomics, and mmap and sigaction, which are single system calls that neither lock nor allocate.
    let is_replaced = code == libc::BUS_ADRERR && pages.is_some_and(|pages| pages.replace(address));
    if !is_replaced {
        hand_on(code);
    }
    Errno::set_raw(errno);
}

/// Leaves a bus error to whoever would have had it without us: usually it kills the process.
fn hand_on(code: c_int) {
    // The handler may run before its predecessor is noted, for a signal that was sent in that moment.
    let previous = PREVIOUS.get().copied().unwrap_or_else(default_action);
    // SAFETY: this action was in force before ours. It cannot fail: the same call has succeeded already.
    let _ = unsafe { sigaction(Signal::SIGBUS, &previous) };
    // A fault comes again when we return to the instruction. A signal that was sent (`sigaction(2)`: its code is
    // not positive) does not; `raise` cannot fail for a signal that exists.
    if code <= 0 {
        let _ = raise(Signal::SIGBUS);
    }
}
