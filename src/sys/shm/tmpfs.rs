//! How much memory the files of a tmpfs take, without a path to it where possible: `ustat(2)`, `tmpfs(5)`.

use super::directory::Directory;
use super::hidden::{Usage, measure_tree};
use crate::sys::cached::open_cached;
use crate::sys::memory::mapping::page_size;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag, open};
use nix::libc;
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// What is free in a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// The number of free blocks, which have the size of a page in a tmpfs. The kernel stores only 32 bits.
    blocks: u32,
    /// The number of free inodes. 0 if there is no limit.
    pub inodes: u64,
}

impl Free {
    /// Asks the kernel about the file system with this device number (`ustat(2)`). This needs neither a path nor a
    /// permission, and the kernel asks no file server.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such file system; `ENOSYS` if the kernel does not have the call.
    #[cfg(target_arch = "x86_64")]
    pub fn of(device: u64) -> nix::Result<Free> {
        use nix::sys::stat::{major, minor};
        /// `struct ustat` of `ustat(2)`, which neither nix nor libc has.
        #[repr(C)]
        #[derive(Default)]
        struct Ustat {
            free_blocks: i32,
            free_inodes: libc::c_ulong,
            names: [u8; 12],
        }
        let mut answer = Ustat::default();
        // The encoding that the kernel uses for device numbers of 32 bits (`new_decode_dev`).
        let (major, minor) = (major(device), minor(device));
        let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
        // SAFETY: the pointer points to our own memory, which outlives the call and has the layout that it expects.
        let result = unsafe { libc::syscall(libc::SYS_ustat, device as u32, &raw mut answer) };
        Errno::result(result)?;
        Ok(Free {
            blocks: answer.free_blocks as u32,
            inodes: answer.free_inodes,
        })
    }

    /// Fails: new architectures do not have `ustat(2)`.
    ///
    /// # Errors
    ///
    /// Always `ENOSYS`.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn of(_device: u64) -> nix::Result<Free> {
        Err(Errno::ENOSYS)
    }

    /// Returns how many bytes are used of a tmpfs with this limit.
    pub fn used_of(&self, limit: u64) -> u64 {
        // Both numbers are modulo 2^32, and so is the difference: it is right up to 16 TiB.
        let blocks = (limit / page_size() as u64) as u32;
        u64::from(blocks.wrapping_sub(self.blocks)) * page_size() as u64
    }
}

/// Measures the tmpfs at a mount point of our own mount namespace by its path, if it still is the one with this device
/// number. Without a limit the file system does not count its pages, so this examines each file.
///
/// # Errors
///
/// Those of `openat2(2)` and `statvfs(3)`; `ESTALE` if another file system is there.
pub fn measure_at(mount_point: &[u8], device: u64) -> nix::Result<Usage> {
    let directory = open_mount_point(mount_point)?;
    if FileStatus::of(&directory)?.device != device {
        return Err(Errno::ESTALE);
    }
    let directory = Directory::other(directory, "");
    let space = directory.space().map_err(|_| Errno::EIO)?;
    match space.size {
        0 => Ok(measure_tree(&directory, device)),
        _ => Ok(Usage {
            bytes: space.used,
            ..Usage::default()
        }),
    }
}

/// Opens a directory without asking any file server on the way (`RESOLVE_CACHED`). What is in the way of a mount point
/// is always cached.
fn open_mount_point(path: &[u8]) -> nix::Result<OwnedFd> {
    let path = OsStr::from_bytes(path);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match open_cached(AT_FDCWD, path, flags, ResolveFlag::RESOLVE_NO_SYMLINKS) {
        // Before Linux 5.12, and in sandboxes.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => open(path, flags, Mode::empty()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_bytes_are_right_although_the_kernel_cuts_the_free_blocks() {
        let page = page_size() as u64;
        let free = |blocks| Free {
            blocks: blocks as u32,
            inodes: 1,
        };
        assert_eq!(free(16_u64).used_of(16 * page), 0);
        assert_eq!(free(6_u64).used_of(16 * page + 1), 10 * page);
        let blocks = 5_u64 << 32;
        assert_eq!(free(blocks - 3).used_of(blocks * page), 3 * page);
    }

    #[test]
    fn a_file_system_that_does_not_exist_is_an_error() {
        let errno = Free::of(nix::sys::stat::makedev(0, 0xf_fffe)).unwrap_err();
        assert!([Errno::EINVAL, Errno::ENOSYS].contains(&errno), "{errno}");
    }
}
