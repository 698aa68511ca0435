//! `create NAME... -- COMMAND`: objects that live as long as a command.

use super::command_words;
use super::creation::Creation;
use super::input::Input;
use crate::cli::CreateArgs;
use crate::commands::place;
use crate::exit::{Report, print_error};
use crate::sys::error::Error;
use crate::sys::memory::access::Access;
use crate::sys::process::command::{Command, Ending};
use crate::sys::process::guard::Guard;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::draft::Draft;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::Context;
use std::ffi::CString;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};

mod elsewhere;

/// Makes the objects, runs the command, removes what was made, and ends as the command ended.
pub fn run(args: &CreateArgs, input: Option<Input>, report: &mut Report) {
    match scope(args, input) {
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

fn scope(args: &CreateArgs, input: Option<Input>) -> anyhow::Result<(Ending, Vec<anyhow::Error>)> {
    let words = command_words(args)?;
    let place = place::find(args.target.target.as_ref(), false)?;
    match &place.container {
        Some(container) => {
            elsewhere::scope(args, input, &words, place.directory, &container.rights)
        }
        None => scope_here(args, input, &words),
    }
}

/// Makes the objects in our own directory, and runs the command.
fn scope_here(
    args: &CreateArgs,
    input: Option<Input>,
    words: &[CString],
) -> anyhow::Result<(Ending, Vec<anyhow::Error>)> {
    // The objects are whole, but have no names yet. The guard is there before the first name is given, so that
    // from then on nothing that kills this process leaves an object behind.
    let mut scope = Scope::new(args, Directory::own(), input);
    scope.prepare_all()?;
    let command = Command::prepare(words).context("cannot start a process for COMMAND")?;
    let mut guard = match scope.start_guard(command.pidfd()) {
        Ok(guard) => guard,
        Err(error) => {
            command.cancel()?;
            return Err(error);
        }
    };
    if let Err(error) = scope.name_all(command.pidfd(), &mut guard) {
        let failures = scope.remove();
        command.cancel()?;
        if failures.is_empty() {
            guard.dismiss()?;
        }
        // What failed first is reported last, for it decides the status.
        failures.iter().for_each(print_error);
        return Err(error);
    }
    // If this fails the command may still run, and uses the objects. The guard removes them when it has ended.
    let ending = command.run().context("cannot wait for COMMAND")?;
    let mut failures = scope.remove();
    // If something could not be removed, the guard tries again.
    if failures.is_empty()
        && let Err(errno) = guard.dismiss()
    {
        failures.push(anyhow::Error::from(errno).context("cannot end the process that cleans up"));
    }
    Ok((ending, failures))
}

/// The objects of a command, open all the while.
struct Scope<'a> {
    creation: Creation<'a>,
    drafts: Vec<Draft>,
    existing: Vec<Object>,
}

impl Scope<'_> {
    fn new(args: &CreateArgs, directory: Directory, input: Option<Input>) -> Scope<'_> {
        Scope {
            creation: Creation::new(args, directory, input),
            drafts: Vec::new(),
            existing: Vec::new(),
        }
    }

    /// Makes all objects, which have no names yet, and restores what that has changed in this process.
    fn prepare_all(&mut self) -> anyhow::Result<()> {
        for name in &self.creation.args.names {
            let draft = self.draft_or_hold(name)?;
            self.drafts.extend(draft);
        }
        // Before anything is forked that inherits what the budget has changed.
        self.creation.budget.finish()
    }

    /// Makes a new object, or holds an existing one open, so that no sweep removes it.
    fn draft_or_hold(&mut self, name: &ShmName) -> anyhow::Result<Option<Draft>> {
        loop {
            if let Some(draft) = self.creation.existing_or_draft(name)? {
                return Ok(Some(draft));
            }
            match Object::open(&self.creation.directory, name, Access::Read) {
                Ok(object) => self.existing.push(object),
                // Somebody else removed it since.
                Err(Error::NotFound(_)) => continue,
                // We may not read it, but the command may be allowed to. Without a command this is no error either.
                Err(Error::Denied(_)) => {}
                Err(error) => return Err(error.into()),
            }
            return Ok(None);
        }
    }

    /// Starts the process that removes the objects if this one cannot.
    fn start_guard(&self, command: BorrowedFd) -> anyhow::Result<Guard> {
        let objects = self.drafts.iter().map(|draft| draft.object().as_fd());
        let objects: Vec<_> = objects
            .chain(self.creation.directory.descriptor())
            .collect();
        // There is nobody to tell if it fails, and nothing else to try.
        let tidy_up = || drop(self.remove());
        Guard::start(command, &objects, tidy_up).context("cannot start the process that cleans up")
    }

    /// Gives all objects their names. If somebody else created an object meanwhile, that is dealt with as before; the
    /// guard is replaced by one that knows the objects that we have then.
    fn name_all(&mut self, command: BorrowedFd, guard: &mut Guard) -> anyhow::Result<()> {
        let mut index = 0;
        while index < self.drafts.len() {
            if self.creation.publish(&mut self.drafts[index])? {
                index += 1;
                continue;
            }
            let draft = self.drafts.remove(index);
            self.creation.recycle(&draft)?;
            let name = draft.object().name().clone();
            if let Some(draft) = self.draft_or_hold(&name)? {
                self.drafts.insert(index, draft);
                self.creation.budget.finish()?;
                let next = self.start_guard(command)?;
                mem::replace(guard, next).dismiss()?;
            }
        }
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
