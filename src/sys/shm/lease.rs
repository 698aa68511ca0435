//! Asking the kernel whether an object is in use, with write leases: `F_SETLEASE`, `fcntl(2)`.
//!
//! The kernel grants a write lease only if the file is not open anywhere else, in any process and any namespace. A
//! mapping keeps the file open. The kernel does not consider descriptors opened with `O_PATH`, bind mounts of the
//! file, or pages of the file in a pipe.
//!
//! This is reliable on tmpfs, but not on all file systems: on overlayfs, a mapping keeps a different file open, the
//! one in the underlying layer.
//!
//! While we hold a lease, everybody who opens the file waits for us, or gets `EAGAIN` with `O_NONBLOCK`. So we hold a
//! lease only for microseconds, with all signals blocked: if our process were stopped meanwhile, the others would wait
//! too.

use super::attribute;
use super::directory::Directory;
use super::name::ShmName;
use super::object::to_off_t;
use crate::sys::error::{Error, Result};
use crate::sys::process::signal::{BlockedSignals, ignore_lease_breaks};
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{Uid, ftruncate, setfsuid};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Acquires leases for the objects of a directory.
#[derive(Debug)]
pub struct Leases {
    directory: Rc<Directory>,
    /// The device number of the directory, or `None` if leases are not reliable on its file system.
    device: Option<u64>,
}

/// A lease of an object. Nobody else uses the object, and nobody can start to use it until the lease is dropped.
///
/// A lease blocks all signals of the thread that acquired it, so it cannot move to another thread:
///
/// ```compile_fail,E0277
/// fn move_to_another_thread<T: Send>() {}
/// move_to_another_thread::<shmtool::sys::shm::lease::Lease<'static>>();
/// ```
#[derive(Debug)]
pub struct Lease<'a> {
    directory: Rc<Directory>,
    name: &'a ShmName,
    status: FileStatus,
    /// Closing the file releases the lease. This field is before the signals, so that they are unblocked afterwards.
    file: File,
    _signals: BlockedSignals,
}

/// Why a lease was not granted.
#[derive(Debug)]
pub enum Refusal {
    /// A process has the object open or mapped.
    InUse,
    /// The object does not exist any more, or its name now leads to something that is not an object.
    Changed,
    /// The kernel does not tell whether the object is in use: `EACCES` if it belongs to another user, `EINVAL` if the
    /// file system does not support leases. The caller must assume that it is in use.
    Unclear(Errno),
}

impl Leases {
    /// Prepares for leases of objects in `directory`. From now on the process ignores SIGIO. The kernel sends it to
    /// the holder of a lease when another process opens the file, and its default action kills the process.
    ///
    /// # Errors
    ///
    /// Those of `sigaction(2)`, and of `stat(2)` and `statfs(2)` for the directory.
    pub fn new(directory: &Directory) -> nix::Result<Leases> {
        ignore_lease_breaks()?;
        let (base, path) = directory.root();
        let device = FileStatus::at(base, path, 0)?.device;
        Ok(Leases {
            directory: Rc::new(directory.opened()),
            device: directory.is_tmpfs()?.then_some(device),
        })
    }

    /// Acquires a lease of an object.
    ///
    /// # Errors
    ///
    /// The reason why the lease was not granted.
    pub fn acquire<'a>(&self, name: &'a ShmName) -> std::result::Result<Lease<'a>, Refusal> {
        self.acquire_as(name, OFlag::O_RDONLY)
    }

    /// Like [`acquire`](Self::acquire), but opens the object for writing, so that it can be
    /// [truncated](Lease::truncate).
    ///
    /// # Errors
    ///
    /// The reason why the lease was not granted.
    pub fn acquire_for_writing<'a>(
        &self,
        name: &'a ShmName,
    ) -> std::result::Result<Lease<'a>, Refusal> {
        self.acquire_as(name, OFlag::O_RDWR)
    }

    fn acquire_as<'a>(
        &self,
        name: &'a ShmName,
        access: OFlag,
    ) -> std::result::Result<Lease<'a>, Refusal> {
        let device = self.device.ok_or(Refusal::Unclear(Errno::EOPNOTSUPP))?;
        let signals = BlockedSignals::new().map_err(Refusal::Unclear)?;
        let file = match open(&self.directory, name, access) {
            Ok(file) => file,
            // EAGAIN: another process holds a lease. ETXTBSY: the object is being executed.
            Err(Errno::EAGAIN | Errno::ETXTBSY) => return Err(Refusal::InUse),
            // ELOOP: the name belongs to a symbolic link now. ENXIO: to a socket.
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Err(Refusal::Changed),
            Err(errno) => return Err(Refusal::Unclear(errno)),
        };
        let refused = |errno| match errno {
            Errno::EAGAIN => Refusal::InUse,
            _ if FileStatus::of(&file).is_ok_and(|status| !status.is_file()) => Refusal::Changed,
            _ => Refusal::Unclear(errno),
        };
        match set_lease(&file) {
            // A lease needs ownership of the file or CAP_LEASE. Root of a container lacks that capability on the host,
            // but may act as the owner.
            Err(Errno::EACCES) => FileStatus::of(&file)
                .map_err(|_| Errno::EACCES)
                .and_then(|status| call_as_owner(&status, || set_lease(&file)))
                .map_err(refused)?,
            result => result.map_err(refused)?,
        }
        let status = FileStatus::of(&file).map_err(Refusal::Unclear)?;
        // A file may be mounted over the object, even another object of the same file system.
        if !status.is_file() || status.is_mount || status.device != device {
            return Err(Refusal::Changed);
        }
        Ok(Lease {
            directory: Rc::clone(&self.directory),
            name,
            status,
            file,
            _signals: signals,
        })
    }
}

