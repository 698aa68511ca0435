//! The standard streams, and transfers between a descriptor and a mapping: `read(2)`, `write(2)`, `poll(2)`.

use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Whence, close, lseek};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// A bit mask of the standard streams (descriptors 0, 1 and 2) that are closed. A bit is set if the stream was closed
/// when the process started, and for standard output also after [`close_stdout`].
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Opens a placeholder for each standard stream that is closed, and remembers that the stream was closed. Otherwise an
/// object could get descriptor 0, 1 or 2 when it is opened, and our output would go into it. The placeholder can be
/// neither read nor written.
pub(in crate::sys) fn reopen_closed_streams() {
    for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: F_GETFD accesses no memory, and fails if the descriptor is not open (`fcntl(2)`).
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
            // open returns the lowest free descriptor, which is this one. It stays open until the process ends or
            // executes another program.
            let placeholder = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            let _ = placeholder.map(OwnedFd::into_raw_fd);
        }
    }
}

/// Duplicates the descriptor with this number, which the process inherited. Both share one open file description, and
/// so its access mode, flags and offset.
///
/// Call this before the process opens anything. Later the number may belong to a descriptor of our own.
///
/// # Errors
///
/// `EBADF` if there is no such descriptor, or if it is a standard stream that was closed when the process started;
/// otherwise those of `fcntl(2)`.
pub(in crate::sys) fn duplicate_inherited(number: i32) -> nix::Result<OwnedFd> {
    let is_standard = (libc::STDIN_FILENO..=libc::STDERR_FILENO).contains(&number);
    if is_standard && CLOSED.load(Ordering::Relaxed) & (1 << number) != 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the call accesses no memory, and fails if the descriptor is not open (`fcntl(2)`). nix accepts only
    // descriptors that are known to be open.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) };
    // SAFETY: the new descriptor belongs to nobody else.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns standard input.
///
/// # Errors
///
/// `EBADF` if it was closed when the process started (`<&-`).
pub fn stdin() -> nix::Result<BorrowedFd<'static>> {
    standard_stream(libc::STDIN_FILENO)
}

/// Returns standard output, unbuffered.
///
/// # Errors
///
/// `EBADF` if it was closed when the process started (`>&-`), or with [`close_stdout`].
pub fn stdout() -> nix::Result<Output> {
    standard_stream(libc::STDOUT_FILENO).map(Output)
}

/// Closes standard output with `close(2)`. NFS, FUSE and quotas may report write errors only then.
///
/// Call this last: no [`Output`] may be used afterwards.
///
/// # Errors
///
/// Those of `close(2)`. It is not an error if standard output is closed already.
pub fn close_stdout() -> nix::Result<()> {
    // If standard output was closed at the start, its placeholder stays.
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

fn standard_stream(fd: i32) -> nix::Result<BorrowedFd<'static>> {
    if CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the descriptor is open. Only `close_stdout` closes one, and its callers use no `Output` afterwards.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A descriptor for output. If it is non-blocking, writes wait until it is ready.
#[derive(Debug, Clone, Copy)]
pub struct Output(BorrowedFd<'static>);

impl Output {
    /// Writes `length` bytes, starting `offset` bytes into the mapping. Returns the number of bytes written, which may
    /// be smaller.
    ///
    /// This is safe even if other processes change or truncate the mapped memory meanwhile, because only the kernel
    /// accesses it.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is gone or cannot be read; otherwise those of `write(2)`.
    pub fn write_from(self, mapping: &Mapping, offset: usize, length: usize) -> nix::Result<usize> {
        let address = mapping.address(offset, length).as_ptr();
        // SAFETY: the range stays mapped as long as `mapping` is borrowed. If the file behind it is truncated, the
        // kernel returns EFAULT.
        self.retry_until_writable(|| unsafe { libc::write(self.0.as_raw_fd(), address, length) })
    }

    /// Returns whether this is a regular file (`fstat(2)`).
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_file(self) -> nix::Result<bool> {
        Ok(fstat(self.0)?.st_mode & libc::S_IFMT == libc::S_IFREG)
    }

    /// Returns whether this is the same file as `input`, and output goes to a place that is yet to be read. Copying
    /// `input` to this output would then never end.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)` and `fcntl(2)`.
    pub fn feeds_back_into(self, input: &File) -> io::Result<bool> {
        let (target, source) = (fstat(self.0)?, fstat(input)?);
        if (target.st_dev, target.st_ino) != (source.st_dev, source.st_ino) {
            return Ok(false);
        }
        let append =
            OFlag::from_bits_retain(fcntl(self.0, FcntlArg::F_GETFL)?).contains(OFlag::O_APPEND);
        let position = |fd| lseek(fd, 0, Whence::SeekCur);
        // A file without an offset, such as a terminal, does not return as input what is written to it.
        Ok(match (position(input.as_fd()), position(self.0)) {
            (Ok(read), Ok(_)) if append => read < target.st_size,
            (Ok(read), Ok(written)) => read < written,
            _ => false,
        })
    }

    /// Ends this process by SIGPIPE, as a write would, if nobody can read what is written any more (`poll(2)`).
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`; `EPIPE` if SIGPIPE does not end this process.
    pub fn end_if_reader_is_gone(self) -> nix::Result<()> {
        let mut stream = [PollFd::new(self.0, PollFlags::empty())];
        match poll(&mut stream, PollTimeout::ZERO) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let is_gone =
            |events: PollFlags| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        match stream[0].revents().is_some_and(is_gone) {
            true => raise(Signal::SIGPIPE).and(Err(Errno::EPIPE)),
            false => Ok(()),
        }
    }

    /// Waits until a short line can be written without waiting. Returns false if that is not so by the deadline.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    pub fn wait_until_writable(self, deadline: Option<Instant>) -> nix::Result<bool> {
        loop {
            let timeout = match deadline {
                None => PollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    PollTimeout::try_from(left.as_micros().div_ceil(1000))
                        .unwrap_or(PollTimeout::MAX)
                }
            };
            let mut stream = [PollFd::new(self.0, PollFlags::POLLOUT)];
            match poll(&mut stream, timeout) {
                Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Ok(false);
                }
                Ok(0) | Err(Errno::EINTR) => {}
                result => return result.map(|_| true),
            }
        }
    }

    fn retry_until_writable(self, write: impl Fn() -> isize) -> nix::Result<usize> {
        retry_until_ready(self.0, PollFlags::POLLOUT, write)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` is our own memory, and outlives the call.
        let write =
            || unsafe { libc::write(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        Ok(self.retry_until_writable(write)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads up to `length` bytes into the start of `buffer`, waiting until there are any. Returns the number of bytes
/// read; 0 means the end of the input.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn read_into(input: BorrowedFd, buffer: &mut Mapping, length: usize) -> nix::Result<usize> {
    let address = buffer.address(0, length).as_ptr();
    // SAFETY: the range stays mapped as long as `buffer` is borrowed, and there are no references into it.
    retry_until_ready(input, PollFlags::POLLIN, || unsafe {
        libc::read(input.as_raw_fd(), address, length)
    })
}

/// Repeats a system call on `fd` while it fails with `EINTR` or `EAGAIN`. After `EAGAIN` it waits until `event`
/// occurs.
///
/// # Errors
///
/// Those of the call, and of `poll(2)`.
pub(in crate::sys) fn retry_until_ready(
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
            // The cast is safe: a negative count would have been an error.
            result => return result.map(|count| count as usize),
        }
    }
}
