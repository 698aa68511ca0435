//! A directory that holds shared memory objects, and the file system under it (`shm_overview(7)`, `tmpfs(5)`).
//!
//! All calls that look names up are here, so that everything else works in any such directory.

use super::name::ShmName;
use crate::sys::error::{Error, ExhaustedInodes, Result, errno};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, renameat};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat, geteuid, linkat};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirEntryExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A directory of objects. Today there is one, [`Directory::own`].
#[derive(Debug, Clone)]
pub struct Directory {
    path: &'static str,
}

/// How much the file system of a directory holds.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// The total in bytes. 0 means that there is no limit but the memory of the machine.
    pub size: u64,
    /// The bytes that objects, names and directories take.
    pub used: u64,
    /// The bytes that are left.
    pub free: u64,
    /// How many inodes there are. 0 means that there is no limit.
    pub inodes: u64,
    /// How many inodes are used: one for each object, directory and link.
    pub inodes_used: u64,
    /// How many inodes are left.
    pub inodes_free: u64,
}

impl Directory {
    /// The directory in which the C library keeps this process's objects: `/dev/shm`.
    pub fn own() -> Directory {
        Directory { path: "/dev/shm" }
    }

    /// Where it is.
    pub fn path(&self) -> &'static Path {
        Path::new(self.path)
    }

    /// Its path as messages show it.
    pub fn label(&self) -> &'static str {
        self.path
    }

    /// Where an object is, as in `/dev/shm/counter`.
    pub fn path_of(&self, name: &ShmName) -> PathBuf {
        self.path().join(name.file_name())
    }

    /// The device number of the file system, by which `/proc` names it too.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub fn device(&self) -> Result<u64> {
        let metadata = std::fs::metadata(self.path).map_err(|error| self.unusable(&error))?;
        Ok(metadata.dev())
    }

    /// Asks for the space of the file system, `statvfs(3)`.
    ///
    /// # Errors
    ///
    /// Those of `statvfs(3)`.
    pub fn space(&self) -> io::Result<Space> {
        let stat = statvfs(self.path)?;
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

    /// What takes up the inodes of the file system, if none is free. None too if that cannot be found out.
    pub fn exhausted_inodes(&self) -> Option<ExhaustedInodes> {
        let space = self.space().ok()?;
        if space.inodes == 0 || space.inodes_free > 0 {
            return None;
        }
        let is_semaphore =
            |entry: &io::Result<Entry>| entry.as_ref().is_ok_and(|entry| entry.name.is_semaphore());
        // If the directory cannot be read, the inodes are used up all the same.
        let semaphores = self
            .entries()
            .map_or(0, |entries| entries.filter(is_semaphore).count());
        Some(ExhaustedInodes {
            total: space.inodes,
            semaphores: semaphores as u64,
        })
    }

    /// Whether the file system is a tmpfs, `statfs(2)`.
    ///
    /// # Errors
    ///
    /// Those of `statfs(2)`.
    pub fn is_tmpfs(&self) -> nix::Result<bool> {
        Ok(statfs(self.path)?.filesystem_type() == TMPFS_MAGIC)
    }

    /// Whether the objects are in memory, and not on a disk. False if the kernel does not say.
    pub fn is_in_memory(&self) -> bool {
        // RAMFS_MAGIC of <linux/magic.h>, which nix lacks.
        const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
        statfs(self.path)
            .is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type()))
    }

    /// Lists the objects, semaphores included, in no order. Only the directory is read.
    ///
    /// What `shm_open(3)` cannot open (directories, links, FIFOs, sockets, devices) is not an object.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let directory = self.clone();
        let entries = std::fs::read_dir(self.path).map_err(|error| self.unusable(&error))?;
        Ok(entries.filter_map(move |entry| {
            let object = || -> io::Result<_> {
                let entry = entry?;
                let name = ShmName::new(&entry.file_name()).ok();
                let name = name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file()));
                Ok(name.map(|name| Entry {
                    name,
                    directory: directory.clone(),
                    entry,
                }))
            };
            object().transpose()
        }))
    }

    /// What `stat(2)` knows of an object. Nothing is opened, so that no permission is needed.
    ///
    /// # Errors
    ///
    /// There is no such object, or something else has its name.
    pub fn stat(&self, name: &ShmName) -> Result<Metadata> {
        self.checked(name, std::fs::symlink_metadata(self.path_of(name)))
    }

    fn checked(&self, name: &ShmName, metadata: io::Result<Metadata>) -> Result<Metadata> {
        let metadata = metadata.map_err(|error| {
            let errno = errno(&error);
            self.problem(errno).unwrap_or_else(|| match errno {
                Errno::ENOENT => Error::NotFound(name.clone()),
                _ => Error::os(name, "look at it", errno),
            })
        })?;
        check_type(name, &metadata)?;
        Ok(metadata)
    }

    /// Whether we may remove the name of an object with this owner: `unlink(2)` needs the right to write to the
    /// directory, and in a sticky directory the owner of the object or of the directory.
    pub fn may_unlink(&self, owner: u32) -> bool {
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        let us = geteuid();
        let is_ours = |directory: Metadata| {
            let is_sticky = directory.mode() & 0o1000 != 0;
            !is_sticky || us.is_root() || [owner, directory.uid()].contains(&us.as_raw())
        };
        faccessat(AT_FDCWD, self.path, rights, AtFlags::AT_EACCESS).is_ok()
            && std::fs::metadata(self.path).is_ok_and(is_ours)
    }

    /// Opens an object, `shm_open(3)`; with `O_CREAT` its mode is 0600.
    pub(in crate::sys) fn open(&self, name: &ShmName, flags: OFlag) -> nix::Result<OwnedFd> {
        shm_open(name.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Creates an object of mode 0600 that has no name yet, `O_TMPFILE` of `open(2)`.
    pub(in crate::sys) fn create_unnamed(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        open(self.path, flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Names an unnamed object.
    pub(in crate::sys) fn link_unnamed(&self, file: BorrowedFd, name: &ShmName) -> nix::Result<()> {
        link_descriptor(file, &self.path_of(name))
    }

    /// Whether an unnamed object can be named: not without `/proc`, before Linux 6.10, and without privilege.
    pub(in crate::sys) fn can_link_unnamed(&self, file: BorrowedFd) -> bool {
        // The new name exists, so that the call never succeeds; but it fails with ENOENT if it does not find the file.
        link_descriptor(file, Path::new("/")) != Err(Errno::ENOENT)
    }

    /// Gives an object a second name, `link(2)`.
    pub(in crate::sys) fn link(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let (old, new) = (self.path_of(old), self.path_of(new));
        linkat(AT_FDCWD, &old, AT_FDCWD, &new, AtFlags::empty())
    }

    /// Renames an object, `rename(2)`. An object that has the new name loses it.
    pub(in crate::sys) fn rename(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        renameat(AT_FDCWD, &self.path_of(old), AT_FDCWD, &self.path_of(new))
    }

    /// Removes a name, `shm_unlink(3)`. glibc's returns `EACCES` where `unlink(2)` returns `EPERM`.
    pub(in crate::sys) fn unlink(&self, name: &ShmName) -> nix::Result<()> {
        shm_unlink(name.as_c_str())
    }

    /// Why a call on something in the directory failed, if the directory itself is the reason.
    pub(in crate::sys) fn problem(&self, errno: Errno) -> Option<Error> {
        let (problem, hint) = match errno {
            // ENOENT may also mean that an object is missing.
            Errno::ENOENT if std::fs::exists(self.path).is_ok_and(|exists| !exists) => (
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

    /// The error of a call on the directory itself.
    fn unusable(&self, error: &io::Error) -> Error {
        let errno = errno(error);
        self.problem(errno).unwrap_or(Error::DirectoryCall(errno))
    }
}

/// An object as its directory entry shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: ShmName,
    directory: Directory,
    entry: DirEntry,
}

impl Entry {
    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.entry.ino()
    }

    /// The same as [`Directory::stat`].
    ///
    /// # Errors
    ///
    /// It has vanished since the directory was read, or something else has its name.
    pub fn stat(&self) -> Result<Metadata> {
        self.directory.checked(&self.name, self.entry.metadata())
    }
}

/// Names an unnamed file, `linkat(2)`: by its descriptor where the kernel allows it (with privilege, or since Linux
/// 6.10), otherwise through `/proc`.
fn link_descriptor(file: BorrowedFd, path: &Path) -> nix::Result<()> {
    match linkat(file, "", AT_FDCWD, path, AtFlags::AT_EMPTY_PATH) {
        Err(Errno::ENOENT) => {
            let by_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
            let flags = AtFlags::AT_SYMLINK_FOLLOW;
            linkat(AT_FDCWD, by_proc.as_str(), AT_FDCWD, path, flags)
        }
        result => result,
    }
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
