//! What every process that we fork needs: an id that cannot be reused, a clean end, and few descriptors.

use super::start::overwrite_arguments;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::thread::sleep;
use std::time::Duration;

/// A descriptor for a process, `pidfd_open(2)`, which nix does not wrap. It becomes readable when the
/// process ends.
///
/// # Errors
///
/// Those of `pidfd_open(2)`.
pub fn pidfd(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no memory, and returns a new descriptor that nobody else owns.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A child that works for this process in the background. Its id may be that of another process once somebody has
/// waited for it; its descriptor never is.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Helper {
    /// A child that was just forked.
    ///
    /// # Errors
    ///
    /// Those of `pidfd_open(2)`.
    pub fn new(pid: Pid) -> nix::Result<Helper> {
        let pidfd = pidfd(pid)?;
        Ok(Helper { pid, pidfd })
    }

    /// Sends it a signal, `pidfd_send_signal(2)`, which nix does not wrap.
    ///
    /// # Errors
    ///
    /// Those of `pidfd_send_signal(2)`; `ESRCH` if it has ended and somebody has waited for it.
    pub fn send(&self, signal: i32) -> nix::Result<()> {
        let (fd, information) = (self.pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
        // SAFETY: without information about the signal the call takes no memory.
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, information, 0) };
        Errno::result(result).map(drop)
    }

    /// Kills it and waits for its end, so that it does not stay a zombie.
    ///
    /// # Errors
    ///
    /// Those of `pidfd_send_signal(2)` and `waitpid(2)`.
    pub fn end(&self) -> nix::Result<()> {
        // Somebody else may have killed it, and whoever waits for all children has waited for it too.
        match self
            .send(libc::SIGKILL)
            .and_then(|()| waitpid(self.pid, None))
        {
            Ok(_) | Err(Errno::ESRCH | Errno::ECHILD) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl Helper {
    /// Kills it, and waits for its end, at most for this number of milliseconds: not even SIGKILL ends a process that
    /// waits for a file server.
    pub fn abandon(self, milliseconds: u16) {
        // There is nothing to do about a failure: init waits for the child when this process has ended.
        let _ = self.send(libc::SIGKILL);
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ended, milliseconds);
        let _ = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
    }
}

/// Waits until a process has ended, given by its descriptor.
pub fn wait_for_end(process: BorrowedFd) {
    let mut ended = [PollFd::new(process, PollFlags::POLLIN)];
    // A process that is not known to have ended may still use the objects.
    while poll(&mut ended, PollTimeout::NONE).is_err() {
        sleep(Duration::from_millis(100));
    }
}

/// Ends a forked process, `_exit(2)`: nothing that belongs to the parent is flushed or dropped.
pub fn exit(status: i32) -> ! {
    // SAFETY: the call takes no memory and does not return.
    unsafe { libc::_exit(status) }
}

/// Turns a forked process into a helper that works unseen in the background: it closes all descriptors but
/// `kept`, puts a placeholder that can be neither read nor written in the place of the standard streams, and
/// takes a name of its own, so that `pkill shmtool` does not mean it.
///
/// Nothing here may fail: a descriptor that stays open and a name that stays the same do no harm.
pub fn become_helper(name: &CStr, mut kept: Vec<i32>) {
    let _ = prctl::set_name(name);
    overwrite_arguments(name);
    if let Ok(placeholder) = open("/", OFlag::O_PATH, Mode::empty()) {
        for stream in 0..3 {
            // SAFETY: the call takes no memory, and nothing owns the standard streams.
            unsafe { libc::dup2(placeholder.as_raw_fd(), stream) };
        }
    }
    kept.sort_unstable();
    let mut first = 3_u32;
    for fd in kept.into_iter().chain([i32::MAX]) {
        let fd = fd as u32;
        if first < fd {
            // SAFETY: this process uses none of the closed descriptors again. Before Linux 5.9 they stay open.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd + 1;
    }
}
