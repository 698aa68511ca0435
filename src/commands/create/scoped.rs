//! `create NAME... -- COMMAND`: objects that live as long as a command.

use super::creation::Creation;
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
use std::os::fd::AsFd;
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
    let mut scope = Scope::new(args);
    for name in &args.names {
        scope.prepare(name).map_err(hint_at_replace)?;
    }
    // Before anything is forked that inherits what the budget has changed.
    scope.creation.budget.finish()?;
    let command = Command::prepare(&words).context("cannot start a process for COMMAND")?;
    let objects: Vec<_> = scope
        .drafts
        .iter()
        .map(|draft| draft.object().as_fd())
        .collect();
    let guard = match Guard::start(command.pidfd(), &objects, || drop(scope.remove())) {
        Ok(guard) => guard,
        Err(errno) => {
            command.cancel()?;
            return Err(
                anyhow::Error::from(errno).context("cannot start the process that cleans up")
            );
        }
    };
    if let Err(error) = scope.name_all() {
        scope.remove();
        command.cancel()?;
        guard.dismiss()?;
        return Err(hint_at_replace(error));
    }
    // If this fails the command may still run, and uses the objects. The guard removes them when it has ended.
    let ending = command.run().context("cannot wait for COMMAND")?;
    let mut failures = scope.remove();
    if let Err(errno) = guard.dismiss() {
        failures.push(anyhow::Error::from(errno).context("cannot end the process that cleans up"));
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
struct Scope<'a> {
    creation: Creation<'a>,
    drafts: Vec<Draft>,
    existing: Vec<Object>,
}

impl Scope<'_> {
    fn new(args: &CreateArgs) -> Scope<'_> {
        Scope {
            creation: Creation::new(args),
            drafts: Vec::new(),
            existing: Vec::new(),
        }
    }

    fn prepare(&mut self, name: &ShmName) -> anyhow::Result<()> {
        match self.creation.existing_or_draft(name)? {
            Some(draft) => self.drafts.push(draft),
            None => self.hold_existing(name)?,
        }
        Ok(())
    }

    fn name_all(&mut self) -> anyhow::Result<()> {
        for index in 0..self.drafts.len() {
            if !self.creation.publish(&mut self.drafts[index])? {
                let name = self.drafts[index].object().name().clone();
                self.hold_existing(&name)?;
            }
        }
        Ok(())
    }

    fn hold_existing(&mut self, name: &ShmName) -> Result<(), Error> {
        let object = Object::open(&self.creation.directory, name, Access::Read)?;
        self.existing.push(object);
        Ok(())
    }

    /// Removes the objects that this run created, but not others that have taken their names since. Returns what
    /// failed; the other objects are removed all the same.
    fn remove(&self) -> Vec<anyhow::Error> {
        let removed = self.drafts.iter().map(Draft::unlink);
        removed
            .filter_map(Result::err)
            .map(anyhow::Error::from)
            .collect()
    }
}