impl Lease<'_> {
    /// The status of the object, read when the lease was granted.
    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    /// Returns whether the name still leads to the object, and nobody is waiting to open it.
    pub fn is_still_valid(&self) -> bool {
        let is_own = |now: FileStatus| now.is_same_file(&self.status);
        self.directory.stat(self.name).is_ok_and(is_own) && self.is_unbroken()
    }

    /// Sets the size in bytes with `ftruncate(2)`. The lease must come from
    /// [`acquire_for_writing`](Leases::acquire_for_writing).
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    pub fn truncate(&self, size: u64) -> Result<()> {
        to_off_t(size)
            .and_then(|size| ftruncate(&self.file, size))
            .map_err(|errno| Error::os(self.name, "set its size", errno))
    }

    /// Removes the name with `shm_unlink(3)` if the lease [is still valid](Self::is_still_valid). Returns false if it
    /// is not, or if the name does not exist any more.
    ///
    /// There is a race: Linux cannot remove a name only if it leads to a given file. If another object takes the name
    /// between the check and the removal, the name of that object is removed.
    ///
    /// # Errors
    ///
    /// Those of `unlink(2)`.
    pub fn unlink(&self) -> Result<bool> {
        if !self.is_still_valid() {
            return Ok(false);
        }
        let unlink = || self.directory.unlink(self.name);
        let result = match unlink() {
            // A sticky directory requires the owner. Root of a user namespace does not count as the owner of an object
            // whose group is not mapped into the namespace.
            Err(Errno::EPERM) => call_as_owner(&self.status, unlink).map_err(|_| Errno::EPERM),
            result => result,
        };
        match result {
            // EISDIR: a directory has taken the name.
            Err(Errno::ENOENT | Errno::EISDIR) => Ok(false),
            result => result.map(|()| true).map_err(|errno| {
                attribute::explain_refusal(&self.directory, self.name, "remove it", errno)
            }),
        }
    }

    /// Returns the file, which still holds the lease until it is closed. Nobody can open it any more after
    /// [`unlink`](Self::unlink).
    pub fn into_file(self) -> File {
        self.file
    }

    /// Returns whether nobody is waiting to open the file. If somebody is, `F_GETLEASE` returns the type to which the
    /// kernel is downgrading the lease.
    fn is_unbroken(&self) -> bool {
        // SAFETY: F_GETLEASE accesses no memory, and `file` is open.
        let lease = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) };
        lease == libc::F_WRLCK
    }
}

/// Acquires a write lease (`F_SETLEASE`, `fcntl(2)`), which nix does not wrap.
fn set_lease(file: &File) -> nix::Result<()> {
    // SAFETY: F_SETLEASE accesses no memory, and `file` is open.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    Errno::result(result).map(drop)
}

/// Opens an object for a lease.
///
/// Any descriptor will do for a write lease, so an object that its owner may write but not read is opened for writing.
/// Root of a user namespace has no privilege over files whose group is not mapped into the namespace, so it opens
/// those as their owner. An object with mode 0000 cannot be opened even by its owner without a change of its mode.
fn open(directory: &Directory, name: &ShmName, access: OFlag) -> nix::Result<File> {
    // O_NONBLOCK: do not wait for a FIFO that has just been planted, or for a lease of another process.
    let open = |access| {
        let fd = directory.open(name, access | OFlag::O_NONBLOCK)?;
        Ok(File::from(fd))
    };
    match open(access) {
        Err(Errno::EACCES) if access == OFlag::O_RDONLY => {
            let status = directory.stat(name).map_err(|_| Errno::EACCES)?;
            call_as_owner(&status, || {
                open(OFlag::O_RDONLY).or_else(|_| open(OFlag::O_WRONLY))
            })
        }
        result => result,
    }
}

/// Makes a call with the file system rights of the owner of a file (`setfsuid(2)`). That works if we are the owner, or
/// have the privilege to act as another user.
///
/// # Errors
///
/// Those of the call; `EACCES` if we may not act as the owner.
fn call_as_owner<T>(file: &FileStatus, call: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let owner = Uid::from_raw(file.uid);
    let own = setfsuid(owner);
    // setfsuid returns the previous user ID and never reports an error. A second call shows whether the first
    // succeeded.
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
    fn overlapping_leases_restore_the_signal_mask_in_any_order() {
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
        let [first, second] = names.each_ref().map(|name| leases.acquire(name));
        let granted = first.is_ok() && second.is_ok();
        drop(first);
        drop(second);
        let after = SigSet::thread_get_mask().unwrap();
        for name in &names {
            directory.unlink(name).unwrap();
        }
        assert_eq!(after, before);
        // Leases are never granted if the directory is not a tmpfs.
        assert!(granted || leases.device.is_none());
    }
}
