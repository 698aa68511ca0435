//! Writing to a pipe without copying: `pipe(7)`, `vmsplice(2)`.
//!
//! `vmsplice` puts the pages of the file itself into the pipe. If another process changes the file before the reader
//! reads them, the reader sees the change. `write(2)` copies the data and does not have this problem.
//!
//! The pages go through a pipe of our own, from which `splice(2)` moves them on. To collect them takes long, and
//! the reader could not read meanwhile from a pipe that is locked for that.

use super::stream::{Output, retry_until_ready};
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::null_mut;

/// The pipe capacity to request, in bytes: the default limit for unprivileged users (`pipe-max-size`, `pipe(7)`).
const CAPACITY: i32 = 1 << 20;

/// How often to check whether the reader has emptied the pipe, in milliseconds.
const POLL_INTERVAL: u8 = 5;

/// The write end of a pipe.
#[derive(Debug)]
pub struct Pipe {
    output: Output,
    /// A pipe of our own that is empty between two calls, as a read end and a write end.
    collector: Option<(OwnedFd, OwnedFd)>,
    /// Whether nothing can be moved from our own pipe to the output.
    cannot_move: Cell<bool>,
}

impl Pipe {
    /// Returns the output as a pipe, and enlarges the pipe if that is allowed. Returns `None` if it is not a pipe, or one
    /// that keeps each write apart as a packet (`O_DIRECT`): its reader would lose the rest of a packet that follows
    /// spliced pages.
    pub fn from_output(output: Output) -> Option<Pipe> {
        if OFlag::from_bits_retain(fcntl(output, FcntlArg::F_GETFL).ok()?).contains(OFlag::O_DIRECT)
        {
            return None;
        }
        // EBADF: the output is not a pipe.
        if fcntl(output, FcntlArg::F_GETPIPE_SZ).ok()? < CAPACITY {
            // EPERM: this user has too many large pipes already. The current capacity is good enough.
            let _ = fcntl(output, FcntlArg::F_SETPIPE_SZ(CAPACITY));
        }
        Some(Pipe {
            output,
            collector: collector().ok(),
            cannot_move: Cell::new(false),
        })
    }

    /// Returns the capacity in bytes, or `u64::MAX` if the kernel does not tell. Every process that has the pipe open
    /// can change the capacity.
    pub fn capacity(&self) -> u64 {
        let capacity = fcntl(self.output, FcntlArg::F_GETPIPE_SZ).ok();
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
        let splice_directly = || vmsplice(self.output.as_fd(), mapping, offset, length, 0);
        let collector = self.collector.as_ref();
        let Some((read_end, write_end)) = collector.filter(|_| !self.cannot_move.get()) else {
            return splice_directly();
        };
        // The pipe is empty, so that this never waits: if the bytes do not fit, it takes some of them.
        let nonblocking = libc::SPLICE_F_NONBLOCK;
        let collected = vmsplice(write_end.as_fd(), mapping, offset, length, nonblocking)?;
        let mut moved = 0;
        while moved < collected {
            match self.move_from(read_end, collected - moved) {
                Ok(count) => moved += count,
                Err(Errno::EPIPE) if moved == 0 => return Err(Errno::EPIPE),
                // A sandbox, perhaps. What is left in our own pipe is forgotten, and spliced directly from now on.
                Err(_) => {
                    self.cannot_move.set(true);
                    return match moved {
                        0 => splice_directly(),
                        moved => Ok(moved),
                    };
                }
            }
        }
        Ok(collected)
    }

    /// Moves at most `length` bytes from our own pipe to the output, and returns how many.
    fn move_from(&self, read_end: &OwnedFd, length: usize) -> nix::Result<usize> {
        let (from, to) = (read_end.as_raw_fd(), self.output.as_fd().as_raw_fd());
        // SAFETY: without offsets, the call takes no memory.
        let splice = || unsafe { libc::splice(from, null_mut(), to, null_mut(), length, 0) };
        retry_until_ready(self.output.as_fd(), PollFlags::POLLOUT, splice)
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
                libc::ioctl(self.output.as_fd().as_raw_fd(), libc::FIONREAD, &mut queued)
            })?;
            if queued == 0 {
                return Ok(());
            }
            // No event is requested. poll still returns early with POLLERR when the last reader closes the pipe.
            let mut reader = [PollFd::new(self.output.as_fd(), PollFlags::empty())];
            match poll(&mut reader, PollTimeout::from(POLL_INTERVAL)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Creates a pipe of our own that holds as much as the output.
fn collector() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&write_end, FcntlArg::F_SETPIPE_SZ(CAPACITY))?;
    Ok((read_end, write_end))
}

/// Puts the pages of a mapping into a pipe, and returns the number of bytes, which may be smaller than `length`.
fn vmsplice(
    pipe: BorrowedFd,
    mapping: &Mapping,
    offset: usize,
    length: usize,
    flags: u32,
) -> nix::Result<usize> {
    let iov = libc::iovec {
        iov_base: mapping.address(offset, length).as_ptr(),
        iov_len: length,
    };
    // Not nix's vmsplice, which takes slices: there must be none over memory that other processes change. SAFETY: the
    // range stays mapped as long as `mapping` is borrowed, and only the kernel accesses it. The pipe holds its own
    // references to the pages, so unmapping them later is fine.
    retry_until_ready(pipe, PollFlags::POLLOUT, || unsafe {
        libc::vmsplice(pipe.as_raw_fd(), &iov, 1, flags)
    })
}
