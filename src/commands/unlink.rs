//! `unlink`: removes objects by name, or sweeps objects that match filters and are not in use.

use super::in_use::{UseChecker, reason};
use super::{is_output_failure, not_found};
use crate::cli::UnlinkArgs;
use crate::commands::color::Palette;
use crate::commands::hidden::describe;
use crate::exit::{Failure, Report, Status, print_line};
use crate::notation::size::humanized_size;
use crate::objects::filter::{Filter, Mismatch};
use crate::sys::error::Error;
use crate::sys::shm::attribute;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::hidden::measure_hidden;
use crate::sys::shm::lease::Refusal;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::unistd::geteuid;
use outcome::Outcome;
use rows::Rows;
use std::io::{self, IsTerminal};
use summary::Summary;

mod outcome;
mod rows;
mod summary;

/// Removes each NAME. Without NAMEs, removes every object that matches the FILTERs and is not in use.
///
/// # Errors
///
/// Fails if there are neither NAMEs nor FILTERs, if the process given with --pid cannot be inspected, if `/dev/shm`
/// cannot be read, or if standard output fails. Errors of single objects go to the report.
pub fn run(args: &UnlinkArgs, report: &mut Report) -> anyhow::Result<()> {
    if args.names.is_empty() && args.filters.is_empty() {
        // As in rm, -f without operands is not an error.
        return match args.force {
            true => Ok(()),
            false => Err(Failure::usage("say what to remove: a NAME or a filter")
                .hint("--older-than 4h removes what was not modified for 4 hours and nobody uses")
                .into()),
        };
    }
    if !args.filters.pid.is_empty() && !args.include_in_use {
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
        checker: UseChecker::new(&directory),
        directory,
    };
    if args.names.is_empty() {
        return remover.sweep(report);
    }
    if let Some(rows) = &mut remover.rows {
        rows.align(&args.names);
    }
    for name in &args.names {
        match remover.remove_named(name) {
            // What is removed could not be printed any more.
            Err(error) if is_output_failure(&error) => return Err(error),
            result => report.note(result),
        }
    }
    remover.flush()
}

struct Remover<'a> {
    args: &'a UnlinkArgs,
    directory: Directory,
    filter: Filter,
    checker: UseChecker,
    /// Prints each removed object. None without --verbose and --dry-run.
    rows: Option<Rows>,
}

