//! `unlink`: remove names, or sweep away what nobody uses.

use super::in_use::{Judge, reason};
use crate::cli::UnlinkArgs;
use crate::commands::color::Palette;
use crate::commands::hidden::describe;
use crate::exit::{Failure, Report, Status, print_line, with_hint};
use crate::notation::duration;
use crate::notation::size::humanized_size;
use crate::objects::filter::{Filter, Mismatch};
use crate::sys::error::Error;
use crate::sys::shm::attribute;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::hidden::hidden;
use crate::sys::shm::lease::Refusal;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::Context;
use fate::Fate;
use nix::errno::Errno;
use nix::unistd::geteuid;
use rows::Rows;
use std::fs::Metadata;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use summary::Summary;

mod fate;
mod rows;
mod summary;

/// Removes each NAME; without NAMEs, every object that passes the FILTERs and that nobody uses.
///
/// # Errors
///
/// Neither NAMEs nor FILTERs, a process that cannot be inspected, `/dev/shm` that cannot be read, standard output
/// that fails; those of the objects go to the report.
pub fn run(args: &UnlinkArgs, report: &mut Report) -> anyhow::Result<()> {
    if args.names.is_empty() && args.filters.is_empty() {
        // As rm: -f with nothing to remove is no error.
        return match args.force {
            true => Ok(()),
            false => Err(Failure::usage("say what to remove: a NAME or a filter")
                .hint("--older-than 4h removes what was not modified for 4 hours and nobody uses")
                .into()),
        };
    }
    if args.filters.pid.is_some() && !args.include_in_use {
        return Err(
            Failure::usage("--pid selects objects that are in use, and those are kept")
                .hint("add --include-in-use to remove them")
                .into(),
        );
    }
    let prints = args.verbose || args.dry_run;
    let directory = Directory::own();
    let mut remover = Remover {
        args,
        rows: prints.then(Rows::new).transpose()?,
        filter: args.filters.filter(&directory)?,
        judge: Judge::new(&directory),
        directory,
    };
    if args.names.is_empty() {
        return remover.sweep(report);
    }
    if let Some(rows) = &mut remover.rows {
        rows.align(&args.names);
    }
    for name in &args.names {
        report.note(remover.remove_named(name));
    }
    remover.flush()
}

struct Remover<'a> {
    args: &'a UnlinkArgs,
    directory: Directory,
    filter: Filter,
    judge: Judge,
    /// If each removed object is printed.
    rows: Option<Rows>,
}

