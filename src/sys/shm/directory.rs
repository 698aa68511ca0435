//! The directory that holds the objects, and the file system under it (`shm_overview(7)`, `tmpfs(5)`).

use super::name::ShmName;
use crate::sys::error::{Error, ExhaustedInodes, Result, errno};
use crate::sys::io::status::{Status, status};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::libc;
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat, geteuid};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirEntryExt, FileTypeExt, MetadataExt};

/// Where Linux keeps shared memory objects.
pub const PATH: &str = "/dev/shm";

/// Why a call on something in the directory failed, if the directory itself is the reason.
pub(in crate::sys) fn problem(errno: Errno) -> Option<Error> {
    let (problem, hint) = match errno {
        // An object that is missing says ENOENT too.
        Errno::ENOENT if std::fs::exists(PATH).is_ok_and(|exists| !exists) => (
            "no such directory",
            "mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        ),
        Errno::ENOTDIR => (
            "not a directory",
            "objects need a tmpfs that is mounted there",
        ),
        Errno::EACCES => (
            "permission denied",
            "its mode is usually 1777: 'ls -ld /dev/shm' shows it",
        ),
        _ => return None,
    };
    let hint = Some(hint);
    Some(Error::Directory { problem, hint })
}

/// The device number of the file system that the objects are on.
///
/// # Errors
///
/// `/dev/shm` cannot be used.
pub fn device() -> Result<u64> {
    let metadata = std::fs::metadata(PATH).map_err(|error| unusable(&error))?;
    Ok(metadata.dev())
}

/// The error of a call on the directory itself.
fn unusable(error: &io::Error) -> Error {
    let errno = errno(error);
    problem(errno).unwrap_or(Error::DirectoryCall(errno))
}

/// How much the file system of the objects holds.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// All there is, in bytes.
    pub size: u64,
    /// What objects, names and directories take, in bytes.
    pub used: u64,
    /// What is left, in bytes.
    pub free: u64,
    /// How many inodes there are.
    pub inodes: u64,
    /// How many of them are used: one for each object, directory and link.
    pub inodes_used: u64,
    /// How many are left.
    pub inodes_free: u64,
}

/// Asks for the space of `/dev/shm`, `statvfs(3)`. A size of 0 means no limit but the memory there is, and 0 inodes
/// mean no limit at all.
///
/// # Errors
///
/// Those of `statvfs(3)`.
pub fn space() -> io::Result<Space> {
    let stat = statvfs(PATH)?;
    // The types are narrower than 64 bits on some machines.
    #[allow(clippy::unnecessary_cast)]
    let bytes = |blocks| (blocks as u64).saturating_mul(stat.fragment_size() as u64);
    let (size, free) = (bytes(stat.blocks()), bytes(stat.blocks_free()));
    #[allow(clippy::unnecessary_cast)]
    let (inodes, inodes_free) = (stat.files() as u64, stat.files_free() as u64);
    Ok(Space {
        size,
        used: size.saturating_sub(free),
        free,
        inodes,
        inodes_used: inodes.saturating_sub(inodes_free),
        inodes_free,
    })
}

/// What takes up the inodes of the file system, if none is free (`statvfs(3)`).
pub fn exhausted_inodes() -> Option<ExhaustedInodes> {
    let stat = statvfs(PATH).ok()?;
    // Without a limit both are 0.
    if stat.files() == 0 || stat.files_free() > 0 {
        return None;
    }
    let is_semaphore =
        |entry: &io::Result<Entry>| entry.as_ref().is_ok_and(|entry| entry.name.is_semaphore());
    // If the directory cannot be read, they are used up all the same.
    let semaphores = entries().map_or(0, |entries| entries.filter(is_semaphore).count());
    Some(ExhaustedInodes {
        total: stat.files(),
        semaphores: semaphores as u64,
    })
}

/// Whether the objects are in memory, `statfs(2)`: not if `/dev/shm` is a directory on a disk. False if the kernel does
/// not say.
pub fn is_in_memory() -> bool {
    // RAMFS_MAGIC of <linux/magic.h>, which nix lacks.
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
    statfs(PATH).is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type()))
}

/// An object as its directory entry shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: ShmName,
    entry: DirEntry,
}

impl Entry {
    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.entry.ino()
    }

    /// The same as [`stat`].
    ///
    /// # Errors
    ///
    /// It has vanished since the directory was read, or something else has its name.
    pub fn stat(&self) -> Result<Metadata> {
        checked(&self.name, self.entry.metadata())
    }
}

/// Every object, semaphores included, in no order. Only the directory is read.
///
/// What `shm_open(3)` cannot open (directories, links, FIFOs, sockets, devices) is not an object.
///
/// # Errors
///
/// `/dev/shm` cannot be read.
pub fn entries() -> Result<impl Iterator<Item = io::Result<Entry>>> {
    let entries = std::fs::read_dir(PATH).map_err(|error| unusable(&error))?;
    Ok(entries.filter_map(|entry| {
        let look = || -> io::Result<_> {
            let entry = entry?;
            let name = ShmName::new(&entry.file_name()).ok();
            let name = name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file()));
            Ok(name.map(|name| Entry { name, entry }))
        };
        look().transpose()
    }))
}

/// What `stat(2)` knows of one object. Nothing is opened, so that no permission is needed.
///
/// # Errors
///
/// There is no such object, or something else has its name.
pub fn stat(name: &ShmName) -> Result<Metadata> {
    checked(name, std::fs::symlink_metadata(name.path()))
}

fn checked(name: &ShmName, metadata: io::Result<Metadata>) -> Result<Metadata> {
    let metadata = metadata.map_err(|error| {
        let errno = errno(&error);
        problem(errno).unwrap_or_else(|| match errno {
            Errno::ENOENT => Error::NotFound(name.clone()),
            _ => Error::os(name, "look at it", errno),
        })
    })?;
    check_type(name, &metadata)?;
    Ok(metadata)
}

/// Whether we may remove the name of an object of this owner: `unlink(2)` asks for the right to write to the
/// directory, and if that is sticky, to be the owner of one of the two.
pub fn may_unlink(owner: u32) -> bool {
    let rights = AccessFlags::W_OK | AccessFlags::X_OK;
    let us = geteuid();
    let is_ours = |directory: Metadata| {
        let is_sticky = directory.mode() & 0o1000 != 0;
        !is_sticky || us.is_root() || [owner, directory.uid()].contains(&us.as_raw())
    };
    faccessat(AT_FDCWD, PATH, rights, AtFlags::AT_EACCESS).is_ok()
        && std::fs::metadata(PATH).is_ok_and(is_ours)
}

/// Only a regular file is an object.
pub(in crate::sys) fn check_type(name: &ShmName, metadata: &Metadata) -> Result<()> {
    let what = match metadata.file_type() {
        file if file.is_file() => return Ok(()),
        file if file.is_dir() => "a directory",
        file if file.is_symlink() => "a symbolic link",
        file if file.is_fifo() => "a FIFO",
        file if file.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::NotAnObject {
        name: name.clone(),
        what,
    })
}

/// What takes memory in `/dev/shm` and is not in a listing of objects without semaphores.
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
/// `/dev/shm` cannot be read.
pub fn hidden() -> io::Result<Hidden> {
    let mut directory = Dir::open(PATH, OPEN_DIRECTORY, Mode::empty())?;
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