impl Remover<'_> {
    /// Removes an object given by NAME if it matches the filters.
    fn remove_named(&mut self, name: &ShmName) -> anyhow::Result<()> {
        let outcome = match self.try_remove_named(name) {
            Err(Error::NotFound(_)) => Outcome::Gone,
            result => result?,
        };
        let why = match outcome {
            Outcome::Removed { status, .. } => return self.print(name, status),
            Outcome::Gone if self.args.force => return Ok(()),
            Outcome::Gone => return Err(not_found(name, "removes")),
            // With --include-in-use, the object was to be removed in any case. So this is the same error as without
            // filters.
            Outcome::NotOurs if self.args.include_in_use => {
                return Err(Error::NotOwner(name.clone()).into());
            }
            Outcome::NotOurs => "owned by another user".to_owned(),
            Outcome::Filtered(mismatch) => self.explain(mismatch),
            Outcome::InUse => "in use".to_owned(),
            Outcome::Changed => "changed meanwhile".to_owned(),
            Outcome::Unclear(errno) => {
                format!("cannot tell whether it is in use ({})", reason(errno))
            }
        };
        let message = format!("{name}: kept: {why}");
        Err(Failure::new(Status::ConditionNotMet, message).into())
    }

    fn try_remove_named(&mut self, name: &ShmName) -> Result<Outcome, Error> {
        let status = self.directory.stat(name)?;
        if !self.args.filters.is_empty() {
            return match self.filter.mismatch(name, &status) {
                Some(mismatch) => Ok(Outcome::Filtered(mismatch)),
                None => self.remove(name),
            };
        }
        match self.args.dry_run {
            true if !self.may_remove(name, &status)? => {
                return Err(Error::NotOwner(name.clone()));
            }
            true => {}
            false => Object::unlink(&self.directory, name)?,
        }
        // Not checked: only the summary needs it, and there is none for NAMEs.
        let in_use = false;
        Ok(Outcome::Removed { status, in_use })
    }

    /// Removes every object that matches the filters.
    fn sweep(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut summary = Summary::default();
        // Read the whole directory first: removing entries while reading could skip others.
        let mut names = Vec::new();
        let directory = self.directory.clone();
        for entry in directory.entries()? {
            let name = entry?.name;
            if self.filter.passes_name(&name) && (self.args.all || !name.is_semaphore()) {
                names.push(name);
            }
        }
        if let Some(rows) = &mut self.rows {
            names.sort_unstable();
            rows.align(&names);
        }
        for name in &names {
            match self.try_remove_swept(name) {
                Ok(outcome) => {
                    summary.count(&outcome);
                    match outcome {
                        Outcome::Removed { status, .. } => self.print(name, status)?,
                        Outcome::Unclear(errno) => self.checker.count_unclear(errno),
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
            let hidden = measure_hidden(&directory)?;
            if let Some(hidden) = describe(hidden, self.args.all) {
                print_line(&format!("not swept: {hidden}"));
            }
            if let Some(inodes) = directory.exhausted_inodes() {
                let Palette { alarm, .. } =
                    Palette::new(self.args.color, io::stderr().is_terminal());
                print_line(&format!("{alarm}{inodes}{alarm:#}"));
            }
        }
        self.checker.print_unclear("kept");
        Ok(())
    }

    fn try_remove_swept(&mut self, name: &ShmName) -> Result<Outcome, Error> {
        if self.filter.needs_status() {
            match self.directory.stat(name) {
                Ok(status) => {
                    if let Some(mismatch) = self.filter.status_mismatch(&status) {
                        return Ok(Outcome::Filtered(mismatch));
                    }
                }
                Err(Error::NotFound(_)) => return Ok(Outcome::Gone),
                Err(Error::NotAnObject { .. }) => return Ok(Outcome::Changed),
                Err(error) => return Err(error),
            }
        }
        self.remove(name)
    }

    /// Removes an object that matches the filters. If it is in use, it is removed only with --include-in-use.
    fn remove(&mut self, name: &ShmName) -> Result<Outcome, Error> {
        match self.remove_unused(name)? {
            outcome @ (Outcome::Removed { .. } | Outcome::Gone) => Ok(outcome),
            // Without a clear answer, the object counts as in use.
            _ if self.args.include_in_use => self.remove_in_use(name),
            outcome => Ok(outcome),
        }
    }

    fn remove_unused(&mut self, name: &ShmName) -> Result<Outcome, Error> {
        let lease = match self.checker.lease(name) {
            Ok(lease) => lease,
            Err(Refusal::InUse) => return Ok(Outcome::InUse),
            Err(Refusal::Changed) => return Ok(self.gone_or_changed(name)),
            Err(Refusal::Unclear(errno)) => return Ok(self.not_ours_or_unclear(name, errno)),
        };
        let status = lease.status();
        // Check again under the lease: the object may have been modified or replaced in the meantime.
        if !self.filter.passes_status(status) {
            return Ok(Outcome::Changed);
        }
        let removed = match self.args.dry_run {
            true if !self.may_remove(name, status)? => return Ok(Outcome::NotOurs),
            true => lease.is_still_valid(),
            false => lease.unlink()?,
        };
        Ok(match removed {
            true => Outcome::Removed {
                status: *status,
                in_use: false,
            },
            false => self.gone_or_changed(name),
        })
    }

    fn remove_in_use(&mut self, name: &ShmName) -> Result<Outcome, Error> {
        let remove = || {
            let status = self.directory.stat(name)?;
            // Check again: the object may have been modified or replaced in the meantime.
            if !self.filter.passes_status(&status) {
                return Ok(Outcome::Changed);
            }
            match self.args.dry_run {
                true if !self.may_remove(name, &status)? => return Ok(Outcome::NotOurs),
                true => {}
                false => Object::unlink(&self.directory, name)?,
            }
            let in_use = true;
            Ok(Outcome::Removed { status, in_use })
        };
        match remove() {
            Err(Error::NotFound(_)) => Ok(Outcome::Gone),
            Err(Error::NotAnObject { .. }) => Ok(Outcome::Changed),
            Err(Error::NotOwner(_)) => Ok(Outcome::NotOurs),
            result => result,
        }
    }

    fn print(&mut self, name: &ShmName, status: FileStatus) -> anyhow::Result<()> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        rows.print(name, status)?;
        match self.args.dry_run {
            true => Ok(()),
            // Print the row now: a signal may kill shmtool before the next object, and this one is already removed.
            false => rows.flush(),
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.rows.as_mut().map_or(Ok(()), Rows::flush)
    }

    /// Returns the reason why an object does not match the filters.
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

    /// Returns whether we have permission to remove an object, for a dry run.
    fn may_remove(&self, name: &ShmName, status: &FileStatus) -> Result<bool, Error> {
        attribute::check_removable(&self.directory, name)?;
        self.directory.may_unlink(status.uid)
    }

    /// Returns the outcome for an object that was removed, replaced or opened after it was selected.
    fn gone_or_changed(&self, name: &ShmName) -> Outcome {
        match self.directory.stat(name) {
            Err(Error::NotFound(_)) => Outcome::Gone,
            _ => Outcome::Changed,
        }
    }

    /// Returns the outcome for an object about which the kernel gave no clear answer. It is no surprise if another user
    /// owns the object, because the kernel answers only its owner.
    fn not_ours_or_unclear(&self, name: &ShmName, errno: Errno) -> Outcome {
        let is_foreign = |status: FileStatus| status.uid != geteuid().as_raw();
        let refused = matches!(errno, Errno::EACCES | Errno::EPERM) && !geteuid().is_root();
        match refused && self.directory.stat(name).is_ok_and(is_foreign) {
            true => Outcome::NotOurs,
            false => Outcome::Unclear(errno),
        }
    }
}