impl Remover<'_> {
    /// Removes a NAME, if it passes.
    fn remove_named(&mut self, name: &ShmName) -> anyhow::Result<()> {
        let fate = match self.fate_of_named(name) {
            Err(Error::NotFound(_)) => Fate::Gone,
            result => result?,
        };
        let why = match fate {
            Fate::Removed { metadata, .. } => return self.print(name, metadata),
            Fate::Gone if self.args.force => return Ok(()),
            Fate::Gone => return Err(not_found(name)),
            // As without filters: it was to be removed, whoever uses it, and could not be.
            Fate::NotOurs if self.args.include_in_use => {
                return Err(Error::NotOwner(name.clone()).into());
            }
            Fate::NotOurs => "owned by another user".to_owned(),
            Fate::Filtered(mismatch) => self.explain(mismatch),
            Fate::InUse => "in use".to_owned(),
            Fate::Changed => "changed meanwhile".to_owned(),
            Fate::Unclear(errno) => {
                format!("cannot tell whether it is in use ({})", reason(errno))
            }
        };
        let message = format!("{name}: kept: {why}");
        Err(Failure::new(Status::ConditionNotMet, message).into())
    }

    fn fate_of_named(&mut self, name: &ShmName) -> Result<Fate, Error> {
        let metadata = self.directory.stat(name)?;
        if !self.args.filters.is_empty() {
            return match self.filter.mismatch(name, &metadata) {
                Some(mismatch) => Ok(Fate::Filtered(mismatch)),
                None => self.remove(name),
            };
        }
        match self.args.dry_run {
            true if !self.could_remove(name, &metadata)? => {
                return Err(Error::NotOwner(name.clone()));
            }
            true => {}
            false => Object::unlink(&self.directory, name)?,
        }
        // It was not asked, and for a NAME there is no summary.
        let in_use = false;
        Ok(Fate::Removed { metadata, in_use })
    }

    /// Removes every object that passes.
    fn sweep(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut summary = Summary::default();
        // The directory is read before anything is removed from it, so that no entry is skipped.
        let mut names = Vec::new();
        let directory = self.directory.clone();
        for entry in directory.entries()? {
            let name = entry.context(directory.label())?.name;
            if self.filter.passes_name(&name) && (self.args.all || !name.is_semaphore()) {
                names.push(name);
            }
        }
        if let Some(rows) = &mut self.rows {
            names.sort_unstable();
            rows.align(&names);
        }
        for name in &names {
            match self.fate_of_swept(name) {
                Ok(fate) => {
                    summary.count(&fate);
                    match fate {
                        Fate::Removed { metadata, .. } => self.print(name, metadata)?,
                        Fate::Unclear(errno) => self.judge.note_unclear(errno),
                        _ => {}
                    }
                }
                Err(error) => {
                    summary.failed += 1;
                    report.note(Err(error.into()));
                }
            }
        }
        self.flush()?;
        if self.rows.is_some() || io::stderr().is_terminal() {
            let too_young = self.explain(Mismatch::Age);
            for line in summary.lines(self.args.dry_run, &too_young) {
                print_line(&line);
            }
            let hidden = hidden(&directory).context(directory.label())?;
            if let Some(hidden) = describe(hidden, self.args.all) {
                print_line(&format!("not swept: {hidden}"));
            }
            if let Some(inodes) = directory.exhausted_inodes() {
                let Palette { alarm, .. } =
                    Palette::new(self.args.color, io::stderr().is_terminal());
                print_line(&format!("{alarm}{inodes}{alarm:#}"));
            }
        }
        self.judge.tell_unclear("kept");
        Ok(())
    }

    fn fate_of_swept(&mut self, name: &ShmName) -> Result<Fate, Error> {
        if self.filter.needs_metadata() {
            match self.directory.stat(name) {
                Ok(metadata) => {
                    if let Some(mismatch) = self.filter.metadata_mismatch(&metadata) {
                        return Ok(Fate::Filtered(mismatch));
                    }
                }
                Err(Error::NotFound(_)) => return Ok(Fate::Gone),
                Err(Error::NotAnObject { .. }) => return Ok(Fate::Changed),
                Err(error) => return Err(error),
            }
        }
        self.remove(name)
    }

    /// Removes an object that passes, unless somebody uses it.
    fn remove(&mut self, name: &ShmName) -> Result<Fate, Error> {
        match self.remove_unused(name)? {
            fate @ (Fate::Removed { .. } | Fate::Gone) => Ok(fate),
            // What cannot be judged counts as in use.
            _ if self.args.include_in_use => self.remove_in_use(name),
            fate => Ok(fate),
        }
    }

    fn remove_unused(&mut self, name: &ShmName) -> Result<Fate, Error> {
        let lease = match self.judge.ask(name) {
            Ok(lease) => lease,
            Err(Refusal::InUse) => return Ok(Fate::InUse),
            Err(Refusal::Changed) => return Ok(self.changed(name)),
            Err(Refusal::Unclear(errno)) => return Ok(self.unclear(name, errno)),
        };
        let metadata = lease.metadata();
        // Under the lease, for it may have been modified since, or be another object.
        if !self.filter.passes_metadata(metadata) {
            return Ok(Fate::Changed);
        }
        let done = match self.args.dry_run {
            true if !self.could_remove(name, metadata)? => return Ok(Fate::NotOurs),
            true => lease.still_holds(),
            false => lease.unlink()?,
        };
        Ok(match done {
            true => Fate::Removed {
                metadata: metadata.clone(),
                in_use: false,
            },
            false => self.changed(name),
        })
    }

    fn remove_in_use(&mut self, name: &ShmName) -> Result<Fate, Error> {
        let remove = || {
            let metadata = self.directory.stat(name)?;
            // By now it may have been modified, or be another object.
            if !self.filter.passes_metadata(&metadata) {
                return Ok(Fate::Changed);
            }
            match self.args.dry_run {
                true if !self.could_remove(name, &metadata)? => return Ok(Fate::NotOurs),
                true => {}
                false => Object::unlink(&self.directory, name)?,
            }
            let in_use = true;
            Ok(Fate::Removed { metadata, in_use })
        };
        match remove() {
            Err(Error::NotFound(_)) => Ok(Fate::Gone),
            Err(Error::NotAnObject { .. }) => Ok(Fate::Changed),
            Err(Error::NotOwner(_)) => Ok(Fate::NotOurs),
            result => result,
        }
    }

    fn print(&mut self, name: &ShmName, metadata: Metadata) -> anyhow::Result<()> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        rows.print(name, metadata)?;
        match self.args.dry_run {
            true => Ok(()),
            // A signal may end us before the next object, and this one is gone.
            false => rows.flush(),
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.rows.as_mut().map_or(Ok(()), Rows::flush)
    }

    /// Says why an object does not pass.
    fn explain(&self, mismatch: Mismatch) -> String {
        let filter = &self.filter;
        match mismatch {
            Mismatch::Name => "its name does not match".to_owned(),
            Mismatch::Owner => "owned by another user".to_owned(),
            Mismatch::Size => {
                let size = humanized_size(filter.larger_than.unwrap_or_default());
                format!("not larger than {size}")
            }
            Mismatch::Process => {
                let pid = filter.process.as_ref().map_or(0, |process| process.pid);
                format!("process {pid} does not use it")
            }
            Mismatch::Age => {
                let age = filter.min_age.as_ref().map(|min| min.age);
                let age = duration::format(age.unwrap_or_default());
                format!("modified less than {age} ago")
            }
        }
    }

    /// Whether we are allowed to remove a name, for a dry run.
    fn could_remove(&self, name: &ShmName, metadata: &Metadata) -> Result<bool, Error> {
        attribute::check_removable(&self.directory, name)?;
        Ok(self.directory.may_unlink(metadata.uid()))
    }

    /// What became of an object that is not the one that was chosen. If somebody else removed it, it is not kept.
    fn changed(&self, name: &ShmName) -> Fate {
        match self.directory.stat(name) {
            Err(Error::NotFound(_)) => Fate::Gone,
            _ => Fate::Changed,
        }
    }

    /// Only the owner of an object may ask whether it is in use. That is no news for an object of another user.
    fn unclear(&self, name: &ShmName, errno: Errno) -> Fate {
        let is_others = |metadata: Metadata| metadata.uid() != geteuid().as_raw();
        let refused = matches!(errno, Errno::EACCES | Errno::EPERM) && !geteuid().is_root();
        match refused && self.directory.stat(name).is_ok_and(is_others) {
            true => Fate::NotOurs,
            false => Fate::Unclear(errno),
        }
    }
}

/// The error of a NAME that does not exist. Shells leave a pattern as it is if no file matches.
fn not_found(name: &ShmName) -> anyhow::Error {
    let error = anyhow::Error::new(Error::NotFound(name.clone()));
    match name.as_bytes().iter().any(|byte| b"*?[".contains(byte)) {
        true => with_hint(&error, "--glob removes all objects that match a pattern"),
        false => error,
    }
}
