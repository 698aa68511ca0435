//! The processes that `/proc` shows, and the files in their directories there: `proc(5)`.

use crate::sys::status::FileStatus;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Returns the IDs of all processes.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn pids() -> io::Result<Vec<i32>> {
    numbers("/proc")
}

/// Returns the IDs of the threads of a process, without the first one, which has the ID of the process. They have
/// directories in `/proc` too, although they are not listed there.
///
/// # Errors
///
/// `ENOENT` or `ESRCH` if the process has ended.
pub fn other_threads(pid: i32) -> io::Result<Vec<i32>> {
    let mut threads = numbers(&format!("/proc/{pid}/task"))?;
    threads.retain(|&thread| thread != pid);
    Ok(threads)
}

/// Returns the names in a directory that are numbers.
fn numbers(directory: &str) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// Returns whether an error means that `/proc` does not show the process (any more).
pub fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ESRCH].map(|errno| Some(errno as i32));
    gone.contains(&error.raw_os_error())
}

/// Reads a file of a process into the buffer.
///
/// # Errors
///
/// Those of `open(2)` and `read(2)`.
pub fn read_file(pid: i32, name: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    read_all(&File::open(format!("/proc/{pid}/{name}"))?, buffer)
}

/// Reads an open file of `/proc` into the buffer.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn read_all(file: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
    const ROOM: usize = 64 << 10;
    buffer.clear();
    buffer.reserve(ROOM);
    // `File::read_to_end` first asks how long the file is, which /proc does not know.
    file.take(u64::MAX).read_to_end(buffer)?;
    Ok(())
}

/// The directory of a process or thread in `/proc`. It stays that of the same process even if the ID is reused.
#[derive(Debug)]
pub struct Process {
    /// The ID in our PID namespace.
    pub pid: i32,
    directory: OwnedFd,
}

impl Process {
    /// Opens the directory.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such process.
    pub fn open(pid: i32) -> nix::Result<Process> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?;
        Ok(Process { pid, directory })
    }

    /// Returns the inode number of a namespace of the process, such as `ns/ipc`. It identifies the namespace.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the process has ended, `EACCES` if it may not be inspected.
    pub fn namespace(&self, path: &CStr) -> nix::Result<u64> {
        Ok(FileStatus::at(self.as_fd(), path, 0)?.inode)
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Those of `openat(2)`.
    pub fn open_file(&self, name: &CStr) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        openat(self, name, flags, Mode::empty())
    }

    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// Those of `openat(2)`.
    pub fn open_directory(&self, name: &CStr) -> nix::Result<Dir> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Dir::openat(self, name, flags, Mode::empty())
    }

    /// Reads a file into the buffer.
    ///
    /// # Errors
    ///
    /// Those of `openat(2)` and `read(2)`.
    pub fn read(&self, name: &CStr, buffer: &mut Vec<u8>) -> io::Result<()> {
        read_all(&self.open_file(name)?.into(), buffer)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
