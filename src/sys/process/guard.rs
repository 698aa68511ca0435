//! A process that removes objects when those who should have done so are gone: `fork(2)`, `setsid(2)`,
//! `pidfd_open(2)`.

use super::command::pidfd;
use crate::sys::shm::draft;
use crate::sys::shm::object::Object;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, dup2_raw, fork, getpid, pipe2, read, setsid, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

/// The guard. It ends by itself when this process and the command have ended.
#[derive(Debug)]
pub struct Guard(Pid);

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
                // SAFETY: ends the process without running what belongs to the other one.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                let guard = Guard(child);
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
    /// Those of `waitpid(2)`.
    pub fn dismiss(self) -> nix::Result<()> {
        kill(self.0, Signal::SIGKILL)?;
        waitpid(self.0, None).map(drop)
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
    leave_descriptors(kept);
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

/// Closes all but these, and puts what can be neither read nor written in the place of the standard streams.
fn leave_descriptors(mut kept: Vec<i32>) {
    if let Ok(placeholder) = open("/", OFlag::O_PATH, Mode::empty()) {
        for stream in 0..3 {
            // SAFETY: the standard streams are nobody's: nothing here owns them.
            let _ =
                unsafe { dup2_raw(&placeholder, stream) }.map(std::os::fd::IntoRawFd::into_raw_fd);
        }
    }
    kept.sort_unstable();
    let mut first = 3_u32;
    for fd in kept.into_iter().chain([i32::MAX]) {
        let fd = fd as u32;
        if first < fd {
            // SAFETY: of what is closed nothing is used again in this process. Before Linux 5.9 they stay open.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd + 1;
    }
}
