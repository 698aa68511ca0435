//! A directory of shared memory objects, and its file system (`shm_overview(7)`, `tmpfs(5)`).
//!
//! All system calls that look up names are in this module, so that the rest of the layer works with any such
//! directory.

use super::name::ShmName;
use crate::sys::error::{Error, ExhaustedInodes, Result};
use crate::sys::status::FileStatus;
use nix::dir::{Dir, Entry as DirEntry, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::libc;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, Statfs, TMPFS_MAGIC, fstatfs, statfs};
use nix::sys::statvfs::{fstatvfs, statvfs};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, geteuid, linkat, unlinkat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The path of our own directory.
const OWN: &str = "/dev/shm";

/// A directory of objects: our own, or that of another mount namespace.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The descriptor of a directory that is not our own. Its contents may be hostile.
    other: Option<Arc<OwnedFd>>,
    label: Arc<str>,
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
        Directory {
            other: None,
            label: OWN.into(),
        }
    }

    /// Returns the directory with this descriptor, which may have been opened with `O_PATH`. The label is used in
    /// messages.
    pub fn other(directory: OwnedFd, label: &str) -> Directory {
        Directory {
            other: Some(Arc::new(directory)),
            label: label.into(),
        }
    }

    /// Returns whether this is `/dev/shm` as this process sees it.
    pub fn is_own(&self) -> bool {
        self.other.is_none()
    }

    /// The descriptor, if it is not our own directory.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.other.as_ref().map(|fd| fd.as_fd())
    }

    /// The name of the directory for messages.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns a path for calls that do not take a descriptor.
    pub fn path(&self) -> PathBuf {
        match &self.other {
            None => OWN.into(),
            Some(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into(),
        }
    }

    /// Returns the directory itself, for calls that take a descriptor and a path.
    pub(in crate::sys) fn root(&self) -> (BorrowedFd<'_>, &'static CStr) {
        match &self.other {
            None => (AT_FDCWD, c"/dev/shm"),
            Some(fd) => (fd.as_fd(), c"."),
        }
    }

    /// Returns an object, for calls that take a descriptor and a path.
    pub(in crate::sys) fn at(&self, name: &ShmName) -> (BorrowedFd<'_>, CString) {
        let (base, path) = match &self.other {
            None => (AT_FDCWD, [OWN.as_bytes(), name.as_bytes()].concat()),
            Some(fd) => (fd.as_fd(), name.file_name().as_bytes().to_owned()),
        };
        (base, CString::new(path).expect("a ShmName contains no NUL"))
    }

    /// Returns the status of the directory itself.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory is unusable.
    pub fn status(&self) -> Result<FileStatus> {
        let (base, path) = self.root();
        FileStatus::at(base, path, 0).map_err(|errno| self.directory_error(errno))
    }

    /// Returns the device number of the file system. `/proc` uses the same number.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory is unusable.
    pub fn device(&self) -> Result<u64> {
        Ok(self.status()?.device)
    }

    /// Returns the size and usage of the file system (`statvfs(3)`).
    ///
    /// # Errors
    ///
    /// Those of `statvfs(3)`.
    pub fn space(&self) -> Result<Space> {
        let stat = match &self.other {
            None => statvfs(OWN),
            Some(fd) => fstatvfs(fd),
        };
        let stat = stat.map_err(|errno| self.directory_error(errno))?;
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
            |entry: &Result<Entry>| entry.as_ref().is_ok_and(|entry| entry.name.is_semaphore());
        // If the directory cannot be read, the number of semaphores is unknown, but the inodes are exhausted anyway.
        let semaphores = self
            .entries()
            .map_or(0, |entries| entries.filter(is_semaphore).count());
        Some(ExhaustedInodes {
            directory: Arc::clone(&self.label),
            total: space.inodes,
            semaphores: semaphores as u64,
        })
    }

    fn statfs(&self) -> nix::Result<Statfs> {
        match &self.other {
            None => statfs(OWN),
            Some(fd) => fstatfs(fd),
        }
    }

    /// Returns whether the file system is a tmpfs (`statfs(2)`).
    ///
    /// # Errors
    ///
    /// Those of `statfs(2)`.
    pub fn is_tmpfs(&self) -> nix::Result<bool> {
        Ok(self.statfs()?.filesystem_type() == TMPFS_MAGIC)
    }

    /// Returns whether the objects are stored in memory (tmpfs or ramfs). Returns false if `statfs(2)` fails.
    pub fn is_in_memory(&self) -> bool {
        // RAMFS_MAGIC of <linux/magic.h>, which nix lacks.
        const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
        self.statfs()
            .is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type()))
    }

    /// Opens the directory to read its entries.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] or [`Error::DirectoryCall`] if the directory cannot be read.
    pub(in crate::sys) fn open_to_read(&self) -> Result<Dir> {
        let (base, path) = self.root();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        Dir::openat(base, path, flags, Mode::empty()).map_err(|errno| self.directory_error(errno))
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
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry>> + use<>> {
        let directory = self.clone();
        Ok(self.open_to_read()?.into_iter().filter_map(move |entry| {
            let object = |entry: DirEntry| {
                let name = ShmName::from_file_name(entry.file_name())?;
                let is_file = match entry.file_type() {
                    Some(kind) => kind == Type::File,
                    // The file system does not store types in its directories.
                    None => directory.stat(&name).is_ok(),
                };
                is_file.then(|| Entry {
                    name,
                    directory: directory.clone(),
                    inode: entry.ino(),
                })
            };
            match entry {
                Ok(entry) => object(entry).map(Ok),
                Err(errno) => Some(Err(directory.directory_error(errno))),
            }
        }))
    }

    /// Returns the status of an object (`lstat(2)`). This does not open the object, so it needs no permission for it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such object, [`Error::NotAnObject`] if the name belongs to something else,
    /// [`Error::Directory`] if the directory is unusable.
    pub fn stat(&self, name: &ShmName) -> Result<FileStatus> {
        let (base, path) = self.at(name);
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
        let status = FileStatus::at(base, &path, flags).map_err(|errno| {
            self.diagnose(errno).unwrap_or_else(|| match errno {
                Errno::ENOENT => Error::NotFound(name.clone()),
                _ => Error::os(name, "look at it", errno),
            })
        })?;
        check_type(name, &status)?;
        Ok(status)
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
        let is_ours = |directory: FileStatus| {
            let is_sticky = directory.mode & 0o1000 != 0;
            !is_sticky || us.is_root() || [owner, directory.uid].contains(&us.as_raw())
        };
        let (base, path) = self.root();
        match faccessat(base, path, rights, AtFlags::AT_EACCESS) {
            Ok(()) => Ok(self.status().is_ok_and(is_ours)),
            Err(Errno::EACCES) => Ok(false),
            // It is read-only, for instance.
            Err(errno) => Err(self.directory_error(errno)),
        }
    }

    /// Opens an object: our own with `shm_open(3)`. With `O_CREAT`, a new object gets mode 0600.
    ///
    /// In another directory everything may be hostile. There this opens only a regular file that is not a mount point,
    /// and nothing else is touched: opening a device has side effects.
    pub(in crate::sys) fn open(&self, name: &ShmName, flags: OFlag) -> nix::Result<OwnedFd> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let Some(directory) = &self.other else {
            return shm_open(name.as_c_str(), flags, mode);
        };
        let flags = flags | OFlag::O_CLOEXEC;
        if flags.contains(OFlag::O_CREAT) {
            return openat(directory, name.file_name(), flags | OFlag::O_NOFOLLOW, mode);
        }
        let file = self.open_path(name)?;
        let status = FileStatus::of(&file)?;
        if !status.is_file() || status.is_mount {
            return Err(Errno::ELOOP);
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        open(path.as_str(), flags, Mode::empty())
    }

    /// Opens a name with `O_PATH`, which has no side effects, and does not leave the mount of the directory
    /// (`openat2(2)`).
    fn open_path(&self, name: &ShmName) -> nix::Result<OwnedFd> {
        let (base, path) = self.at(name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_BENEATH;
        match openat2(base, &*path, OpenHow::new().flags(flags).resolve(resolve)) {
            // Before Linux 5.6, and in sandboxes. A name is one component, so O_NOFOLLOW is enough, and the caller
            // notices a mount.
            Err(Errno::ENOSYS | Errno::EPERM) => openat(base, &*path, flags, Mode::empty()),
            // A mount point.
            Err(Errno::EXDEV) => Err(Errno::ELOOP),
            result => result,
        }
    }

    /// Creates an unnamed object with mode 0600 (`O_TMPFILE`, `open(2)`).
    pub(in crate::sys) fn create_unnamed(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let (base, path) = self.root();
        openat(base, path, flags, Mode::S_IRUSR | Mode::S_IWUSR)
    }

    /// Gives an unnamed object its name.
    pub(in crate::sys) fn link_unnamed(&self, file: BorrowedFd, name: &ShmName) -> nix::Result<()> {
        let (base, path) = self.at(name);
        link_descriptor(file, base, &path)
    }

    /// Returns whether an unnamed object can get a name. It needs `/proc`, Linux 6.10, or privilege.
    pub(in crate::sys) fn can_link_unnamed(&self, file: BorrowedFd) -> bool {
        // Try a name that always exists, so that the call cannot succeed. It fails with ENOENT only if the kernel does
        // not let us refer to the file.
        link_descriptor(file, AT_FDCWD, c"/") != Err(Errno::ENOENT)
    }

    /// Gives an object a second name (`link(2)`).
    pub(in crate::sys) fn link(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let ((base, old), (_, new)) = (self.at(old), self.at(new));
        linkat(base, &*old, base, &*new, AtFlags::empty())
    }

    /// Renames an object (`rename(2)`). An existing object with the new name loses its name.
    pub(in crate::sys) fn rename(&self, old: &ShmName, new: &ShmName) -> nix::Result<()> {
        let ((base, old), (_, new)) = (self.at(old), self.at(new));
        renameat(base, &*old, base, &*new)
    }

    /// Removes a name: our own with `shm_unlink(3)`. In glibc this returns `EACCES` where `unlink(2)` returns `EPERM`.
    pub(in crate::sys) fn unlink(&self, name: &ShmName) -> nix::Result<()> {
        match &self.other {
            None => shm_unlink(name.as_c_str()),
            Some(directory) => unlinkat(directory, name.file_name(), UnlinkatFlags::NoRemoveDir),
        }
    }

    /// Returns an error about the directory if the directory itself is the reason that a call on an entry failed with
    /// `errno`; otherwise `None`.
    pub(in crate::sys) fn diagnose(&self, errno: Errno) -> Option<Error> {
        let (problem, hint) = match errno {
            // ENOENT usually means that only the object is missing.
            Errno::ENOENT if self.is_missing() => (
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
        Some(Error::Directory {
            directory: Arc::clone(&self.label),
            problem,
            hint: self.is_own().then_some(hint),
        })
    }

    /// Returns whether our own directory does not exist.
    fn is_missing(&self) -> bool {
        let (base, path) = self.root();
        self.is_own() && FileStatus::at(base, path, 0) == Err(Errno::ENOENT)
    }

    /// Returns the error for a failed call on the directory itself.
    pub(in crate::sys) fn directory_error(&self, errno: Errno) -> Error {
        self.diagnose(errno)
            .unwrap_or_else(|| Error::DirectoryCall {
                directory: Arc::clone(&self.label),
                errno,
            })
    }
}

/// A directory entry of an object.
#[derive(Debug)]
pub struct Entry {
    /// The name of the object.
    pub name: ShmName,
    directory: Directory,
    inode: u64,
}

impl Entry {
    /// The inode number of the object.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Returns the status of the object, like [`Directory::stat`].
    ///
    /// # Errors
    ///
    /// Those of [`Directory::stat`], if the object was removed or replaced after the directory was read.
    pub fn stat(&self) -> Result<FileStatus> {
        self.directory.stat(&self.name)
    }
}

/// Gives an unnamed file a name with `linkat(2)`. If the kernel does not allow linking a descriptor directly (that
/// needs privilege or Linux 6.10), this falls back to `/proc/self/fd`.
fn link_descriptor(file: BorrowedFd, base: BorrowedFd, path: &CStr) -> nix::Result<()> {
    match linkat(file, "", base, path, AtFlags::AT_EMPTY_PATH) {
        Err(Errno::ENOENT) => {
            let by_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(
                AT_FDCWD,
                by_proc.as_str(),
                base,
                path,
                AtFlags::AT_SYMLINK_FOLLOW,
            )
        }
        result => result,
    }
}

/// Checks that a file is an object, that is, a regular file that is not a mount point.
///
/// # Errors
///
/// [`Error::NotAnObject`] if it is not.
pub(in crate::sys) fn check_type(name: &ShmName, status: &FileStatus) -> Result<()> {
    let what = match status.mode & libc::S_IFMT {
        _ if status.is_mount => "a mount point",
        libc::S_IFREG => return Ok(()),
        libc::S_IFDIR => "a directory",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFIFO => "a FIFO",
        libc::S_IFSOCK => "a socket",
        _ => "a device",
    };
    Err(Error::NotAnObject {
        name: name.clone(),
        what,
    })
}
