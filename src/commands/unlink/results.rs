//! What `unlink` did, for the user.

use super::outcome::Outcome;
use super::rows::Rows;
use super::summary::Summary;
use super::task::{Candidate, Task};
use crate::cli::UnlinkArgs;
use crate::commands::in_use::{UnclearCount, reason};
use crate::commands::not_found;
use crate::exit::{Failure, Report, Status};
use crate::objects::item::Item;
use crate::sys::error::Error;
use nix::errno::Errno;

/// Reports each outcome as soon as it is known, and counts them.
pub struct Results<'a> {
    args: &'a UnlinkArgs,
    /// Prints each removed object. None without --verbose and --dry-run.
    pub rows: Option<Rows>,
    pub summary: Summary,
    pub unclear: UnclearCount,
    pub report: &'a mut Report,
}

impl<'a> Results<'a> {
    pub fn new(args: &'a UnlinkArgs, rows: Option<Rows>, report: &'a mut Report) -> Results<'a> {
        Results {
            args,
            rows,
            summary: Summary::default(),
            unclear: UnclearCount::default(),
            report,
        }
    }

    /// Takes the outcome for an object.
    ///
    /// # Errors
    ///
    /// Fails if standard output fails: what is removed could not be printed any more.
    pub fn take(
        &mut self,
        task: &Task,
        candidate: &Candidate,
        outcome: Outcome,
    ) -> anyhow::Result<()> {
        self.summary.count(&outcome, candidate.status.as_deref());
        match outcome {
            Outcome::Removed { status, .. } => {
                match candidate.status.as_deref().copied().or(status) {
                    Some(status) => {
                        let item = Item::with_status(&task.place, candidate.name.clone(), status);
                        return self.print(&item);
                    }
                    None => return Ok(()),
                }
            }
            Outcome::Failed(failure) => self.report.note(Err(task.prefix(failure.into()))),
            outcome if !self.args.names.is_empty() => {
                let result = self.explain(task, candidate, outcome);
                self.report.note(result);
            }
            Outcome::Unclear(errno) => self.unclear.add(errno),
            _ => {}
        }
        Ok(())
    }

    /// Returns the error for an object that was given by NAME and was not removed.
    fn explain(&self, task: &Task, candidate: &Candidate, outcome: Outcome) -> anyhow::Result<()> {
        let name = &candidate.name;
        let why = match outcome {
            Outcome::Gone if self.args.force => return Ok(()),
            Outcome::Gone => return Err(not_found(name, "removes")),
            // With --include-in-use, the object was to be removed in any case. So this is the same error as without
            // filters.
            Outcome::NotOurs if self.args.include_in_use => {
                return Err(Error::NotOwner(name.clone()).into());
            }
            Outcome::NotOurs => "owned by another user".to_owned(),
            Outcome::Filtered(mismatch) => task.explain(mismatch),
            Outcome::InUse => "in use".to_owned(),
            Outcome::Changed => "changed meanwhile".to_owned(),
            Outcome::Unclear(errno) => {
                let reason = reason(Errno::from_raw(errno));
                format!("cannot tell whether it is in use ({reason})")
            }
            Outcome::Removed { .. } | Outcome::Failed(_) => return Ok(()),
        };
        let message = format!("{name}: kept: {why}");
        Err(Failure::new(Status::ConditionNotMet, message).into())
    }

    fn print(&mut self, item: &Item) -> anyhow::Result<()> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        rows.print(item)?;
        match self.args.dry_run {
            true => Ok(()),
            // Print the row now: a signal may kill shmtool before the next object, and this one is already removed.
            false => rows.flush(),
        }
    }

    /// Writes the buffered rows.
    ///
    /// # Errors
    ///
    /// Fails if standard output fails.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.rows.as_mut().map_or(Ok(()), Rows::flush)
    }
}
