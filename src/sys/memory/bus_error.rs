//! Turns SIGBUS during an access to mapped memory (`mmap(2)`) into an error, so that it does not kill the process.
//!
//! Any process that may write to a file can truncate it. A program that then accesses a mapping of the file gets
//! SIGBUS. Checking the size first does not help, because the file can be truncated between the check and the access.
//! So a SIGBUS handler replaces the mapping with zeros, the faulting instruction completes there, and the access
//! returns [`BusError`].

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::ffi::c_void;
use std::num::NonZero;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};

/// The mapped memory is gone: another process truncated the file, or the kernel cannot allocate a page for a hole.
///
/// Nothing was stored in the file, and no loaded value is returned. All later accesses through the same mapping fail
/// too, even if the file grows again; create a new mapping then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory is gone: its file was truncated, or there is no page for it")]
pub struct BusError;

/// The action for SIGBUS before our handler was installed.
static PREVIOUS_ACTION: OnceLock<SigAction> = OnceLock::new();

thread_local! {
    /// The pages that this thread is accessing right now, or null outside of [`Pages::access`].
    ///
    /// The signal handler reads it. That is safe because the value is initialized at compile time and has no
    /// destructor, so that reading it is a plain load from thread-local memory.
    static CURRENT: AtomicPtr<Pages> = const { AtomicPtr::new(null_mut()) };
}

/// The pages of one mapping. They may be [replaced with zeros](Pages::replace_with_zeros) during an access.
#[derive(Debug)]
pub(super) struct Pages {
    base: NonNull<c_void>,
    length: NonZero<usize>,
    is_replaced: AtomicBool,
}

impl Pages {
    /// # Safety
    ///
    /// `base` must come from a call of `mmap` for `length` bytes, which must stay mapped until the value is dropped.
    pub(super) unsafe fn new(base: NonNull<c_void>, length: NonZero<usize>) -> Pages {
        let is_replaced = AtomicBool::new(false);
        Pages {
            base,
            length,
            is_replaced,
        }
    }

    pub(super) fn base(&self) -> NonNull<c_void> {
        self.base
    }

    pub(super) fn length(&self) -> NonZero<usize> {
        self.length
    }

    /// Runs `access`, which must not panic. Returns [`BusError`] if the pages were replaced with zeros, now or
    /// earlier.
    pub(super) fn access<T>(&self, access: impl FnOnce() -> T) -> Result<T, BusError> {
        // Loads would return zeros that are not in the file, and stores would go nowhere.
        if self.is_replaced.load(Ordering::Relaxed) {
            return Err(BusError);
        }
        install_handler();
        let outer =
            CURRENT.with(|pages| pages.swap((&raw const *self).cast_mut(), Ordering::Relaxed));
        // The handler interrupts this thread in the middle of `access`. The fences keep the compiler from moving the
        // access out of the section in which CURRENT is set, and from checking `is_replaced` too early. The processor
        // needs no fence, because faults occur in program order.
        compiler_fence(Ordering::SeqCst);
        let result = access();
        compiler_fence(Ordering::SeqCst);
        CURRENT.with(|pages| pages.store(outer, Ordering::Relaxed));
        match self.is_replaced.load(Ordering::Relaxed) {
            true => Err(BusError),
            false => Ok(result),
        }
    }

    /// Replaces all pages with zeros if they contain `address`. Called by the signal handler.
    ///
    /// Returns false if they do not contain it, if they were replaced already, or if `mmap` fails. Returning from the
    /// handler would then raise the same fault forever.
    fn replace_with_zeros(&self, address: usize) -> bool {
        let start = self.base.addr();
        let contains = address >= start.get() && address - start.get() < self.length.get();
        if !contains || self.is_replaced.swap(true, Ordering::Relaxed) {
            return false;
        }
        // Replace all pages, not only the faulting one: the rest must not pass for the contents of the file, and a
        // mapping of huge pages cannot be replaced in part. NORESERVE, so that the kernel does not charge for them.
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: MAP_FIXED replaces exactly the pages that belong to this value, as the caller of `new` promised. No
        // references point into them, only raw pointers. The `Mapping` will unmap the new pages as it would have
        // unmapped the old ones. If other processes truncate the file meanwhile, that does not matter: this mapping
        // does not use the file any more.
        unsafe { mmap_anonymous(Some(start), self.length, access, flags) }.is_ok()
    }
}

/// Installs the handler, once per process. It is never removed, because there may be an access at any time.
fn install_handler() {
    PREVIOUS_ACTION.get_or_init(|| {
        let handler = SigHandler::SigAction(on_bus_error);
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(handler, flags, SigSet::empty());
        // SAFETY: the handler makes only async-signal-safe calls, see `on_bus_error`. If it cannot be installed, which
        // should not happen, SIGBUS kills the process, as it would have without the handler.
        unsafe { sigaction(Signal::SIGBUS, &action) }.unwrap_or_else(|_| default_action())
    });
}

fn default_action() -> SigAction {
    SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
}

extern "C" fn on_bus_error(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO (`sigaction(2)`). If the signal was
    // sent by a process, the address is meaningless, and it is not used.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let pages = CURRENT.with(|pages| pages.load(Ordering::Relaxed));
    // SAFETY: a non-null pointer means that this thread is inside `access`, which borrows the pages until it has
    // restored CURRENT.
    let pages = unsafe { pages.as_ref() };
    // BUS_ADRERR: there is no page at the address. Everything that the handler does is async-signal-safe
    // (`signal-safety(7)`): atomics, and mmap and sigaction, which are single system calls that neither lock nor
    // allocate.
    let is_replaced =
        code == libc::BUS_ADRERR && pages.is_some_and(|pages| pages.replace_with_zeros(address));
    if !is_replaced {
        call_previous_action(code);
    }
    Errno::set_raw(errno);
}

/// Restores the previous action for SIGBUS, and makes sure that it runs. Usually that kills the process.
fn call_previous_action(code: c_int) {
    // A signal may arrive after the handler was installed and before the previous action is stored.
    let previous = PREVIOUS_ACTION
        .get()
        .copied()
        .unwrap_or_else(default_action);
    // SAFETY: this action was in force before ours. The call cannot fail, because installing our handler succeeded.
    let _ = unsafe { sigaction(Signal::SIGBUS, &previous) };
    // When we return, the faulting instruction runs again and raises SIGBUS again. A signal that a process sent (its
    // code is not positive, `sigaction(2)`) does not come again by itself. `raise` cannot fail for a valid signal.
    if code <= 0 {
        let _ = raise(Signal::SIGBUS);
    }
}
