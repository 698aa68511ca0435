//! `create NAME... -- COMMAND`: objects that live as long as a command.

use super::budget::Budget;
use super::{existing_or_draft, name_it};
use crate::cli::CreateArgs;
use crate::exit::Report;
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
                report.tell_only(&error.into());
            }
            // The command's own end is what counts.
            report.end_with(ending.follow());
        }
        Err(error) => report.fail_before_command(&error),
    }
}

fn scope(args: &CreateArgs) -> anyhow::Result<(Ending, Vec<Error>)> {
    let words = args
        .command
        .iter()
        .map(|word| CString::new(word.as_bytes()));
    let words = words
        .collect::<Result<Vec<_>, _>>()
        .context("an argument holds a NUL byte")?;
    // Whole, but without names: from here on nothing that is left to do can leave one behind, for the guard
    // is there before the first.
    let mut scope = Scope::default();
    let mut budget = Budget::new();
    for name in &args.names {
        scope.prepare(args, name, &mut budget)?;
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
        return Err(error);
    }
    let ending = command.run().context("cannot wait for the command");
    let failures = scope.remove();
    guard.dismiss()?;
    Ok((ending?, failures))
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

    /// Removes what this run made, by what it is: not what has taken the name since.
    fn remove(&self) -> Vec<Error> {
        let removed = self
            .drafts
            .iter()
            .map(|draft| draft.object().unlink_own_name());
        removed.filter_map(Result::err).collect()
    }
}
