//! The files of some file systems that a process has open or mapped: `/proc/PID/fd` and `/proc/PID/maps`, `proc(5)`.

use super::procfs::{Process, other_threads};
use crate::sys::status::FileStatus;
use maps::{Devices, MapsLine, find_newline, unescaped};
use memchr::memchr_iter;
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::libc;
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

mod maps;

pub use maps::Rights;

/// What the kernel adds to the path of a file that has no name any more.
pub const DELETED: &[u8] = b" (deleted)";

/// A file that a process has open or mapped. There are many, so its properties are looked up only when they are needed.
pub struct UsedFile<'a> {
    /// The process, or one of its threads.
    pub process: &'a Process,
    /// The device number of the file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// How the process uses it.
    pub access: Access<'a>,
    /// Whether we may follow the links in `/proc/PID/map_files`, as far as we know.
    may_follow: &'a Cell<bool>,
}

/// How a process uses a file.
pub enum Access<'a> {
    /// It has mapped the file.
    Mapping(MapsLine<'a>),
    /// It has opened the file.
    Descriptor {
        /// The directory with its descriptors.
        directory: BorrowedFd<'a>,
        /// The number of the descriptor.
        number: &'a CStr,
        /// The status of the file.
        status: FileStatus,
    },
}

impl UsedFile<'_> {
    /// Returns what the process may do with the file, or `None` if it has just closed it.
    pub fn rights(&self) -> Option<Rights> {
        match &self.access {
            Access::Mapping(line) => Some(line.rights),
            Access::Descriptor {
                directory, number, ..
            } => {
                // The mode of the link itself says what the file was opened for.
                let link = FileStatus::at(*directory, number, libc::AT_SYMLINK_NOFOLLOW).ok()?;
                Some(Rights {
                    read: link.mode & 0o400 != 0,
                    write: link.mode & 0o200 != 0,
                })
            }
        }
    }

    /// Returns whether the file has no name any more.
    pub fn is_unlinked(&self) -> bool {
        match &self.access {
            Access::Mapping(line) => line.path.ends_with(DELETED),
            Access::Descriptor { status, .. } => status.links == 0,
        }
    }

    /// Returns the path that the kernel shows. It is empty if the process has just closed the file.
    pub fn path(&self) -> Cow<'_, [u8]> {
        let read_link = |directory: BorrowedFd, name: &CStr| {
            readlinkat(directory, name).map(OsStringExt::into_vec)
        };
        match &self.access {
            Access::Mapping(line) if find_newline(line.path).is_none() => Cow::Borrowed(line.path),
            // It may also be what the program wrote. The link tells.
            Access::Mapping(line) => {
                let known = self.status();
                let exact = known.and_then(|_| read_link(self.process.as_fd(), &link(line)).ok());
                exact.unwrap_or_else(|| unescaped(line.path)).into()
            }
            Access::Descriptor {
                directory, number, ..
            } => read_link(*directory, number).unwrap_or_default().into(),
        }
    }

    /// Returns the status of the file, if there is a way to ask.
    pub fn status(&self) -> Option<FileStatus> {
        match &self.access {
            Access::Descriptor { status, .. } => Some(*status),
            Access::Mapping(line) if self.may_follow.get() => {
                match FileStatus::at(self.process.as_fd(), &link(line), 0) {
                    // Another file may have been mapped there meanwhile.
                    Ok(status) => Some(status)
                        .filter(|now| (now.device, now.inode) == (self.device, self.inode)),
                    // Only who may look into every process may follow the links (`CAP_CHECKPOINT_RESTORE`).
                    Err(Errno::EPERM) => {
                        self.may_follow.set(false);
                        None
                    }
                    Err(_) => None,
                }
            }
            Access::Mapping(_) => None,
        }
    }
}

/// Returns the link to a mapped file in the directory of the process.
fn link(line: &MapsLine) -> CString {
    let link = format!("map_files/{:x}-{:x}", line.start, line.end);
    CString::new(link).expect("it contains no NUL")
}

/// A search for the files of some file systems in one process after the other.
#[derive(Debug)]
pub struct FileSearch {
    devices: Devices,
    may_follow: Cell<bool>,
    buffer: Vec<u8>,
}

impl FileSearch {
    /// Searches for the files on these devices.
    pub fn new(devices: &[u64]) -> FileSearch {
        FileSearch {
            devices: Devices::new(devices),
            may_follow: Cell::new(true),
            buffer: Vec::new(),
        }
    }

    /// Passes each file that a process uses to `found`, possibly several times.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `ESRCH` if the process has ended. Any other: it may not be inspected.
    pub fn run(&mut self, process: &Process, found: &mut dyn FnMut(&UsedFile)) -> io::Result<()> {
        match self.mappings(process, found) {
            Ok(true) => return self.descriptors(process, found),
            Ok(false) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
        // A thread of the kernel's own; or the first thread has ended, and the others go on.
        for thread in other_threads(process.pid)? {
            let thread = Process::open(thread)?;
            self.mappings(&thread, found)?;
            self.descriptors(&thread, found)?;
        }
        Ok(())
    }

    /// Returns whether the process has any memory.
    fn mappings(
        &mut self,
        process: &Process,
        found: &mut dyn FnMut(&UsedFile),
    ) -> io::Result<bool> {
        process.read(c"maps", &mut self.buffer)?;
        let mut start = 0;
        for end in memchr_iter(b'\n', &self.buffer) {
            let line = &self.buffer[start..end];
            start = end + 1;
            if let Some(line) = MapsLine::read(line, &self.devices) {
                found(&UsedFile {
                    process,
                    device: line.device,
                    inode: line.inode,
                    access: Access::Mapping(line),
                    may_follow: &self.may_follow,
                });
            }
        }
        Ok(!self.buffer.is_empty())
    }

    fn descriptors(&self, process: &Process, found: &mut dyn FnMut(&UsedFile)) -> io::Result<()> {
        let mut directory = process.open_directory(c"fd")?;
        // Read to the end first: the iterator has the directory to itself.
        let numbers: Vec<_> = directory
            .iter()
            .filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_owned()))
            .filter(|name| !name.to_bytes().starts_with(b"."))
            .collect();
        for number in &numbers {
            // Closed meanwhile.
            let Ok(status) = FileStatus::at(directory.as_fd(), number, 0) else {
                continue;
            };
            if self.devices.contains(status.device) && status.is_file() {
                found(&UsedFile {
                    process,
                    device: status.device,
                    inode: status.inode,
                    access: Access::Descriptor {
                        directory: directory.as_fd(),
                        number,
                        status,
                    },
                    may_follow: &self.may_follow,
                });
            }
        }
        Ok(())
    }
}
