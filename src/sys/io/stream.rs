//! The standard streams, and bytes between a descriptor and a mapping: `read(2)`, `write(2)`, `poll(2)`.

use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Whence, close, lseek};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// One bit for each of descriptors 0, 1 and 2 that was closed when the process started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Notes which standard streams are closed, and puts something in their place that can be neither read nor
/// written, so that no object is opened there: what is meant for a stream would go into it.
pub(in crate::sys) fn occupy_closed() {
    for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: F_GETFD takes no memory, and a descriptor that is not open is an error, `fcntl(2)`.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
            // The lowest that is free, which is this one. It is meant to stay open, but for a command that is run.
            let placeholder = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            let _ = placeholder.map(OwnedFd::into_raw_fd);
        }
    }
}

/// Standard input.
///
/// # Errors
///
/// `EBADF` when it was closed (`<&-`).
pub fn stdin() -> nix::Result<BorrowedFd<'static>> {
    standard(libc::STDIN_FILENO)
}

/// Standard output, without a buffer.
///
/// # Errors
///
/// `EBADF` when it was closed (`>&-`).
pub fn stdout() -> nix::Result<Output> {
    standard(libc::STDOUT_FILENO).map(Output)
}

/// Closes standard output, `close(2)`. Only then do NFS, FUSE and quotas report that they cannot store what was
/// written.
///
/// It is the last thing that a program does with its output: an [`Output`] must not be used any more.
///
/// # Errors
///
/// Those of `close(2)`, except that there may be nothing to close.
pub fn close_stdout() -> nix::Result<()> {
    // What stands in for a stream that was closed at the start has nothing to report.
    if CLOSED.fetch_or(1 << libc::STDOUT_FILENO, Ordering::Relaxed) & (1 << libc::STDOUT_FILENO)
        != 0
    {
        return Ok(());
    }
    match close(libc::STDOUT_FILENO) {
        Err(Errno::EBADF) => Ok(()),
        result => result,
    }
}

fn standard(fd: i32) -> nix::Result<BorrowedFd<'static>> {
    if CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: no standard stream is closed before the program has finished with it, see `close_stdout`.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A descriptor to write to. One that does not block is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Output(BorrowedFd<'static>);

impl Output {
    /// Writes some of the `length` bytes that start `offset` bytes into the mapping, and says how many.
    ///
    /// The bytes may change or vanish meanwhile: only the kernel looks at them.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the bytes are gone, or cannot be read; else those of `write(2)`.
    pub fn write_from(self, mapping: &Mapping, offset: usize, length: usize) -> nix::Result<usize> {
        let address = mapping.address(offset, length).as_ptr();
        // SAFETY: the range is mapped for as long as `mapping` is borrowed. If the file behind it is
        // truncated, the kernel says EFAULT.
        self.when_writable(|| unsafe { libc::write(self.0.as_raw_fd(), address, length) })
    }

    /// Whether this is a regular file, `fstat(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_file(self) -> nix::Result<bool> {
        Ok(fstat(self.0)?.st_mode & libc::S_IFMT == libc::S_IFREG)
    }

    /// Whether this is `input` itself, and adds to it behind the place where it is read: it would never
    /// come to its end.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)` and `fcntl(2)`.
    pub fn is_ahead_in(self, input: &File) -> io::Result<bool> {
        let (target, source) = (fstat(self.0)?, fstat(input)?);
        if (target.st_dev, target.st_ino) != (source.st_dev, source.st_ino) {
            return Ok(false);
        }
        let append =
            OFlag::from_bits_retain(fcntl(self.0, FcntlArg::F_GETFL)?).contains(OFlag::O_APPEND);
        let position = |fd| lseek(fd, 0, Whence::SeekCur);
        // What has no offset, such as a terminal, does not print what is written to it.
        Ok(match (position(input.as_fd()), position(self.0)) {
            (Ok(read), Ok(_)) if append => read < target.st_size,
            (Ok(read), Ok(written)) => read < written,
            _ => false,
        })
    }

    fn when_writable(self, write: impl Fn() -> isize) -> nix::Result<usize> {
        when_ready(self.0, PollFlags::POLLOUT, write)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` is memory of our own.
        let write =
            || unsafe { libc::write(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        Ok(self.when_writable(write)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what there is, up to `length` bytes, to the start of `buffer`, and says how many; 0 is the end.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn read_into(input: BorrowedFd, buffer: &mut Mapping, length: usize) -> nix::Result<usize> {
    let address = buffer.address(0, length).as_ptr();
    // SAFETY: the range is mapped for as long as `buffer` is borrowed, and nobody has a reference to it.
    when_ready(input, PollFlags::POLLIN, || unsafe {
        libc::read(input.as_raw_fd(), address, length)
    })
}

/// Makes the call until it is done: again when a signal came, and later when the descriptor is not ready.
pub(in crate::sys) fn when_ready(
    fd: BorrowedFd,
    event: PollFlags,
    call: impl Fn() -> isize,
) -> nix::Result<usize> {
    loop {
        match Errno::result(call()) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => match poll(&mut [PollFd::new(fd, event)], PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            },
            // Not negative: that would have been an error.
            result => return result.map(|count| count as usize),
        }
    }
}
