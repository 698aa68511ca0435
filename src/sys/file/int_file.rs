//! An open file as a store of integers: its size, its holes, and accesses without a mapping.

use super::device::{self, UioRegion};
use super::error::{FileError, Label};
use crate::sys::error::errno;
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::int::{Int, IntType};
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat, futimens};
use nix::sys::statfs::{
    FsType, HUGETLBFS_MAGIC, OVERLAYFS_SUPER_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC, fstatfs,
};
use nix::sys::time::TimeSpec;
use nix::unistd::fsync;
use std::cell::OnceCell;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The kind of a file. It decides how integers in it may be accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file. Accesses to a mapping are atomic, and seen by everybody who maps or reads the file.
    Regular,
    /// A block device. As for a regular file, but it has no modification time and cannot be truncated.
    Block,
    /// A character device, a regular file on sysfs (such as `resource0` of a PCI device), or an anonymous inode that was
    /// inherited (such as a BPF map). Each access has effects, so there must be exactly one, of the right width.
    Device,
}

/// An open file as a store of integers.
#[derive(Debug)]
pub struct IntFile {
    pub(super) label: Label,
    pub(super) file: Arc<File>,
    pub(super) kind: FileKind,
    /// The region to map if it is a UIO device.
    pub(super) uio: Option<UioRegion>,
    /// The status when it was opened.
    status: FileStat,
    file_system: FsType,
    /// Whether other processes have the same open file description, so that its offset must not change.
    is_inherited: bool,
    /// An open file description of our own, for an inherited file. None if the file cannot be opened again.
    reopened: OnceCell<Option<OwnedFd>>,
}

