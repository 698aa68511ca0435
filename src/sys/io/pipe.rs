//! A pipe on standard output, filled without copying: `pipe(7)`, `vmsplice(2)`.
//!
//! What is spliced is not copied: the pages that the reader will see are those of the file, and whoever
//! changes the file until then changes what is read. What is written is copied.

use super::stream::{Output, when_ready};
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd};

/// How much a pipe is made to hold, in bytes: as much as anybody may ask for (`pipe-max-size`, `pipe(7)`).
const CAPACITY: i32 = 1 << 20;

/// How long to wait between two looks at a pipe that is being emptied, in milliseconds.
const LOOK_AGAIN: u8 = 5;

/// The writing end of a pipe.
#[derive(Debug)]
pub struct Pipe(Output);

impl Pipe {
    /// The pipe that an output is, made to hold more where that is allowed; none if it is something else.
    pub fn of(output: Output) -> Option<Pipe> {
        // EBADF: it is no pipe.
        if fcntl(output, FcntlArg::F_GETPIPE_SZ).ok()? < CAPACITY {
            // EPERM: this user has too many large pipes already. Then it stays as it is.
            let _ = fcntl(output, FcntlArg::F_SETPIPE_SZ(CAPACITY));
        }
        Some(Pipe(output))
    }

    /// The bytes that the pipe holds at the most, which whoever has it open may change; `u64::MAX` where
    /// the kernel does not say.
    pub fn capacity(&self) -> u64 {
        let capacity = fcntl(self.0, FcntlArg::F_GETPIPE_SZ).ok();
        capacity
            .and_then(|capacity| capacity.try_into().ok())
            .unwrap_or(u64::MAX)
    }

    /// Hands some of the `length` bytes that start `offset` bytes into the mapping to the pipe, without
    /// copying them, and says how many.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the bytes are gone or cannot be had; `EINVAL`, `ENOSYS` or `EPERM` where the kernel
    /// or a sandbox has no such call; else those of `write(2)` to a pipe.
    pub fn splice_from(
        &self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
    ) -> nix::Result<usize> {
        let iov = libc::iovec {
            iov_base: mapping.address(offset, length).as_ptr(),
            iov_len: length,
        };
        // nix takes slices, and of memory that others change there must be none: vmsplice(2) by hand.
        // SAFETY: the range is mapped for as long as `mapping` is borrowed, only the kernel looks at it,
        // and the pages that it takes stay its own when they are unmapped.
        when_ready(self.0.as_fd(), PollFlags::POLLOUT, || unsafe {
            libc::vmsplice(self.0.as_fd().as_raw_fd(), &iov, 1, 0)
        })
    }

    /// Waits until everything in the pipe was read, or nobody is left to read it.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    pub fn wait_until_empty(&self) -> nix::Result<()> {
        let mut queued: libc::c_int = 0;
        loop {
            // SAFETY: FIONREAD stores an int, `ioctl_tty(2)`.
            Errno::result(unsafe {
                libc::ioctl(self.0.as_fd().as_raw_fd(), libc::FIONREAD, &mut queued)
            })?;
            if queued == 0 {
                return Ok(());
            }
            // No event is asked for: what ends the wait early is the reader's end (POLLERR).
            let mut reader = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
            match poll(&mut reader, PollTimeout::from(LOOK_AGAIN)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}
