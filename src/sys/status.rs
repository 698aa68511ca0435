//! The status of a file, without waiting for a file server: `statx(2)`, which nix does not wrap.

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{FileStat, fstatat, makedev};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The status of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// The device number of the file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The file type and permissions.
    pub mode: u32,
    /// The number of hard links.
    pub links: u64,
    /// The user ID of the owner.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
    /// The size in bytes.
    pub size: u64,
    /// The memory or disk space allocated for it, in bytes.
    pub allocated: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified: i128,
    /// When its status (mode, owner, names) last changed, in nanoseconds since 1970.
    pub changed: i128,
    /// Whether the file is a mount point. The device number does not reveal a bind mount.
    pub is_mount: bool,
    /// The ID of the mount through which the file was found, as in `/proc/PID/mountinfo`. 0 if it is unknown.
    pub mount_id: u64,
}

impl FileStatus {
    /// Returns the status of an open file.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn of(file: impl AsFd) -> nix::Result<FileStatus> {
        FileStatus::at(file.as_fd(), c"", libc::AT_EMPTY_PATH)
    }

    /// Returns the status of a file in a directory or, with `AT_EMPTY_PATH`, of the directory itself. For FUSE and NFS
    /// this returns cached values, because a request to the server might never be answered.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub(in crate::sys) fn at(
        directory: BorrowedFd,
        name: &CStr,
        flags: i32,
    ) -> nix::Result<FileStatus> {
        let mut status = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: both pointers point to our own memory, which outlives the call.
        let result = unsafe {
            libc::statx(
                directory.as_raw_fd(),
                name.as_ptr(),
                flags | libc::AT_STATX_DONT_SYNC,
                libc::STATX_BASIC_STATS | libc::STATX_MNT_ID,
                status.as_mut_ptr(),
            )
        };
        match Errno::result(result) {
            // Old sandboxes do not support statx: they return ENOSYS or EPERM. glibc then emulates the call but not
            // the flag, and returns EINVAL. fstatat may wait for a file server, but there is no alternative.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => {
                let status = fstatat(directory, name, AtFlags::from_bits_truncate(flags))?;
                return Ok(FileStatus::from_stat(&status));
            }
            result => result?,
        };
        // SAFETY: all zeros are a valid `statx`, and so is what the kernel stored.
        let status = unsafe { status.assume_init() };
        Ok(FileStatus {
            device: makedev(status.stx_dev_major.into(), status.stx_dev_minor.into()),
            inode: status.stx_ino,
            mode: status.stx_mode.into(),
            links: status.stx_nlink.into(),
            uid: status.stx_uid,
            gid: status.stx_gid,
            size: status.stx_size,
            allocated: status.stx_blocks * 512,
            modified: nanoseconds(status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec.into()),
            changed: nanoseconds(status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec.into()),
            is_mount: status.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0,
            mount_id: status.stx_mnt_id,
        })
    }

    // Some of these types are narrower than 64 bits on some architectures.
    #[allow(clippy::unnecessary_cast)]
    fn from_stat(status: &FileStat) -> FileStatus {
        FileStatus {
            device: status.st_dev as u64,
            inode: status.st_ino as u64,
            mode: status.st_mode,
            links: status.st_nlink as u64,
            uid: status.st_uid,
            gid: status.st_gid,
            size: status.st_size as u64,
            allocated: status.st_blocks as u64 * 512,
            modified: nanoseconds(status.st_mtime as i64, status.st_mtime_nsec as i64),
            changed: nanoseconds(status.st_ctime as i64, status.st_ctime_nsec as i64),
            is_mount: false,
            mount_id: 0,
        }
    }

    /// Returns whether the file has this type, such as `S_IFREG`.
    pub fn is_type(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    /// Returns whether it is a regular file, and so may be an object.
    pub fn is_file(&self) -> bool {
        self.is_type(libc::S_IFREG)
    }

    /// Returns whether both are the same file.
    pub fn is_same_file(&self, other: &FileStatus) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns the later of the modification time and the status change time, in nanoseconds since 1970.
    pub fn last_change(&self) -> i128 {
        self.modified.max(self.changed)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}
