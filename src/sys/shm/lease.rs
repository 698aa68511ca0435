//! Whether anybody uses an object, from the kernel: write leases, `F_SETLEASE` of `fcntl(2)`.
//!
//! A write lease is granted only while nobody else, in any process and any namespace, has the file open; a
//! mapping keeps it open. That it is open as `O_PATH`, is mounted elsewhere (`mount --bind`), or has pages in a
//! pipe, does not count.
//!
//! That holds for tmpfs. Elsewhere it may not: on overlayfs a mapping keeps another file open, below it.
//!
//! Whoever opens the file while the lease is held waits for us (or is told `EAGAIN`, if it will not wait).
//! So a lease is held for microseconds, with all signals blocked: a process that is suspended in between
//! would suspend the others.

use super::attribute;
use super::directory::Directory;
use super::name::ShmName;
use super::object::offset;
use crate::sys::error::{Error, Result};
use crate::sys::process::signal::{BlockedSignals, ignore_lease_breaks};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::stat;
use nix::unistd::{Uid, ftruncate, setfsuid};
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// What asks for leases.
#[derive(Debug)]
pub struct Leases {
    directory: Directory,
    /// The file system of the objects, if it is one where a lease tells the truth.
    device: Option<u64>,
}

/// An object that nobody else uses, and that nobody can start to use as long as this lives.
///
/// It blocks the signals of the thread that took it, and so cannot move to another thread:
///
/// ```compile_fail,E0277
/// fn move_to_another_thread<T: Send>() {}
/// move_to_another_thread::<shmtool::sys::shm::lease::Lease>();
/// ```
#[derive(Debug)]
pub struct Lease {
    directory: Directory,
    name: ShmName,
    metadata: Metadata,
    /// Before the signals: it is closed, which gives the lease back, and then they are let in.
    file: File,
    _signals: BlockedSignals,
}

/// Why there is no lease.
#[derive(Debug)]
pub enum Refusal {
    /// Somebody has it open or mapped.
    InUse,
    /// It has been removed, or replaced, or is being opened.
    Changed,
    /// The kernel does not say whether it is used: `EACCES` where it is another user's, `EINVAL` where there
    /// are no leases. It may be.
    Unclear(Errno),
}

impl Leases {
    /// Gets ready. From here on SIGIO is ignored, which tells the holder of a lease that it is wanted back,
    /// and would end the process.
    ///
    /// # Errors
    ///
    /// Those of `sigaction(2)`, and of `statfs(2)` for `/dev/shm`.
    pub fn new(directory: &Directory) -> nix::Result<Leases> {
        ignore_lease_breaks()?;
        let device = stat(directory.path())?.st_dev;
        Ok(Leases {
            directory: directory.clone(),
            device: directory.is_tmpfs()?.then_some(device),
        })
    }

    /// Asks for the lease of an object.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn ask(&self, name: &ShmName) -> std::result::Result<Lease, Refusal> {
        self.ask_for(name, OFlag::O_RDONLY)
    }

    /// The same, for an object that is to be changed under the lease.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn ask_to_change(&self, name: &ShmName) -> std::result::Result<Lease, Refusal> {
        self.ask_for(name, OFlag::O_RDWR)
    }

    fn ask_for(&self, name: &ShmName, access: OFlag) -> std::result::Result<Lease, Refusal> {
        let device = self.device.ok_or(Refusal::Unclear(Errno::EOPNOTSUPP))?;
        let signals = BlockedSignals::new().map_err(Refusal::Unclear)?;
        let file = match open(&self.directory, name, access) {
            Ok(file) => file,
            // ETXTBSY: it runs as a program.
            Err(Errno::EAGAIN | Errno::ETXTBSY) => return Err(Refusal::InUse),
            // ELOOP: a link has its name now. ENXIO: a socket.
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Err(Refusal::Changed),
            Err(errno) => return Err(Refusal::Unclear(errno)),
        };
        let refused = |errno| match errno {
            Errno::EAGAIN => Refusal::InUse,
            _ if file.metadata().is_ok_and(|metadata| !metadata.is_file()) => Refusal::Changed,
            _ => Refusal::Unclear(errno),
        };
        match set_lease(&file) {
            // Only the owner may ask, or who has CAP_LEASE; a container's root has not, but may act as the owner.
            Err(Errno::EACCES) => file
                .metadata()
                .map_err(|_| Errno::EACCES)
                .and_then(|metadata| as_owner(&metadata, || set_lease(&file)))
                .map_err(refused)?,
            result => result.map_err(refused)?,
        }
        let Ok(metadata) = file.metadata() else {
            return Err(Refusal::Unclear(Errno::last()));
        };
        // What is mounted over the object is none.
        if !metadata.is_file() || metadata.dev() != device {
            return Err(Refusal::Changed);
        }
        Ok(Lease {
            directory: self.directory.clone(),
            name: name.clone(),
            metadata,
            file,
            _signals: signals,
        })
    }
}

