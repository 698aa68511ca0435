//! `create`: make objects, whole or not at all.

use crate::cli::CreateArgs;
use crate::exit::{Failure, Report};
use crate::sys::error::Error;
use crate::sys::escape;
use crate::sys::memory::access::Access;
use crate::sys::shm::directory;
use crate::sys::shm::draft::Draft;
use crate::sys::shm::lease::{Leases, Refusal};
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::anyhow;
use budget::Budget;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

mod budget;
mod fill;
mod scoped;

/// Makes each object, or says why not.
///
/// # Errors
///
/// Standard input for several NAMEs; those of the objects go to the report.
pub fn run(args: &CreateArgs, report: &mut Report) -> anyhow::Result<()> {
    if let Some(from) = &args.from
        && args.names.len() > 1
        && is_read_once(from)
    {
        let from = escape::operand(from);
        let problem = format!("--from {from} can be read only once: give one NAME");
        return Err(Failure::usage(problem).into());
    }
    if !args.command.is_empty() {
        scoped::run(args, report);
        return Ok(());
    }
    let mut budget = Budget::new();
    for name in &args.names {
        report.note(make(args, name, &mut budget));
    }
    Ok(())
}

/// What a pipe held is gone when it was read; so is what is left of standard input.
fn is_read_once(from: &OsStr) -> bool {
    from == "-" || fs::metadata(from).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn make(args: &CreateArgs, name: &ShmName, budget: &mut Budget) -> anyhow::Result<()> {
    // Each turn means that somebody else made the object meanwhile.
    loop {
        match existing_or_draft(args, name, budget)? {
            None => return Ok(()),
            Some(mut draft) => {
                if name_it(args, &mut draft)? {
                    return Ok(());
                }
            }
        }
    }
}

/// A new object, whole but without its name; or none, where one exists already and was dealt with.
fn existing_or_draft(
    args: &CreateArgs,
    name: &ShmName,
    budget: &mut Budget,
) -> anyhow::Result<Option<Draft>> {
    // Each turn means that somebody else removed the object meanwhile.
    loop {
        // Asked first, so that a name that is taken is not reported as a lack of memory, and not after all
        // of a file was copied.
        match directory::stat(name) {
            Ok(_) if args.replace => {}
            Ok(metadata) if args.exist_ok => {
                return check_size(args, name, metadata.len()).map(|()| None);
            }
            Ok(_) if args.resize => match resize(args, name, budget) {
                Err(error) if matches!(error.downcast_ref(), Some(Error::NotFound(_))) => continue,
                result => return result.map(|()| None),
            },
            Ok(_) => return Err(Error::Exists(name.clone()).into()),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let draft = Draft::new(name)?;
        fill::fill(&draft, args, budget)?;
        return Ok(Some(draft));
    }
}

/// Gives a new object its name. False: somebody else made one meanwhile, and that may be.
fn name_it(args: &CreateArgs, draft: &mut Draft) -> Result<bool, Error> {
    if args.replace {
        return draft.replace(args.mode).map(|()| true);
    }
    match draft.publish(args.mode) {
        // What was read from standard input cannot be read again.
        Err(Error::Exists(_)) if args.resize || (args.exist_ok && args.from.is_none()) => Ok(false),
        result => result.map(|()| true),
    }
}

fn check_size(args: &CreateArgs, name: &ShmName, size: u64) -> anyhow::Result<()> {
    match args.size {
        Some(asked) if size < asked => Err(anyhow!(
            "{name}: it exists, and has {size} bytes, not {asked}"
        )),
        _ => Ok(()),
    }
}

/// Gives an object that exists its new size.
fn resize(args: &CreateArgs, name: &ShmName, budget: &mut Budget) -> anyhow::Result<()> {
    let object = Object::open(name, Access::ReadWrite)?;
    let metadata = object.metadata()?;
    let (old, new) = (metadata.len(), args.size.unwrap_or(0));
    if new < old {
        drop(object);
        return Ok(shrink(name, new)?);
    }
    match args.sparse {
        true if new > old => object.truncate(new)?,
        true => {}
        false => {
            budget.take(&object, new.saturating_sub(metadata.blocks() * 512))?;
            object.grow(new)?;
        }
    }
    Ok(())
}

/// Makes an object smaller that nobody uses: who maps what is beyond its new end would get a bus error.
fn shrink(name: &ShmName, size: u64) -> Result<(), Error> {
    let refusal = match Leases::new().map(|leases| leases.ask_to_change(name)) {
        Ok(Ok(lease)) => return lease.truncate(size),
        Ok(Err(refusal)) => refusal,
        Err(errno) => Refusal::Unclear(errno),
    };
    Err(match refusal {
        Refusal::InUse | Refusal::Changed => Error::InUse(name.clone()),
        Refusal::Unclear(errno) => Error::Os {
            name: name.clone(),
            action: "find out whether somebody uses it",
            errno,
        },
    })
}
