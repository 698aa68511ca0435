//! A directory of shared memory objects, and its file system (`shm_overview(7)`, `tmpfs(5)`).
//!
//! All system calls that look up names are in this module, so that the rest of the layer works with any such
//! directory.

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

/// A directory of objects. Currently there is only one, [`Directory::own`].
#[derive(Debug, Clone)]
pub struct Directory {
    path: &'static str,
}

/// The size and usage of the file system of a directory.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// The size in bytes. 0 means that only the memory of the machine limits it.
    pub size: u64,
    /// The number of bytes allocated, including those for names and directories.
    pub used: u64,
    /// The number of bytes free.
    pub free: u64,
    /// The number of inodes. 0 means no limit.
    pub inodes: u64,
    /// The number of inodes in use. Each object, directory and link needs one.
    pub inodes_used: u64,
    /// The number of inodes free.
    pub inodes_free: u64,
}

impl Directory {
    /// Returns `/dev/shm` as this process sees it. This is where the C library creates objects.
    pub fn own() -> Directory {
        Directory { path: "/dev/shm" }
    }

    /// The path of the directory.
    pub fn path(&self) -> &'static Path {
        Path::new(self.path)
    }

    /// The path of the directory for messages.
    pub fn label(&self) -> &'static str {
        self.path
    }

    /// Returns the path of an object, such as `/dev/shm/counter`.
    pub fn path_of(&self, name: &ShmName) -> PathBuf {
        self.path().join(name.file_name())
    }

    /// Returns the device number of the file system. `/proc` uses the same number.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory is unusable.
    pub fn device(&self) -> Result<u64> {
        let metadata =
            std::fs::metadata(self.path).map_err(|error| self.directory_error(&error))?;
        Ok(metadata.dev())
    }

    /// Returns the size and usage of the file system (`statvfs(3)`).
    ///
    /// # Errors
    ///
    /// Those of `statvfs(3)`.
    pub fn space(&self) -> io::Result<Space> {
        let stat = statvfs(self.path)?;
        // Some of these types are narrower than 64 bits on some architectures.
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

    /// Returns what uses the inodes of the file system if none is free. Returns `None` if there are free inodes, or if
    /// `statvfs(3)` fails.
    pub fn exhausted_inodes(&self) -> Option<ExhaustedInodes> {
        let space = self.space().ok()?;
        if space.inodes == 0 || space.inodes_free > 0 {
            return None;
        }
        let is_semaphore =
            |entry: &io::Result<Entry>| entry.as_ref().is_ok_and(|entry| entry.name.is_semaphore());
        // If the directory cannot be read, the number of semaphores is unknown, but the inodes are exhausted anyway.
        let semaphores = self
            .entries()
            .map_or(0, |entries| entries.filter(is_semaphore).count());
        Some(ExhaustedInodes {
            total: space.inodes,
            semaphores: semaphores as u64,
        })
    }

    /// Returns whether the file system is a tmpfs (`statfs(2)`).
    ///
    /// # Errors
    ///
    /// Those of `statfs(2)`.
    pub fn is_tmpfs(&self) -> nix::Result<bool> {
        Ok(statfs(self.path)?.filesystem_type() == TMPFS_MAGIC)
    }

    /// Returns whether the objects are stored in memory (tmpfs or ramfs). Returns false if `statfs(2)` fails.
    pub fn is_in_memory(&self) -> bool {
        // RAMFS_MAGIC of <linux/magic.h>, which nix lacks.
        const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
        statfs(self.path)
            .is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type()))
    }

    /// Lists the objects, including semaphores, in no particular order. This reads only the directory, not the
    /// objects.
    ///
    /// Everything that is not a regular file (directories, symbolic links, FIFOs, sockets, devices) is skipped,
    /// because it is not an object.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let directory = self.clone();
        let entries = std::fs::read_dir(self.path).map_err(|error| self.directory_error(&error))?;
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

    /// Returns the metadata of an object (`lstat(2)`). This does not open the object, so it needs no permission for
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such object, [`Error::NotAnObject`] if the name belongs to something else,
    /// [`Error::Directory`] if the directory is unusable.
    pub fn stat(&self, name: &ShmName) -> Result<Metadata> {
        self.check_object(name, std::fs::symlink_metadata(self.path_of(name)))
    }

    fn check_object(&self, name: &ShmName, metadata: io::Result<Metadata>) -> Result<Metadata> {
        let metadata = metadata.map_err(|error| {
            let errno = errno(&error);
            self.diagnose(errno).unwrap_or_else(|| match errno {
                Errno::ENOENT => Error::NotFound(name.clone()),
                _ => Error::os(name, "look at it", errno),
            })
        })?;
        check_type(name, &metadata)?;
        Ok(metadata)
    }

    /// Returns whether we may remove the name of an object that belongs to `owner`. `unlink(2)` needs write permission
    /// for the directory. In a sticky directory, only root and the owners of the object and of the directory may do
    /// it.
    ///
    /// # Errors
    ///
    /// Those of `faccessat(2)` that concern everybody: `EROFS` if the directory is read-only.
    pub fn may_unlink(&self, owner: u32) -> Result<bool> {
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        let us = geteuid();
        let is_ours = |directory: Metadata| {
            let is_sticky = directory.mode() & 0o1000 != 0;
            !is_sticky || us.is_root() || [owner, directory.uid()].contains(&us.as_raw())
        };
        match faccessat(AT_FDCWD, self.path, rights, AtFlags::AT_EACCESS) {
            Ok(()) => Ok(std::fs::metadata(self.path).is_ok_and(is_ours)),
            Err(Errno::EACCES) => Ok(false),
            // It is read-only, for instance.
            Err(errno) => Err(Error::DirectoryCall(errno)),
        }
    }

    /// Opens an object with `shm_open(3)`. With `O_CREAT`, a new object gets mode 0600.
    pub(in crate::sys) fn open(&self, name: &ShmName, flags: OFlag) -> nix::Result<OwnedFd> {
        shm_open(name.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Creates an unnamed object with mode 0600 (`O_TMPFILE`, `open(2)`).
    pub(in crate::sys) fn create_unnamed(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        open(self.path, flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Gives an unnamed object its name.
    pub(in crate::sys) fn link_unnamed(&self, file: BorrowedFd, name: &ShmName) -> nix::Result<()> {
        link_descriptor(file, &self.path_of(name))
    }

    /// Returns whether an unnamed object can get a name. It needs `/proc`, Linux 6.10, or privilege.
    pub(in crate::sys) fn can_link_unnamed(&self, file: BorrowedFd) -> bool {
        // Try a name that always exists, so that the call cannot succeed. It fails with ENOENT only if the kernel does
        // not let us refer to the file.
        link_descriptor(file, Path::new("/")) != Err(Errno::ENOENT)
    }

    /// Gives an object a second name (`link(2)`).
    pub(in crate::sys) fn link(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let (old, new) = (self.path_of(old), self.path_of(new));
        linkat(AT_FDCWD, &old, AT_FDCWD, &new, AtFlags::empty())
    }

    /// Renames an object (`rename(2)`). An existing object with the new name loses its name.
    pub(in crate::sys) fn rename(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        renameat(AT_FDCWD, &self.path_of(old), AT_FDCWD, &self.path_of(new))
    }

    /// Removes a name with `shm_unlink(3)`. In glibc this returns `EACCES` where `unlink(2)` returns `EPERM`.
    pub(in crate::sys) fn unlink(&self, name: &ShmName) -> nix::Result<()> {
        shm_unlink(name.as_c_str())
    }

    /// Returns an error about the directory if the directory itself is the reason that a call on an entry failed with
    /// `errno`; otherwise `None`.
    pub(in crate::sys) fn diagnose(&self, errno: Errno) -> Option<Error> {
        let (problem, hint) = match errno {
            // ENOENT usually means that only the object is missing.
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

    /// Returns the error for a failed call on the directory itself.
    fn directory_error(&self, error: &io::Error) -> Error {
        let errno = errno(error);
        self.diagnose(errno).unwrap_or(Error::DirectoryCall(errno))
    }
}

/// A directory entry of an object.
#[derive(Debug)]
pub struct Entry {
    /// The name of the object.
    pub name: ShmName,
    directory: Directory,
    entry: DirEntry,
}

impl Entry {
    /// The inode number of the object.
    pub fn inode(&self) -> u64 {
        self.entry.ino()
    }

    /// Returns the metadata of the object, like [`Directory::stat`].
    ///
    /// # Errors
    ///
    /// Those of [`Directory::stat`], if the object was removed or replaced after the directory was read.
    pub fn stat(&self) -> Result<Metadata> {
        self.directory
            .check_object(&self.name, self.entry.metadata())
    }
}

/// Gives an unnamed file a name with `linkat(2)`. If the kernel does not allow linking a descriptor directly (that
/// needs privilege or Linux 6.10), this falls back to `/proc/self/fd`.
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

/// Checks that a file is an object, that is, a regular file.
///
/// # Errors
///
/// [`Error::NotAnObject`] if it is not.
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
