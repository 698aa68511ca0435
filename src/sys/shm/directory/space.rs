//! The file system of a directory, and how much of it is in use: `statvfs(3)`, `statfs(2)`.

use super::{Directory, Entry, OWN};
use crate::sys::error::{ExhaustedInodes, Result};
use nix::sys::statfs::{FsType, Statfs, TMPFS_MAGIC, fstatfs, statfs};
use nix::sys::statvfs::{fstatvfs, statvfs};
use std::sync::Arc;

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

impl Space {
    /// The space of the kernel's own tmpfs.
    const UNLIMITED: Space = Space {
        size: 0,
        used: 0,
        free: 0,
        inodes: 0,
        inodes_used: 0,
        inodes_free: 0,
    };
}

impl Directory {
    /// Returns the size and usage of the file system (`statvfs(3)`).
    ///
    /// # Errors
    ///
    /// Those of `statvfs(3)`.
    pub fn space(&self) -> Result<Space> {
        if self.is_nameless {
            return Ok(Space::UNLIMITED);
        }
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
        Ok(self.is_nameless || self.statfs()?.filesystem_type() == TMPFS_MAGIC)
    }

    /// Returns whether the objects are stored in memory (tmpfs or ramfs). Returns false if `statfs(2)` fails.
    pub fn is_in_memory(&self) -> bool {
        // RAMFS_MAGIC of <linux/magic.h>, which nix lacks.
        const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
        let is_memory = |stat: Statfs| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type());
        self.is_nameless || self.statfs().is_ok_and(is_memory)
    }
}
