//! The directory that holds the objects, and the file system under it (`shm_overview(7)`, `tmpfs(5)`).

use super::name::ShmName;
use crate::sys::error::{Error, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat, geteuid};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileTypeExt, MetadataExt};

/// Where Linux keeps shared memory objects.
pub const PATH: &str = "/dev/shm";

/// How much the file system of the objects holds, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// All there is.
    pub size: u64,
    /// What objects, names and directories take.
    pub used: u64,
    /// What is left.
    pub free: u64,
}

/// Asks for the space of `/dev/shm`, `statvfs(3)`. A size of 0 means no limit but the memory there is.
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
    Ok(Space {
        size,
        used: size.saturating_sub(free),
        free,
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
pub fn entries() -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    Ok(std::fs::read_dir(PATH)?.filter_map(|entry| {
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
    let metadata = metadata.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound(name.clone()),
        _ => Error::io(name, "look at it", &error),
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
