//! The work of `unlink` in one place: the candidates for removal, and how they are removed there.

use super::outcome::Outcome;
use super::summary::Summary;
use crate::cli::UnlinkArgs;
use crate::commands::listing::{Listing, look_at};
use crate::exit::{Failure, Status};
use crate::notation::size::humanized_size;
use crate::objects::filter::{Filter, Mismatch};
use crate::objects::place::Place;
use crate::sys::error::Error;
use crate::sys::shm::name::ShmName;
use crate::sys::status::FileStatus;
use std::rc::Rc;

/// An object that may be removed. There may be a million of them, so what few of them have is in a box.
#[derive(Debug)]
pub struct Candidate {
    /// Its name.
    pub name: ShmName,
    /// Its status when it was selected. None if nobody has looked at it yet.
    pub status: Option<Box<FileStatus>>,
    /// The outcome, if it is known already: it is not removed.
    pub settled: Option<Box<Outcome>>,
}

/// The objects to remove in one place.
pub struct Task<'a> {
    pub args: &'a UnlinkArgs,
    pub place: Rc<Place>,
    pub filter: Filter,
    pub candidates: Vec<Candidate>,
}

impl Task<'_> {
    /// Prepares a task without candidates.
    ///
    /// # Errors
    ///
    /// Fails if the process given with --pid cannot be inspected.
    pub fn new(args: &UnlinkArgs, place: Rc<Place>) -> anyhow::Result<Task<'_>> {
        Ok(Task {
            args,
            filter: args.filters.filter(&place.directory)?,
            place,
            candidates: Vec::new(),
        })
    }

    /// Adds the objects with these names.
    ///
    /// In our own directory each of them is looked at when its turn comes. In another place the candidates are looked at
    /// now, because the child that removes them sees other user IDs.
    pub fn add_named(&mut self, names: &[ShmName]) {
        let mut seen = match self.place.is_own() {
            true => Vec::new(),
            false => look_at(&self.place, names),
        }
        .into_iter();
        for name in names {
            let mut candidate = Candidate {
                name: name.clone(),
                status: None,
                settled: None,
            };
            match seen.next().map(|seen| self.judge(name, seen)) {
                None => {}
                Some(Ok(status)) => candidate.status = Some(Box::new(status)),
                Some(Err(outcome)) => candidate.settled = Some(Box::new(outcome)),
            }
            self.candidates.push(candidate);
        }
    }

    /// Looks at an object.
    ///
    /// # Errors
    ///
    /// The outcome, if the object is not to be removed.
    pub fn inspect(&self, name: &ShmName) -> Result<FileStatus, Outcome> {
        let status = self.place.directory.stat(name);
        self.judge(name, status.map_err(|error| Failure::from(&error.into())))
    }

    fn judge(
        &self,
        name: &ShmName,
        seen: Result<FileStatus, Failure>,
    ) -> Result<FileStatus, Outcome> {
        match seen {
            Err(failure) if failure.is(Status::NotFound) => Err(Outcome::Gone),
            Err(failure) => Err(Outcome::Failed(failure)),
            Ok(status) => match self.filter.mismatch(name, &status) {
                Some(mismatch) => Err(Outcome::Filtered(mismatch)),
                None => Ok(status),
            },
        }
    }

    /// Adds all objects that match the filters, and counts the others. In another place, they come from `listing`.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be read.
    pub fn add_all(&mut self, listing: Listing, summary: &mut Summary) -> Result<(), Error> {
        match self.place.is_own() {
            false => {
                for (name, status) in listing {
                    if self.is_wanted(&name) {
                        self.add(name, Some(status), summary);
                    }
                }
            }
            // Read the whole directory first: removing entries while reading could skip others.
            true => {
                for entry in self.place.directory.entries()? {
                    let entry = entry?;
                    if !self.is_wanted(&entry.name) {
                        continue;
                    }
                    match self.filter.needs_status().then(|| entry.stat()).transpose() {
                        Ok(status) => self.add(entry.name, status, summary),
                        // It is gone, or something else has its name.
                        Err(Error::NotFound(_) | Error::NotAnObject { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        if self.args.verbose || self.args.dry_run {
            self.candidates.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(())
    }

    fn is_wanted(&self, name: &ShmName) -> bool {
        (self.args.all || !name.is_semaphore()) && self.filter.passes_name(name)
    }

    /// Adds an object if it matches the filters, or else counts it. Its status is None if the filters do not need it.
    fn add(&mut self, name: ShmName, status: Option<FileStatus>, summary: &mut Summary) {
        let mismatch = status.and_then(|status| self.filter.status_mismatch(&status));
        match mismatch {
            Some(mismatch) => summary.count(&Outcome::Filtered(mismatch), None),
            None => self.candidates.push(Candidate {
                name,
                status: status.map(Box::new),
                settled: None,
            }),
        }
    }

    /// Returns whether the owner and group of a file exist in the container. Its root has no rights over other files.
    pub fn is_mapped(&self, status: &FileStatus) -> bool {
        self.place.container.as_ref().is_none_or(|container| {
            container.rights.are_ours()
                || container.users.inside(status.uid).is_some()
                    && container.groups.inside(status.gid).is_some()
        })
    }

    /// Returns the place for the start of a message, if there can be several.
    pub fn label_prefix(&self) -> String {
        match self.args.everywhere && !self.place.is_own() {
            true => format!("{}: ", self.place.label),
            false => String::new(),
        }
    }

    /// Adds the place to an error, if there can be several.
    pub fn prefix(&self, error: anyhow::Error) -> anyhow::Error {
        match self.args.everywhere && !self.place.is_own() {
            true => Failure::from(&error).prefix(&self.place.label).into(),
            false => error,
        }
    }

    /// Returns the reason why an object does not match the filters.
    pub fn explain(&self, mismatch: Mismatch) -> String {
        let filter = &self.filter;
        match mismatch {
            Mismatch::Name => "its name does not match".to_owned(),
            Mismatch::Owner => "owned by another user".to_owned(),
            Mismatch::Size => {
                let size = humanized_size(filter.larger_than.unwrap_or_default());
                format!("not larger than {size}")
            }
            Mismatch::Process => {
                let pids = filter
                    .processes
                    .iter()
                    .map(|process| process.pid.to_string());
                let pids = pids.collect::<Vec<_>>().join(", ");
                format!("not used by process {pids}")
            }
            Mismatch::Age => {
                let age = filter.min_age.as_ref().map(|min| min.age.to_string());
                format!("modified less than {} ago", age.unwrap_or_default())
            }
        }
    }
}
