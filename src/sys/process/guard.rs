//! A process that removes objects when those who should have done so are gone: `fork(2)`, `setsid(2)`,
//! `pidfd_open(2)`.

use super::child::{self, pidfd};
use crate::sys::shm::draft;
use crate::sys::shm::object::Object;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, pipe2, read, setsid, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

/// The guard. It ends by itself when this process and the command have ended.
#[derive(Debug)]
pub struct Guard {
    pid: Pid,
    /// Its id may be that of another process once it was waited for; its descriptor never is.
    pidfd: OwnedFd,
}

impl Guard {
    /// Starts the guard of these objects, which need not have their names yet. It holds them open, in a session of
    /// its own and without our streams: who waits for those to be closed does not wait for it. From here on what kills
    /// this process, or its whole process group, does not kill the guard.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)`, and of the calls that prepare for it; `ECHILD` if it could not get ready.
    pub fn start(objects: &[&Object], command: BorrowedFd) -> nix::Result<Guard> {
        let us = pidfd(getpid())?;
        let (is_ready, ready) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                watch(objects, [us.as_fd(), command], &ready);
                child::exit(0)
            }
            ForkResult::Parent { child } => {
                let guard = Guard {
                    pid: child,
                    pidfd: pidfd(child)?,
                };
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
        // Somebody may have killed it, and whoever waits for all children has waited for it too.
        match child::kill_by_pidfd(&self.pidfd).and_then(|()| waitpid(self.pid, None)) {
            Ok(_) | Err(Errno::ESRCH | Errno::ECHILD) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Whatever fails here, there is nobody to tell; the next step is tried all the same.
fn watch(objects: &[&Object], processes: [BorrowedFd; 2], ready: &OwnedFd) {
    let _ = SigSet::all().thread_block();
    // Until then a signal for the process group is one for this process too.
    if setsid().and_then(|_| write(ready, b"!")).is_err() {
        return;
    }
    let mut kept: Vec<_> = objects
        .iter()
        .map(|object| object.as_fd().as_raw_fd())
        .collect();
    kept.extend(processes.map(|process| process.as_raw_fd()));
    child::become_helper(c"shm-guard", kept);
    for process in processes {
        let mut ended = [PollFd::new(process, PollFlags::POLLIN)];
        // What is not known to have ended may still use the objects.
        while poll(&mut ended, PollTimeout::NONE).is_err() {
            sleep(Duration::from_millis(100));
        }
    }
    for object in objects {
        let _ = object.unlink_own_name();
        let _ = draft::unlink_left_over(object);
    }
}
