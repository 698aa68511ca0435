//! The objects in a directory, without opening them: `readdir(3)`, `lstat(2)`.

use super::Directory;
use crate::sys::error::{Error, Result};
use crate::sys::shm::name::ShmName;
use crate::sys::status::FileStatus;
use nix::dir::{Dir, Entry as DirEntry, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;
use std::rc::Rc;

/// A directory entry of an object.
#[derive(Debug)]
pub struct Entry {
    /// The name of the object.
    pub name: ShmName,
    directory: Rc<Directory>,
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

impl Directory {
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
        let directory = Rc::new(self.opened());
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
                    directory: Rc::clone(&directory),
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