impl Lease {
    /// What `fstat(2)` knows of the object, since nobody else can use it.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether the object's name still leads to it, and nobody waits to open it.
    pub fn still_holds(&self) -> bool {
        let own = (self.metadata.dev(), self.metadata.ino());
        let is_own = |now: Metadata| (now.dev(), now.ino()) == own;
        self.directory.stat(&self.name).is_ok_and(is_own) && self.is_unbroken()
    }

    /// Sets the size in bytes, `ftruncate(2)`, of an object that was leased to be changed.
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    pub fn truncate(&self, size: u64) -> Result<()> {
        offset(size)
            .and_then(|size| ftruncate(&self.file, size))
            .map_err(|errno| Error::os(&self.name, "set its size", errno))
    }

    /// Removes the name, `shm_unlink(3)`, if all [still holds](Self::still_holds). Linux has no call that
    /// removes the name of a given file: what takes the name just between the two goes with it.
    ///
    /// False: it does not.
    ///
    /// # Errors
    ///
    /// Those of `unlink(2)`.
    pub fn unlink(&self) -> Result<bool> {
        if !self.still_holds() {
            return Ok(false);
        }
        let unlink = || self.directory.unlink(&self.name);
        let result = match unlink() {
            // Root of a user namespace is not the owner of an object whose group has no number there, and a sticky
            // directory asks for the owner.
            Err(Errno::EPERM) => as_owner(&self.metadata, unlink).map_err(|_| Errno::EPERM),
            result => result,
        };
        match result {
            Err(Errno::ENOENT) => Ok(false),
            result => result.map(|()| true).map_err(|errno| {
                attribute::refusal(&self.directory, &self.name, "remove it", errno)
            }),
        }
    }

    /// `F_GETLEASE` says what the lease is to become as soon as somebody waits to open the file.
    fn is_unbroken(&self) -> bool {
        // SAFETY: F_GETLEASE takes no memory, and `file` is open.
        let lease = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) };
        lease == libc::F_WRLCK
    }
}

/// nix does not wrap leases, `fcntl(2)`.
fn set_lease(file: &File) -> nix::Result<()> {
    // SAFETY: F_SETLEASE takes no memory, and `file` is open.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    Errno::result(result).map(drop)
}

/// Opens an object that is to be leased.
///
/// A write lease needs some descriptor, and either kind will do. So the owner of an object that may be written but not
/// read opens it for writing. Root of a user namespace, whose privilege ends at files whose group has no number there,
/// opens it as the owner. The owner of an object of mode 0000 has no way to open it that does not change it first.
fn open(directory: &Directory, name: &ShmName, access: OFlag) -> nix::Result<File> {
    // O_NONBLOCK: neither a FIFO that is planted right now nor another's lease makes us wait.
    let open = |access| {
        let fd = directory.open(name, access | OFlag::O_NONBLOCK)?;
        Ok(File::from(fd))
    };
    match open(access) {
        Err(Errno::EACCES) if access == OFlag::O_RDONLY => {
            let metadata = directory.stat(name).map_err(|_| Errno::EACCES)?;
            as_owner(&metadata, || {
                open(OFlag::O_RDONLY).or_else(|_| open(OFlag::O_WRONLY))
            })
        }
        result => result,
    }
}

/// Makes a call with the rights of a file's owner, `setfsuid(2)`: ours, or those of another user if we have the
/// privilege to take them.
///
/// # Errors
///
/// Those of the call; `EACCES`: we have no such privilege.
fn as_owner<T>(file: &Metadata, call: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let owner = Uid::from_raw(file.uid());
    let own = setfsuid(owner);
    // It returns the user id that was set before, and does not say whether it succeeded.
    let result = match setfsuid(owner) == owner {
        true => call(),
        false => Err(Errno::EACCES),
    };
    setfsuid(own);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::shm::draft::Draft;
    use nix::sys::signal::SigSet;
    use std::ffi::OsStr;

    #[test]
    fn two_leases_restore_the_signal_mask_whatever_the_order() {
        let names = ["a", "b"].map(|letter| {
            let name = format!("/shmtool-test-{}-lease-{letter}", std::process::id());
            ShmName::new(OsStr::new(&name)).unwrap()
        });
        let directory = Directory::own();
        for name in &names {
            Draft::new(&directory, name)
                .unwrap()
                .publish(0o600)
                .unwrap();
        }
        let before = SigSet::thread_get_mask().unwrap();
        let leases = Leases::new(&directory).unwrap();
        let [first, second] = names.each_ref().map(|name| leases.ask(name));
        let granted = first.is_ok() && second.is_ok();
        drop(first);
        drop(second);
        let after = SigSet::thread_get_mask().unwrap();
        for name in &names {
            directory.unlink(name).unwrap();
        }
        assert_eq!(after, before);
        // Only a tmpfs has leases to tell of.
        assert!(granted || leases.device.is_none());
    }
}
