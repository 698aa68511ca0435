//! Executing a command, and the files that it inherits: `execvp(3)`, `dup2(2)`.

use super::signal;
use crate::sys::error::{describe_errno, errno};
use crate::sys::escape;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::unistd::execvp;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The descriptor of the first file that a command inherits from [`pass_on`].
const FIRST: i32 = libc::STDERR_FILENO + 1;

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", escape::operand(OsStr::from_bytes(command.to_bytes())), describe_errno(*errno))]
pub struct NotExecuted {
    command: CString,
    errno: Errno,
}

impl NotExecuted {
    /// Returns the exit status, the same as that of `env(1)`: 127 if there is no such command, otherwise 126.
    pub fn status(&self) -> u8 {
        match self.errno {
            Errno::ENOENT => 127,
            _ => 126,
        }
    }
}

/// Replaces this process by a command, which gets the signal actions and the mask that this process inherited. Returns
/// only if that fails.
///
/// # Panics
///
/// Panics if there is no word.
pub fn execute(words: &[CString]) -> NotExecuted {
    let command = words[0].clone();
    match signal::restore_inherited().and_then(|()| execvp(&command, words)) {
        Ok(never) => match never {},
        Err(errno) => NotExecuted { command, errno },
    }
}

/// Gives the files the descriptors 3, 4, ..., which the command inherits. Whatever else has one of these descriptors is
/// closed. Call this directly before [`execute`], when this process needs no other file any more.
///
/// # Errors
///
/// `EMFILE` if this process may not have that many descriptors (`RLIMIT_NOFILE`).
pub fn pass_on(files: Vec<OwnedFd>) -> nix::Result<()> {
    let mut files = VecDeque::from(files);
    for target in FIRST.. {
        let Some(file) = files.pop_front() else {
            break;
        };
        if file.as_raw_fd() == target {
            fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            // It stays open for the command.
            let _ = file.into_raw_fd();
            continue;
        }
        // One of the files may have the descriptor that this one is to get.
        if let Some(other) = files.iter_mut().find(|other| other.as_raw_fd() == target) {
            *other = other.try_clone().map_err(|error| errno(&error))?;
        }
        // SAFETY: the call accesses no memory. None of the files has this descriptor, and this process uses no others
        // any more.
        match Errno::result(unsafe { libc::dup2(file.as_raw_fd(), target) }) {
            // It exceeds the limit.
            Err(Errno::EBADF) => return Err(Errno::EMFILE),
            result => result?,
        };
    }
    Ok(())
}
