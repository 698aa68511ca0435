//! Memory in a directory of objects that a listing of the objects does not show: semaphores and subdirectories.

use super::directory::Directory;
use crate::sys::error::Result;
use crate::sys::status::FileStatus;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

/// The memory usage of semaphores and subdirectories.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct HiddenUsage {
    /// The named semaphores.
    pub semaphores: Usage,
    /// The subdirectories and everything in them.
    pub directories: Usage,
}

impl HiddenUsage {
    /// Whether there may be more than was counted.
    pub fn is_partial(&self) -> bool {
        self.semaphores.is_partial || self.directories.is_partial
    }
}

/// The number and allocated memory of files.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The number of semaphores or subdirectories. Files in subdirectories are not counted.
    pub count: usize,
    /// The number of bytes allocated, including those of files in subdirectories.
    pub bytes: u64,
    /// Whether the numbers may be too low, because not everything could be read.
    pub is_partial: bool,
}

/// The maximum number of files that [`measure_hidden`] examines for semaphores, and again for subdirectories. This
/// takes some tenths of a second.
const MAX_FILES: usize = 100_000;

/// The maximum depth of subdirectories. One descriptor is open for each level.
const MAX_DEPTH: usize = 64;

/// Measures the memory of the semaphores, and of the subdirectories with everything in them.
///
/// Any user can put anything into the directory. So this opens only directories, does not follow symbolic links, does
/// not enter other file systems, and limits the number of files and the depth.
///
/// # Errors
///
/// Those of `open(2)` and `getdents(2)` if the directory cannot be read.
pub fn measure_hidden(directory: &Directory) -> Result<HiddenUsage> {
    let failed = |errno| directory.directory_error(errno);
    let mut directory = directory.open_to_read()?;
    let (mut semaphores, mut directories) = (Vec::new(), Vec::new());
    for entry in directory.iter() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        match entry.file_type() {
            Some(Type::File) | None if name.to_bytes().starts_with(b"sem.") => {
                semaphores.push(name.to_owned());
            }
            Some(Type::Directory) | None if !is_dot_or_dot_dot(name) => {
                directories.push(name.to_owned())
            }
            _ => {}
        }
    }
    let device = FileStatus::of(&directory).map_err(failed)?.device;
    let mut hidden = HiddenUsage::default();
    let mut walk = Walk::new(device);
    for name in &semaphores {
        if let Some(file) = walk.inspect(directory.as_fd(), name)
            && file.is_type(libc::S_IFREG)
        {
            walk.usage.count += 1;
            walk.usage.bytes += file.allocated;
        }
    }
    hidden.semaphores = walk.usage;
    let mut walk = Walk::new(device);
    for name in &directories {
        if let Some(file) = walk.inspect(directory.as_fd(), name)
            && file.is_type(libc::S_IFDIR)
        {
            walk.usage.count += 1;
            walk.usage.bytes += file.allocated;
            walk.add_directory(directory.as_fd(), name, file.inode, 1);
        }
    }
    hidden.directories = walk.usage;
    Ok(hidden)
}

/// Measures everything in a directory, with the same care. The directory belongs to the file system with this device
/// number.
pub(in crate::sys) fn measure_tree(directory: &Directory, device: u64) -> Usage {
    let mut walk = Walk::new(device);
    let (base, path) = directory.root();
    match FileStatus::at(base, path, 0) {
        Ok(root) => walk.add_directory(base, path, root.inode, 1),
        Err(_) => walk.usage.is_partial = true,
    }
    walk.usage
}

const OPEN_DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// A recursive walk through directories.
struct Walk {
    /// The device number of the file system. The walk does not leave it.
    device: u64,
    usage: Usage,
    files_left: usize,
    /// The inodes of the files with several hard links that were counted already. Each file counts once.
    linked: HashSet<u64>,
}

impl Walk {
    fn new(device: u64) -> Walk {
        Walk {
            device,
            usage: Usage::default(),
            files_left: MAX_FILES,
            linked: HashSet::new(),
        }
    }

    /// Returns the status of a file. Returns `None` if it does not exist any more, if it belongs to another file
    /// system, or if it cannot be examined.
    fn inspect(&mut self, directory: BorrowedFd, name: &CStr) -> Option<FileStatus> {
        if self.files_left == 0 {
            self.usage.is_partial = true;
            return None;
        }
        self.files_left -= 1;
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
        match FileStatus::at(directory, name, flags) {
            Ok(file) => (!file.is_mount && file.device == self.device).then_some(file),
            Err(errno) => {
                self.usage.is_partial |= errno != Errno::ENOENT;
                None
            }
        }
    }

    /// Adds the memory of everything in a directory to the usage.
    fn add_directory(&mut self, parent: BorrowedFd, name: &CStr, inode: u64, depth: usize) {
        let opened = Dir::openat(parent, name, OPEN_DIRECTORY, Mode::empty());
        let mut directory = match opened {
            Ok(directory) if depth <= MAX_DEPTH => directory,
            Err(Errno::ENOENT) => return,
            _ => {
                self.usage.is_partial = true;
                return;
            }
        };
        // The directory may have been replaced, or become a mount point, since it was examined.
        let is_same = |now: FileStatus| (now.device, now.inode) == (self.device, inode);
        if !FileStatus::of(&directory).is_ok_and(is_same) {
            return;
        }
        let mut names: Vec<CString> = Vec::new();
        for entry in directory.iter() {
            match entry {
                Ok(entry) if is_dot_or_dot_dot(entry.file_name()) => {}
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
            let Some(file) = self.inspect(directory.as_fd(), name) else {
                continue;
            };
            let is_directory = file.is_type(libc::S_IFDIR);
            if is_directory || file.links == 1 || self.linked.insert(file.inode) {
                self.usage.bytes += file.allocated;
            }
            if is_directory {
                self.add_directory(directory.as_fd(), name, file.inode, depth + 1);
            }
        }
    }
}

fn is_dot_or_dot_dot(name: &CStr) -> bool {
    name == c"." || name == c".."
}
