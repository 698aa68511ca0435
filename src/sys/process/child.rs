//! What every process that we fork needs: an id that cannot be reused, a clean end, and few descriptors.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_raw};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;

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

/// Sends SIGKILL, `pidfd_send_signal(2)`, which nix does not wrap.
///
/// # Errors
///
/// Those of `pidfd_send_signal(2)`; `ESRCH` if the process has ended and was waited for.
pub fn kill_by_pidfd(pidfd: &OwnedFd) -> nix::Result<()> {
    let (fd, information) = (pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: without information about the signal the call takes no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd,
            libc::SIGKILL,
            information,
            0,
        )
    };
    Errno::result(result).map(drop)
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
    super::start::overwrite_arguments(name);
    if let Ok(placeholder) = open("/", OFlag::O_PATH, Mode::empty()) {
        for stream in 0..3 {
            // SAFETY: nothing owns the standard streams.
            let _ = unsafe { dup2_raw(&placeholder, stream) }.map(IntoRawFd::into_raw_fd);
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