impl IntFile {
    pub(super) fn new(
        label: &Label,
        file: Arc<File>,
        is_inherited: bool,
    ) -> Result<IntFile, FileError> {
        let status = fstat(&*file).map_err(|errno| FileError::os(label, "look at it", errno))?;
        let unknown = FsType(0);
        let file_system = fstatfs(&*file).map_or(unknown, |status| status.filesystem_type());
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFREG if file_system != SYSFS_MAGIC => FileKind::Regular,
            libc::S_IFBLK => FileKind::Block,
            _ => FileKind::Device,
        };
        let is_character_device = status.st_mode & libc::S_IFMT == libc::S_IFCHR;
        Ok(IntFile {
            label: Label::clone(label),
            file,
            kind,
            uio: is_character_device
                .then(|| UioRegion::of(status.st_rdev))
                .flatten(),
            status,
            file_system,
            is_inherited,
            reopened: OnceCell::new(),
        })
    }

    /// The kind of the file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The path for messages: escaped, as the user wrote it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the current size in bytes. Returns None if it is unknown, as that of most character devices is.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`, and of `ioctl(2)` for block devices.
    pub fn size(&self) -> Result<Option<u64>, FileError> {
        let size = match (self.kind, self.uio) {
            (FileKind::Block, _) => device::block_device_size(self.file.as_fd()).map(Some),
            (FileKind::Device, Some(region)) => Ok(Some(region.size)),
            (FileKind::Device, None) if self.file_system != SYSFS_MAGIC => Ok(None),
            // A size is never negative.
            _ => fstat(&*self.file).map(|now| Some(now.st_size as u64)),
        };
        size.map_err(|errno| self.os_error("find out its size", errno))
    }

    /// Returns whether the `length` bytes from `start` are all in a hole, that is, zeros, and a load through a mapping
    /// would allocate memory for them: on tmpfs, in a memfd, and on an overlay, which may be on tmpfs. Elsewhere this is
    /// always false.
    ///
    /// This does not move the offset of an inherited descriptor. If it cannot be opened again (a memfd after a change of
    /// the user), the bytes are read with `pread(2)`, and count as a hole if they are zeros.
    pub fn is_hole(&self, start: u64, length: u64) -> bool {
        let may_allocate = [TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC].contains(&self.file_system);
        if self.kind != FileKind::Regular || !may_allocate {
            return false;
        }
        let end = start.saturating_add(length);
        if !self.is_inherited {
            return hole::end(&*self.file, start) >= end;
        }
        let reopened = self.reopened.get_or_init(|| {
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            open(path.as_str(), flags, Mode::empty()).ok()
        });
        match reopened {
            Some(own) => hole::end(own, start) >= end,
            None => self.reads_as_zeros(start, length),
        }
    }

    /// Returns whether a range contains only zeros. Unlike a load through a mapping, this allocates nothing in a hole.
    fn reads_as_zeros(&self, mut start: u64, mut length: u64) -> bool {
        let mut buffer = [0; 512];
        while length > 0 {
            let part = &mut buffer[..length.min(512) as usize];
            match self.file.read_exact_at(part, start) {
                Ok(()) if part.iter().all(|&byte| byte == 0) => {}
                _ => return false,
            }
            start += part.len() as u64;
            length -= part.len() as u64;
        }
        true
    }

    /// Returns whether memory or disk space is allocated for the whole file, so that touching a page that was never
    /// written allocates nothing.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn is_fully_allocated(&self) -> Result<bool, FileError> {
        // The unit of `st_blocks` is 512 bytes (`stat(3type)`).
        #[allow(
            clippy::unnecessary_cast,
            reason = "some of these types are narrower than 64 bits on some architectures"
        )]
        match fstat(&*self.file) {
            Ok(now) => Ok((now.st_blocks as u64).saturating_mul(512) >= now.st_size as u64),
            Err(errno) => Err(self.os_error("look at it", errno)),
        }
    }

    /// Returns whether the file is on an overlay (overlayfs). A mapping that was made before somebody opened such a file
    /// for writing may show the old file for ever, so open the file again for each look.
    pub fn is_on_overlay(&self) -> bool {
        self.file_system == OVERLAYFS_SUPER_MAGIC
    }

    /// Returns the size of a huge page if the file is on hugetlbfs.
    pub(super) fn huge_page_size(&self) -> Option<u64> {
        // A block size is never negative.
        (self.file_system == HUGETLBFS_MAGIC).then_some(self.status.st_blksize as u64)
    }

    /// Returns whether this is the file with a given status.
    pub(super) fn is_same_file(&self, status: &FileStat) -> bool {
        (self.status.st_dev, self.status.st_ino) == (status.st_dev, status.st_ino)
    }

    /// Returns whether the inode number of the open file has changed. Some FUSE servers make up a new one at each look.
    pub(super) fn has_no_stable_number(&self) -> bool {
        fstat(&*self.file).is_ok_and(|now| !self.is_same_file(&now))
    }

    /// Reads the integer at the byte `start` with `pread(2)`. This is not atomic. It is for files that [cannot be
    /// mapped](FileError::is_not_mappable).
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`] if the file ends before the end of the integer, [`FileError::WithoutMemory`] for
    /// devices; otherwise those of `pread(2)`.
    pub fn pread(&self, start: u64, int_type: IntType) -> Result<Int, FileError> {
        self.check_not_device()?;
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..int_type.width()];
        match self.file.read_exact_at(bytes, start) {
            Ok(()) => Ok(Int::from_ne_bytes(int_type, bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(self.truncated()),
            Err(error) => Err(self.os_error("read it", errno(&error))),
        }
    }

    /// Stores an integer at the byte `start` with `pwrite(2)`. This is not atomic. It is for files that [cannot be
    /// mapped](FileError::is_not_mappable). Check the size before: beyond its end, this would grow the file.
    ///
    /// # Errors
    ///
    /// [`FileError::Appends`] if the descriptor was opened with `O_APPEND`, [`FileError::WithoutMemory`] for devices;
    /// otherwise those of `pwrite(2)`.
    pub fn pwrite(&self, start: u64, int: Int) -> Result<(), FileError> {
        self.check_not_device()?;
        let flags = fcntl(&*self.file, FcntlArg::F_GETFL)
            .map_err(|errno| self.os_error("look at its descriptor", errno))?;
        // On Linux, pwrite ignores the offset then.
        if OFlag::from_bits_retain(flags).contains(OFlag::O_APPEND) {
            return Err(FileError::Appends(Label::clone(&self.label)));
        }
        let bytes = int.to_bits().to_ne_bytes();
        let width = int.int_type().width();
        let bytes = match cfg!(target_endian = "big") {
            true => &bytes[8 - width..],
            false => &bytes[..width],
        };
        self.file
            .write_all_at(bytes, start)
            .map_err(|error| self.refusal("write to it", Access::ReadWrite, errno(&error)))
    }

    fn check_not_device(&self) -> Result<(), FileError> {
        match self.kind {
            // Reading from a device may take something out of it, and writing to one may start something.
            FileKind::Device => Err(self.without_memory()),
            FileKind::Regular | FileKind::Block => Ok(()),
        }
    }

    /// Sets the modification time of a regular file to now with `futimens(3)`. Stores into mapped pages of tmpfs and
    /// memfds do not update it; most file systems on disks have already done that when the page changed. It is no error if
    /// we may not do that, or if the file system cannot, because the store has succeeded. (A FUSE server may not support
    /// it, and a full btrfs has no space for the new time.)
    ///
    /// # Errors
    ///
    /// Those of `futimens(3)`.
    pub fn set_modified(&self) -> Result<(), FileError> {
        if self.kind != FileKind::Regular {
            return Ok(());
        }
        // Set the access time too: a process that is not the owner may only set both times, and only to now.
        match futimens(&*self.file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW) {
            // The descriptor of a file of another user.
            Ok(()) | Err(Errno::EACCES | Errno::EPERM) => Ok(()),
            Err(Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(()),
            Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS) => Ok(()),
            Err(errno) => Err(self.os_error("set its modification time", errno)),
        }
    }

    /// Writes the changed pages of a mapping of the file to the disk, and waits for it (`msync(2)` with `MS_SYNC`).
    ///
    /// # Errors
    ///
    /// [`FileError::Os`] with the error that the file system reports, such as `EIO`.
    pub fn sync(&self, mapping: &Mapping) -> Result<(), FileError> {
        mapping
            .sync()
            .map_err(|errno| self.os_error("write it to the disk", errno))
    }

    /// Like [`sync`](Self::sync), after [`pwrite`](Self::pwrite): `fsync(2)`.
    ///
    /// # Errors
    ///
    /// [`FileError::Os`] with the error that the file system reports, such as `EIO`.
    pub fn sync_written(&self) -> Result<(), FileError> {
        fsync(&*self.file).map_err(|errno| self.os_error("write it to the disk", errno))
    }

    /// Checks that the file still has at least `end` bytes. Call this after accessing a mapping of the file: if it was
    /// truncated within a page, accesses to the rest of that page do not fault. Loads return zeros, and stores are lost.
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`] if the file is smaller; otherwise those of [`size`](Self::size).
    pub fn check_not_truncated(&self, end: u64) -> Result<(), FileError> {
        match self.size()? {
            Some(size) if size < end => Err(self.truncated()),
            _ => Ok(()),
        }
    }

    fn truncated(&self) -> FileError {
        FileError::Truncated(Label::clone(&self.label))
    }

    pub(super) fn without_memory(&self) -> FileError {
        let (label, what) = (Label::clone(&self.label), "the device");
        FileError::WithoutMemory { label, what }
    }

    pub(super) fn os_error(&self, action: &'static str, errno: Errno) -> FileError {
        FileError::os(&self.label, action, errno)
    }

    /// Returns the error for a call that was refused after the file had been opened.
    pub(super) fn refusal(&self, action: &'static str, access: Access, errno: Errno) -> FileError {
        FileError::refused(&self.label, self.file.as_fd(), access, action, errno)
    }
}

impl AsFd for IntFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
