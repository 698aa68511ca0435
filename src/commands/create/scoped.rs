//! `create NAME... -- COMMAND`: objects that live as long as a command.

use super::budget::Budget;
use super::{existing_or_draft, name_it};
use crate::cli::CreateArgs;
use crate::exit::{Report, print_error, with_hint};
use crate::sys::error::Error;
use crate::sys::memory::access::Access;
use crate::sys::process::command::{Command, Ending};
use crate::sys::process::guard::Guard;
use crate::sys::shm::draft::Draft;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::Context;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// Makes the objects, runs the command, removes what was made, and ends as the command ended.
pub fn run(args: &CreateArgs, report: &mut Report) {
    match scope(args) {
        Ok((ending, failures)) => {
            for error in failures {
                print_error(&error);
            }
            // The command's own end is what counts.
            report.end_with(ending.follow());
        }
        Err(error) => report.fail_before_command(&error),
    }
}

fn scope(args: &CreateArgs) -> anyhow::Result<(Ending, Vec<anyhow::Error>)> {
    let words = args
        .command
        .iter()
        .map(|word| CString::new(word.as_bytes()));
    let words = words
        .collect::<Result<Vec<_>, _>>()
        .context("an argument holds a NUL byte")?;
    // The objects are whole, but have no names yet. The guard is there before the first name is given, so that
    // from then on nothing that kills this process leaves an object behind.
    let mut scope = Scope::default();
    let mut budget = Budget::new();
    for name in &args.names {
        scope
            .prepare(args, name, &mut budget)
            .map_err(hint_at_replace)?;
    }
    // Before anything is forked that inherits what the budget has changed.
    budget.finish()?;
    let command = Command::prepare(&words).context("cannot make a process for the command")?;
    let made: Vec<&Object> = scope.drafts.iter().map(Draft::object).collect();
    let guard = match Guard::start(&made, command.pidfd()) {
        Ok(guard) => guard,
        Err(errno) => {
            command.cancel()?;
            return Err(anyhow::Error::from(errno).context("cannot make a process to tidy up"));
        }
    };
    if let Err(error) = scope.name_all(args) {
        scope.remove();
        command.cancel()?;
        guard.dismiss()?;
        return Err(hint_at_replace(error));
    }
    // If this fails the command may still run, and uses the objects. The guard removes them when it has ended.
    let ending = command.run().context("cannot wait for the command")?;
    let mut failures = scope.remove();
    if let Err(errno) = guard.dismiss() {
        failures.push(anyhow::Error::from(errno).context("cannot end the process that tidies up"));
    }
    Ok((ending, failures))
}

/// Tells whoever starts a service again what to do about the objects that its last run left, which happens if
/// everything was killed at once.
fn hint_at_replace(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Error>() {
        Some(Error::Exists(_)) => with_hint(&error, "--replace replaces what an earlier run left"),
        _ => error,
    }
}

/// The objects of a command, open all the while.
#[derive(Default)]
struct Scope {
    drafts: Vec<Draft>,
    existing: Vec<Object>,
}

impl Scope {
    fn prepare(
        &mut self,
        args: &CreateArgs,
        name: &ShmName,
        budget: &mut Budget,
    ) -> anyhow::Result<()> {
        match existing_or_draft(args, name, budget)? {
            Some(draft) => self.drafts.push(draft),
            None => self.existing.push(Object::open(name, Access::Read)?),
        }
        Ok(())
    }

    fn name_all(&mut self, args: &CreateArgs) -> anyhow::Result<()> {
        for draft in &mut self.drafts {
            if !name_it(args, draft)? {
                let name = draft.object().name();
                self.existing.push(Object::open(name, Access::Read)?);
            }
        }
        Ok(())
    }

    /// Removes the objects that this run made, but not others that have taken their names since.
    fn remove(&self) -> Vec<anyhow::Error> {
        let removed = self
            .drafts
            .iter()
            .map(|draft| draft.object().unlink_own_name());
        removed
            .filter_map(Result::err)
            .map(anyhow::Error::from)
            .collect()
    }
}
