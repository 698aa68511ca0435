//! A process that tidies up after this one and a command, if this one can no longer do it: `fork(2)`, `setsid(2)`,
//! `pidfd_open(2)`.

use super::child::{self, Helper, pidfd};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, fork, getpid, pipe2, read, setsid, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The guard. It ends by itself when this process and the command have ended.
#[derive(Debug)]
pub struct Guard(Helper);

impl Guard {
    /// Starts the guard. When this process and the command have ended, it runs `tidy_up`, for which it keeps these
    /// descriptors open. It has a session of its own and none of our streams, so that nobody who waits for the end of
    /// those waits for the guard. From here on, nothing that kills this process, or its process group, kills the guard.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)`, and of the calls that prepare for it; `ECHILD` if the guard could not get ready.
    pub fn start(
        command: BorrowedFd,
        kept: &[BorrowedFd],
        tidy_up: impl FnOnce(),
    ) -> nix::Result<Guard> {
        let us = pidfd(getpid())?;
        let (is_ready, ready) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                if watch([us.as_fd(), command], kept, &ready) {
                    tidy_up();
                }
                child::exit(0)
            }
            ForkResult::Parent { child } => {
                let guard = Guard(Helper::new(child)?);
                drop(ready);
                loop {
                    match read(&is_ready, &mut [0]) {
                        Ok(1) => return Ok(guard),
                        Err(Errno::EINTR) => {}
                        _ => break,
                    }
                }
                guard.dismiss()?;
                Err(Errno::ECHILD)
            }
        }
    }

    /// Ends the guard: there is nothing left to do for it.
    ///
    /// # Errors
    ///
    /// Those of `pidfd_send_signal(2)` and `waitpid(2)`.
    pub fn dismiss(self) -> nix::Result<()> {
        self.0.end()
    }
}

/// Waits until the processes have ended. Returns false if the guard could not get ready, which the parent notices.
fn watch(processes: [BorrowedFd; 2], kept: &[BorrowedFd], ready: &OwnedFd) -> bool {
    // If it fails, what ends the guard early has to be sent to the guard alone.
    let _ = SigSet::all().thread_block();
    // Until then a signal for the process group is one for this process too.
    if setsid().and_then(|_| write(ready, b"!")).is_err() {
        return false;
    }
    let kept = kept.iter().chain(&processes);
    child::become_helper(c"shm-guard", kept.map(|fd| fd.as_raw_fd()).collect());
    processes.into_iter().for_each(child::wait_for_end);
    true
}
