//! What else takes memory in a directory of objects: semaphores, and directories with everything in them.

use super::directory::Directory;
use crate::sys::io::status::{Status, status};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What takes memory in the directory and is not in a listing of objects without semaphores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hidden {
    /// The named semaphores.
    pub semaphores: Usage,
    /// The directories, with everything in them.
    pub directories: Usage,
}

/// How many files there are, and what is allocated for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// The files.
    pub count: usize,
    /// The bytes allocated for them.
    pub bytes: u64,
    /// There may be more, because not everything could be read.
    pub is_partial: bool,
}

/// How many files [`hidden`] looks at, of each kind: some tenths of a second's worth.
const MOST_FILES: usize = 100_000;

/// How deep it looks into directories. It has one descriptor open for each level.
const MOST_LEVELS: usize = 64;

/// Adds up the semaphores, and the directories with everything in them.
///
/// Anybody can put anything there. So nothing but directories is opened, links are not followed, and neither other
/// file systems nor endless trees are entered.
///
/// # Errors
///
/// The directory cannot be read.
pub fn hidden(directory: &Directory) -> io::Result<Hidden> {
    let mut directory = Dir::open(directory.path(), OPEN_DIRECTORY, Mode::empty())?;
    let (mut semaphores, mut directories) = (Vec::new(), Vec::new());
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            Some(Type::File) | None if name.to_bytes().starts_with(b"sem.") => {
                semaphores.push(name.to_owned());
            }
            Some(Type::Directory) | None if !is_dots(name) => directories.push(name.to_owned()),
            _ => {}
        }
    }
    let device = status(directory.as_fd(), c"", libc::AT_EMPTY_PATH)?.device;
    let mut hidden = Hidden::default();
    let mut walk = Walk::new(device);
    for name in &semaphores {
        if let Some(file) = walk.look(directory.as_fd(), name)
            && file.is_type(libc::S_IFREG)
        {
            walk.usage.count += 1;
            walk.usage.bytes += file.allocated;
        }
    }
    hidden.semaphores = walk.usage;
    let mut walk = Walk::new(device);
    for name in &directories {
        if let Some(file) = walk.look(directory.as_fd(), name)
            && file.is_type(libc::S_IFDIR)
        {
            walk.usage.count += 1;
            walk.usage.bytes += file.allocated;
            walk.enter(directory.as_fd(), name, file.inode, 1);
        }
    }
    hidden.directories = walk.usage;
    Ok(hidden)
}

const OPEN_DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// A walk through directories.
struct Walk {
    /// The only file system that it enters.
    device: u64,
    usage: Usage,
    files_left: usize,
    /// The inodes of files with several names, which count once.
    linked: HashSet<u64>,
}

impl Walk {
    fn new(device: u64) -> Walk {
        Walk {
            device,
            usage: Usage::default(),
            files_left: MOST_FILES,
            linked: HashSet::new(),
        }
    }

    /// Looks at a file, if it is still there and of this file system.
    fn look(&mut self, directory: BorrowedFd, name: &CStr) -> Option<Status> {
        if self.files_left == 0 {
            self.usage.is_partial = true;
            return None;
        }
        self.files_left -= 1;
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
        match status(directory, name, flags) {
            Ok(file) => (!file.is_mount && file.device == self.device).then_some(file),
            Err(errno) => {
                self.usage.is_partial |= errno != Errno::ENOENT;
                None
            }
        }
    }

    /// Adds up what is in a directory.
    fn enter(&mut self, parent: BorrowedFd, name: &CStr, inode: u64, level: usize) {
        let opened = Dir::openat(parent, name, OPEN_DIRECTORY, Mode::empty());
        let mut directory = match opened {
            Ok(directory) if level <= MOST_LEVELS => directory,
            Err(Errno::ENOENT) => return,
            _ => {
                self.usage.is_partial = true;
                return;
            }
        };
        // Something may have been mounted on it since.
        let is_same = |now: Status| (now.device, now.inode) == (self.device, inode);
        if !status(directory.as_fd(), c"", libc::AT_EMPTY_PATH).is_ok_and(is_same) {
            return;
        }
        let mut names: Vec<CString> = Vec::new();
        for entry in directory.iter() {
            match entry {
                Ok(entry) if is_dots(entry.file_name()) => {}
                Ok(entry) if names.len() < self.files_left => {
                    names.push(entry.file_name().to_owned());
                }
                _ => {
                    self.usage.is_partial = true;
                    break;
                }
            }
        }
        for name in &names {
            let Some(file) = self.look(directory.as_fd(), name) else {
                continue;
            };
            let is_directory = file.is_type(libc::S_IFDIR);
            if is_directory || file.links == 1 || self.linked.insert(file.inode) {
                self.usage.bytes += file.allocated;
            }
            if is_directory {
                self.enter(directory.as_fd(), name, file.inode, level + 1);
            }
        }
    }
}

fn is_dots(name: &CStr) -> bool {
    name == c"." || name == c".."
}
