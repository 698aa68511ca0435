//! Writing to a pipe without copying: `pipe(7)`, `vmsplice(2)`.
//!
//! `vmsplice` puts the pages of the file itself into the pipe. If another process changes the file before the reader
//! reads them, the reader sees the change. `write(2)` copies the data and does not have this problem.

use super::stream::{Output, retry_until_ready};
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd};

/// The pipe capacity to request, in bytes: the default limit for unprivileged users (`pipe-max-size`, `pipe(7)`).
const CAPACITY: i32 = 1 << 20;

/// How often to check whether the reader has emptied the pipe, in milliseconds.
const POLL_INTERVAL: u8 = 5;

/// The write end of a pipe.
#[derive(Debug)]
pub struct Pipe(Output);

impl Pipe {
    /// Returns the output as a pipe, and enlarges the pipe if that is allowed. Returns `None` if it is not a pipe.
    pub fn from_output(output: Output) -> Option<Pipe> {
        // EBADF: the output is not a pipe.
        if fcntl(output, FcntlArg::F_GETPIPE_SZ).ok()? < CAPACITY {
            // EPERM: this user has too many large pipes already. The current capacity is good enough.
            let _ = fcntl(output, FcntlArg::F_SETPIPE_SZ(CAPACITY));
        }
        Some(Pipe(output))
    }

    /// Returns the capacity in bytes, or `u64::MAX` if the kernel does not tell. Every process that has the pipe open
    /// can change the capacity.
    pub fn capacity(&self) -> u64 {
        let capacity = fcntl(self.0, FcntlArg::F_GETPIPE_SZ).ok();
        capacity
            .and_then(|capacity| capacity.try_into().ok())
            .unwrap_or(u64::MAX)
    }

    /// Splices `length` bytes, starting `offset` bytes into the mapping, into the pipe without copying them. Returns
    /// the number of bytes spliced, which may be smaller.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is gone or cannot be read; `EINVAL`, `ENOSYS` or `EPERM` if the kernel or a sandbox does
    /// not support `vmsplice(2)`; otherwise those of `write(2)` to a pipe.
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
        // Not nix's vmsplice, which takes slices: there must be none over memory that other processes change. SAFETY:
        // the range stays mapped as long as `mapping` is borrowed, and only the kernel accesses it. The pipe holds its
        // own references to the pages, so unmapping them later is fine.
        retry_until_ready(self.0.as_fd(), PollFlags::POLLOUT, || unsafe {
            libc::vmsplice(self.0.as_fd().as_raw_fd(), &iov, 1, 0)
        })
    }

    /// Waits until the pipe is empty, or until all readers have closed it.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    pub fn wait_until_empty(&self) -> nix::Result<()> {
        let mut queued: libc::c_int = 0;
        loop {
            // SAFETY: FIONREAD stores an int (`FIONREAD(2const)`), and `queued` is one.
            Errno::result(unsafe {
                libc::ioctl(self.0.as_fd().as_raw_fd(), libc::FIONREAD, &mut queued)
            })?;
            if queued == 0 {
                return Ok(());
            }
            // No event is requested. poll still returns early with POLLERR when the last reader closes the pipe.
            let mut reader = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
            match poll(&mut reader, PollTimeout::from(POLL_INTERVAL)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}
