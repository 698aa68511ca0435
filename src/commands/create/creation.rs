//! Creates objects one after the other, and handles those that already exist.

use super::budget::Budget;
use super::input::Input;
use super::{fill, overwrite};
use crate::cli::CreateArgs;
use crate::exit::with_hint;
use crate::notation::size::distinct_sizes;
use crate::sys::error::Error;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::draft::Draft;
use crate::sys::shm::lease::{Leases, Refusal};
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;

/// One run of `create`.
pub struct Creation<'a> {
    pub args: &'a CreateArgs,
    pub directory: Directory,
    pub budget: Budget,
    pub input: Option<Input>,
    /// Standard input or a FIFO was read, which is possible only once.
    has_read_input: bool,
}

impl Creation<'_> {
    /// Prepares a run in this directory.
    pub fn new(args: &CreateArgs, directory: Directory, input: Option<Input>) -> Creation<'_> {
        Creation {
            args,
            directory,
            input,
            budget: Budget::new(),
            has_read_input: false,
        }
    }

    pub fn create(&mut self, name: &ShmName) -> anyhow::Result<()> {
        // Each further iteration means that another process created the object in the meantime.
        loop {
            match self.existing_or_draft(name)? {
                None => return Ok(()),
                Some(mut draft) => {
                    if self.publish(&mut draft)? {
                        return Ok(());
                    }
                    self.recycle(&draft)?;
                }
            }
        }
    }

    /// Creates a new object that is complete but has no name yet. Returns None if the object already exists and was
    /// handled.
    pub fn existing_or_draft(&mut self, name: &ShmName) -> anyhow::Result<Option<Draft>> {
        let args = self.args;
        // Each further iteration means that another process removed the object in the meantime.
        loop {
            // Checked first, so that an existing name is not reported as a lack of memory, or only after a whole file
            // was copied.
            match self.directory.stat(name) {
                Ok(_) if args.replace => {}
                Ok(status) if args.exist_ok => {
                    return check_size(args, name, status.size).map(|()| None);
                }
                Ok(_) if args.resize => match self.resize(name) {
                    Err(error) if matches!(error.downcast_ref(), Some(Error::NotFound(_))) => {
                        continue;
                    }
                    result => return result.map(|()| None),
                },
                Ok(_) if args.overwrite => match self.overwrite(name) {
                    Ok(false) => continue,
                    Err(error) if matches!(error.downcast_ref(), Some(Error::NotFound(_))) => {
                        continue;
                    }
                    result => return result.map(|_| None),
                },
                Ok(_) => return Err(exists(args, &self.directory, name)),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if self.has_read_input {
                return Err(anyhow!(
                    "{name}: created and removed by another process, and the input cannot be read again"
                ));
            }
            self.has_read_input = self.input.as_ref().is_some_and(Input::is_read_once);
            let draft = Draft::new(&self.directory, name)?;
            fill::fill(draft.object(), args, self.input.as_ref(), &mut self.budget)?;
            return Ok(Some(draft));
        }
    }

    /// Gives a new object its name. Returns false if another process created an object with this name in the meantime
    /// and the options allow that.
    pub fn publish(&self, draft: &mut Draft) -> Result<bool, Error> {
        let args = self.args;
        if args.replace {
            return draft.replace(args.mode).map(|()| true);
        }
        match draft.publish(args.mode) {
            Err(Error::Exists(_)) if args.resize || args.exist_ok || args.overwrite => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Uses the contents of an object that did not get its name as FILE, if FILE cannot be read again.
    pub fn recycle(&mut self, draft: &Draft) -> anyhow::Result<()> {
        if let Some(input) = &mut self.input
            && self.args.overwrite
            && self.has_read_input
        {
            let contents = draft.object().as_fd().try_clone_to_owned();
            input.replace_with(contents.context("cannot keep the input")?);
            self.has_read_input = false;
        }
        Ok(())
    }

    /// Stores FILE in an existing object. Returns false if the name has led to another object since.
    fn overwrite(&mut self, name: &ShmName) -> anyhow::Result<bool> {
        let object = Object::open_to_write(&self.directory, name)?;
        let input = self.input.as_mut().context("--overwrite needs FILE")?;
        let mut file = overwrite::open_repeatable(&object, self.args, input, &mut self.budget)?;
        let start = file.stream_position()?;
        overwrite::overwrite(&object, self.args, &mut file, &mut self.budget)?;
        let is_linked = object.is_still_linked()?;
        if !is_linked {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(is_linked)
    }

    /// Changes the size of an existing object.
    fn resize(&mut self, name: &ShmName) -> anyhow::Result<()> {
        let object = Object::open_to_write(&self.directory, name)?;
        let status = object.status()?;
        let (old, new) = (status.size, self.args.size.unwrap_or(0));
        if new < old {
            drop(object);
            return Ok(shrink(&self.directory, name, new)?);
        }
        match self.args.sparse {
            true if new > old => object.truncate(new)?,
            true => {}
            false => {
                let missing = object.missing_memory(new)?;
                self.budget.take(&object, missing)?;
                object.grow(new)?;
            }
        }
        Ok(())
    }
}

/// Returns the error for an object that already exists, with the options that deal with it.
fn exists(args: &CreateArgs, directory: &Directory, name: &ShmName) -> anyhow::Error {
    let error = Error::Exists(name.clone()).into();
    let is_unused = || {
        let leases = Leases::new(directory).ok();
        leases.is_some_and(|leases| leases.acquire(name).is_ok())
    };
    match args.names.iter().filter(|other| *other == name).count() {
        // It is there because the NAME was given twice.
        2.. => error,
        _ if args.command.is_empty() => with_hint(
            &error,
            match args.from {
                Some(_) => {
                    "--exist-ok keeps it, --overwrite stores FILE in it (running programs see it), --replace makes a new object"
                }
                None => {
                    "--exist-ok keeps it, --resize changes its size, --replace makes a new object"
                }
            },
        ),
        // A service that is started again, after everything was killed at once.
        _ if is_unused() => with_hint(&error, "--replace replaces what an earlier run left"),
        _ => with_hint(&error, "it is in use, perhaps by another run"),
    }
}

fn check_size(args: &CreateArgs, name: &ShmName, size: u64) -> anyhow::Result<()> {
    match args.size {
        Some(requested) if size < requested => {
            let (size, requested) = distinct_sizes(size, requested);
            let error = anyhow!("{name}: exists and has {size}, less than {requested}");
            Err(with_hint(&error, "--resize makes it larger"))
        }
        _ => Ok(()),
    }
}

/// Shrinks an object unless another process uses it: a process that maps the removed part would get a bus error.
fn shrink(directory: &Directory, name: &ShmName, size: u64) -> Result<(), Error> {
    let refusal = match Leases::new(directory).map(|leases| leases.acquire_for_writing(name)) {
        Ok(Ok(lease)) => return lease.truncate(size),
        Ok(Err(refusal)) => refusal,
        Err(errno) => Refusal::Unclear(errno),
    };
    Err(match refusal {
        Refusal::InUse | Refusal::Changed => Error::InUse(name.clone()),
        Refusal::Unclear(errno) => Error::Os {
            name: name.clone(),
            action: "find out whether it is in use",
            errno,
        },
    })
}
