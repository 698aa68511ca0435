//! Making an object that nobody sees before it is whole: `O_TMPFILE` of `open(2)`, `linkat(2)`, `rename(2)`.
//!
//! That is why it is not `shm_open(O_CREAT | O_EXCL)`, which names an object that is empty still.

use super::attribute;
use super::directory::Directory;
use super::lease::{Leases, Refusal};
use super::name::ShmName;
use super::object::Object;
use crate::sys::error::{Error, Result};
use crate::sys::process::signal::BlockedSignals;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for somebody else who replaces the same object: that is two calls.
///
/// It is short, because what looks like that may be planted: a hard link to an object of ours that others may
/// write to, for instance.
const PATIENCE: Duration = Duration::from_millis(100);

/// A new object, without its name at first. If it never gets it, nothing is left of it.
#[derive(Debug)]
pub struct Draft {
    object: Object,
    /// The name it has meanwhile, on a file system that has no unnamed files.
    other_name: Option<ShmName>,
    /// The name that a replacement uses if somebody has planted something at the usual one. It is chosen early, so that
    /// whoever tidies up after us knows it too.
    spare_name: ShmName,
}

impl Draft {
    /// An empty object that only its owner, and so far only this process, may read and write.
    ///
    /// # Errors
    ///
    /// `/dev/shm` has no room for another file, or does not let us make one.
    pub fn new(directory: &Directory, name: &ShmName) -> Result<Draft> {
        match directory.create_unnamed() {
            Ok(fd) if directory.can_link_unnamed(fd.as_fd()) => Ok(Draft {
                object: Object::new(directory, name, fd),
                other_name: None,
                spare_name: random_name(),
            }),
            // It could never get a name. Or it is a file system without O_TMPFILE, for which open(2) names both errors.
            Ok(_) | Err(Errno::EOPNOTSUPP | Errno::EISDIR) => {
                Self::with_another_name(directory, name)
            }
            Err(errno) => Err(cannot_create(directory, name, "create it", errno)),
        }
    }

    /// An object with a name that nobody looks for, until it is whole.
    fn with_another_name(directory: &Directory, name: &ShmName) -> Result<Draft> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        loop {
            let other = random_name();
            match directory.open(&other, flags) {
                Ok(fd) => {
                    return Ok(Draft {
                        object: Object::new(directory, name, fd),
                        other_name: Some(other),
                        spare_name: random_name(),
                    });
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(cannot_create(directory, name, "create it", errno)),
            }
        }
    }

