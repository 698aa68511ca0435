//! Removes the objects of one place, with the rights that this process has.

use super::outcome::Outcome;
use super::task::{Candidate, Task};
use crate::commands::in_use::UseChecker;
use crate::exit::Failure;
use crate::sys::error::Error;
use crate::sys::shm::attribute;
use crate::sys::shm::closer::Closer;
use crate::sys::shm::lease::Refusal;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::collections::HashSet;

/// From this number of objects on, a second thread pays off.
const MANY: usize = 1000;

/// Removes objects.
pub struct Remover<'a> {
    task: &'a Task<'a>,
    checker: UseChecker,
    /// Closes the files of the objects, if there are many.
    closer: Option<Closer>,
    /// The inode numbers of objects that lost one of several names here. That changed the time of their status.
    still_linked: HashSet<u64>,
}

impl Remover<'_> {
    pub fn new<'a>(task: &'a Task<'a>) -> Remover<'a> {
        Remover {
            task,
            checker: UseChecker::new(&task.place.directory),
            closer: None,
            still_linked: HashSet::new(),
        }
    }

    /// Makes a second thread do a part of the work, if there is enough of it.
    pub fn share_work(&mut self) {
        if self.task.candidates.len() >= MANY && !self.task.args.dry_run {
            self.closer = Closer::start();
        }
    }

    /// Removes an object, unless filters are given and it is in use.
    pub fn remove(&mut self, candidate: &Candidate) -> Outcome {
        let status = match candidate.status.as_deref().copied() {
            None if !self.task.args.names.is_empty() => match self.task.inspect(&candidate.name) {
                Ok(status) => Some(status),
                Err(outcome) => return outcome,
            },
            status => status,
        };
        let name = &candidate.name;
        let result = match self.task.args.filters.is_empty() {
            true => self.remove_regardless(name, status.as_ref(), false),
            false => self.remove_selected(name, status.as_ref()),
        };
        result.unwrap_or_else(|error| match error {
            Error::NotFound(_) => Outcome::Gone,
            // With filters, this is not an error.
            Error::NotOwner(_) if self.keeps_what_is_not_ours() => Outcome::NotOurs,
            // A container could make every sweep fail otherwise.
            Error::Os {
                errno: Errno::EACCES | Errno::EPERM,
                ..
            } if self.keeps_what_is_not_ours() && !self.task.place.is_own() => Outcome::NotOurs,
            error => Outcome::Failed(Failure::from(&error.into())),
        })
    }

    fn keeps_what_is_not_ours(&self) -> bool {
        !self.task.args.filters.is_empty()
    }

    /// Removes an object that matches the filters. If it is in use, it is removed only with --include-in-use.
    fn remove_selected(
        &mut self,
        name: &ShmName,
        status: Option<&FileStatus>,
    ) -> Result<Outcome, Error> {
        match self.remove_unused(name, status)? {
            outcome @ (Outcome::Removed { .. } | Outcome::Gone) => Ok(outcome),
            // Without a clear answer, the object counts as in use.
            _ if self.task.args.include_in_use => {
                match self.remove_regardless(name, status, true) {
                    Err(Error::NotAnObject { .. }) => Ok(Outcome::Changed),
                    result => result,
                }
            }
            outcome => Ok(outcome),
        }
    }

    fn remove_unused(
        &mut self,
        name: &ShmName,
        selected: Option<&FileStatus>,
    ) -> Result<Outcome, Error> {
        let lease = match self.checker.lease(name) {
            Ok(lease) => lease,
            Err(Refusal::InUse) => return Ok(Outcome::InUse),
            Err(Refusal::Changed) => return Ok(self.gone_or_changed(name)),
            Err(Refusal::Unclear(errno)) => {
                return Ok(self.not_ours_or_unclear(name, selected, errno));
            }
        };
        let status = *lease.status();
        // Check again under the lease: the object may have been modified or replaced in the meantime.
        if !self.is_unchanged(selected, &status) {
            return Ok(Outcome::Changed);
        }
        let removed = match self.task.args.dry_run {
            true if !self.may_remove(name, selected.unwrap_or(&status))? => {
                return Ok(Outcome::NotOurs);
            }
            true => lease.is_still_valid(),
            false => lease.unlink()?,
        };
        Ok(match removed {
            true => {
                // The lease must not be in the way when the next name of the same object is opened.
                if let Some(closer) = self.closer.as_mut().filter(|_| status.links == 1) {
                    closer.close(lease.into_file());
                }
                self.note_links(&status);
                Outcome::Removed {
                    status: Some(status),
                    in_use: false,
                }
            }
            false => self.gone_or_changed(name),
        })
    }

    /// Removes an object whether or not it is in use.
    fn remove_regardless(
        &mut self,
        name: &ShmName,
        selected: Option<&FileStatus>,
        in_use: bool,
    ) -> Result<Outcome, Error> {
        let directory = &self.task.place.directory;
        let status = directory.stat(name)?;
        // Check again: with filters, the object may have been modified or replaced in the meantime.
        if in_use && !self.is_unchanged(selected, &status) {
            return Ok(Outcome::Changed);
        }
        match self.task.args.dry_run {
            true if !self.may_remove(name, selected.unwrap_or(&status))? => {
                return Err(Error::NotOwner(name.clone()));
            }
            true => {}
            false => Object::unlink(directory, name)?,
        }
        self.note_links(&status);
        Ok(Outcome::Removed {
            status: Some(status),
            in_use,
        })
    }

    fn note_links(&mut self, removed: &FileStatus) {
        if removed.links > 1 {
            self.still_linked.insert(removed.inode);
        }
    }

    /// Returns whether an object is still the one that was selected, and was not modified since. If it was selected by its
    /// name only, nothing else counts.
    fn is_unchanged(&self, selected: Option<&FileStatus>, now: &FileStatus) -> bool {
        let has_same_time = |selected: &FileStatus| match self.still_linked.contains(&now.inode) {
            true => selected.modified == now.modified,
            false => selected.last_change() == now.last_change(),
        };
        selected.is_none_or(|selected| selected.is_same_file(now) && has_same_time(selected))
    }

    /// Returns whether we have permission to remove an object, for a dry run.
    fn may_remove(&self, name: &ShmName, status: &FileStatus) -> Result<bool, Error> {
        let directory = &self.task.place.directory;
        attribute::check_removable(directory, name)?;
        let is_sticky = directory.status()?.mode & 0o1000 != 0;
        if is_sticky && !self.task.is_mapped(status) {
            return Ok(false);
        }
        directory.may_unlink(status.uid)
    }

    /// Returns the outcome for an object that was removed, replaced or opened after it was selected.
    fn gone_or_changed(&self, name: &ShmName) -> Outcome {
        match self.task.place.directory.stat(name) {
            Err(Error::NotFound(_)) => Outcome::Gone,
            _ => Outcome::Changed,
        }
    }

    /// Returns the outcome for an object about which the kernel gave no clear answer. It is no surprise if another user
    /// owns the object, because the kernel answers only its owner.
    fn not_ours_or_unclear(
        &self,
        name: &ShmName,
        selected: Option<&FileStatus>,
        errno: Errno,
    ) -> Outcome {
        let is_foreign = || match selected {
            Some(status) if !self.task.place.is_own() => !self.task.is_mapped(status),
            _ => {
                let status = self.task.place.directory.stat(name);
                let us = geteuid();
                !us.is_root() && status.is_ok_and(|status| status.uid != us.as_raw())
            }
        };
        match matches!(errno, Errno::EACCES | Errno::EPERM) && is_foreign() {
            true => Outcome::NotOurs,
            false => Outcome::Unclear(errno as i32),
        }
    }
}