    /// What is to be made whole.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Sets the permissions and gives the object its name.
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn publish(&mut self, mode: u32) -> Result<()> {
        let name = self.object.name();
        // Last, so that the mode is never wider than the owner's before the object is whole.
        self.object.set_mode(mode)?;
        let directory = self.object.directory();
        self.link(name).map_err(|errno| match errno {
            Errno::EEXIST => Error::Exists(name.clone()),
            _ => cannot_create(directory, name, "name it", errno),
        })?;
        match self.other_name.take().map(|other| directory.unlink(&other)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(errno)) => Err(Error::os(name, "remove its temporary name", errno)),
        }
    }

    /// Sets the permissions and gives the object its name in one step with taking that from another, if
    /// there is one: whoever opens the name gets the old object or the new one.
    ///
    /// Linux cannot link over a name. For the time between two calls the object has a name that starts with
    /// `.shmtool-`; if a kill leaves it there, the next replacement of the same object clears it away.
    ///
    /// # Errors
    ///
    /// The name is that of something else, or of an object that only another may remove.
    pub fn replace(&mut self, mode: u32) -> Result<()> {
        let name = self.object.name().clone();
        let directory = self.object.directory().clone();
        match directory.stat(&name) {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        // Looked at before the object has its other name: where no name may be removed, that would stay.
        attribute::check_removable(&directory, &name)?;
        self.object.set_mode(mode)?;
        let deadline = Instant::now() + PATIENCE;
        let mut beside = name_beside(&name);
        while !self.replace_by(&beside)? {
            if !clear_away(&directory, &beside, deadline) {
                beside = match beside == self.spare_name {
                    true => random_name(),
                    false => self.spare_name.clone(),
                };
            }
        }
        Ok(())
    }

    /// Gives the object another name and then, in one step, the name that it is to have. False: the other name is
    /// taken.
    fn replace_by(&mut self, beside: &ShmName) -> Result<bool> {
        let name = self.object.name().clone();
        let directory = self.object.directory().clone();
        // Only SIGKILL can end us between the two calls.
        let _signals =
            BlockedSignals::new().map_err(|errno| Error::os(&name, "replace it", errno))?;
        let from = match self.other_name.take() {
            Some(other) => other,
            None => match self.link(beside) {
                Ok(()) => beside.clone(),
                Err(Errno::EEXIST) => return Ok(false),
                Err(errno) => return Err(cannot_create(&directory, &name, "name it", errno)),
            },
        };
        directory.rename(&from, &name).map_err(|errno| {
            // It failed already; there is nothing better to do about a second failure.
            let _ = directory.unlink(&from);
            match attribute::explain_refusal(&directory, &name, "replace it", errno) {
                // The directory is sticky, `rename(2)`.
                Error::Os {
                    errno: Errno::EPERM | Errno::EACCES,
                    ..
                } => Error::NotOwner(name),
                error => error,
            }
        })?;
        Ok(true)
    }

    /// Gives the object another name.
    fn link(&self, name: &ShmName) -> nix::Result<()> {
        let directory = self.object.directory();
        match &self.other_name {
            Some(other) => directory.link(other, name),
            None => directory.link_unnamed(self.object.as_fd(), name),
        }
    }

    /// Removes the object's name, and every other name that a kill may have left it with. A name that leads to another
    /// object is not touched.
    ///
    /// # Errors
    ///
    /// The first of those of [`Object::unlink`]; the other names are removed all the same.
    pub fn unlink(&self) -> Result<()> {
        let directory = self.object.directory();
        let beside = name_beside(self.object.name());
        let others = [&beside, &self.spare_name].into_iter();
        let mut result = self.object.unlink_own_name();
        for name in others.chain(&self.other_name) {
            let unlinked = match self.object.is_linked_as(name) {
                Ok(true) => Object::unlink(directory, name),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            result = result.and(unlinked);
        }
        result
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(other) = self.other_name.take() {
            // It failed already; there is nothing better to do about a second failure.
            let _ = self.object.directory().unlink(&other);
        }
    }
}

/// The error of a call that was to create a file or to name it. On tmpfs a second name needs an inode too.
fn cannot_create(
    directory: &Directory,
    name: &ShmName,
    action: &'static str,
    errno: Errno,
) -> Error {
    let no_inodes = |inodes| Error::NoInodes {
        name: name.clone(),
        inodes,
    };
    match errno {
        Errno::ENOSPC => directory.exhausted_inodes().map(no_inodes),
        // The directory may not be written to, which is not its usual mode, but may be meant.
        Errno::EACCES => None,
        _ => directory.diagnose(errno),
    }
    .unwrap_or_else(|| attribute::explain_refusal(directory, name, action, errno))
}

/// The same for all who replace this object, so that what one leaves another finds.
fn name_beside(name: &ShmName) -> ShmName {
    let mut hasher = DefaultHasher::new();
    name.as_bytes().hash(&mut hasher);
    hidden_name(hasher.finish())
}

/// Removes what a replacement of ours that was killed has left, and waits for one that is still running: that is
/// two calls. False: there is something else, or it does not go.
fn clear_away(directory: &Directory, beside: &ShmName, deadline: Instant) -> bool {
    // Anybody may plant something there to make us wait. What is not a regular file of ours, with this one name, no
    // replacement of ours has left. It is not opened either: whoever is at the other end of a FIFO would notice.
    let is_ours = |status: &FileStatus| status.uid == geteuid().as_raw() && status.links == 1;
    match directory.stat(beside) {
        Err(Error::NotFound(_)) => return true,
        Ok(status) if is_ours(&status) => {}
        _ => return false,
    }
    match Leases::new(directory).map(|leases| leases.acquire(beside)) {
        Ok(Ok(left_over)) => left_over.unlink().is_ok(),
        // Others replace the object too, and are done soon.
        Ok(Err(Refusal::InUse | Refusal::Changed)) if Instant::now() < deadline => {
            sleep(Duration::from_millis(1));
            true
        }
        _ => false,
    }
}

fn random_name() -> ShmName {
    hidden_name(RandomState::new().build_hasher().finish())
}

fn hidden_name(number: u64) -> ShmName {
    let name = format!("/.shmtool-{number:016x}");
    ShmName::new(OsStr::new(&name)).expect("it is short, and without a second slash")
}
