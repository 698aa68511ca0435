//! `create --anonymous LABEL... -- COMMAND`: objects without a name, which COMMAND inherits.

use super::budget::Budget;
use super::input::Input;
use super::{command_words, fill};
use crate::cli::{CreateArgs, label_too_long};
use crate::exit::{Failure, Report, print_line};
use crate::sys::escape;
use crate::sys::memory::nameless::MAX_LABEL_LENGTH;
use crate::sys::process::execute::{execute, pass_on};
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::Context;
use std::os::fd::OwnedFd;

/// Creates the objects and executes the command in the place of this process. Returns only if that fails.
///
/// # Errors
///
/// Fails if the arguments do not fit together. Other errors go to the report.
pub fn run(args: &CreateArgs, input: Option<Input>, report: &mut Report) -> anyhow::Result<()> {
    check_usage(args)?;
    let prepared = command_words(args).and_then(|words| {
        let files = create_all(args, input)?;
        pass_on(files).context("cannot pass the memory on to COMMAND")?;
        Ok(words)
    });
    match prepared {
        Ok(words) => {
            let error = execute(&words);
            print_line(&error);
            report.end_with(error.status());
        }
        Err(error) => report.fail_before_command(&error),
    }
    Ok(())
}

fn check_usage(args: &CreateArgs) -> Result<(), Failure> {
    let mut labels = args.names.iter().map(ShmName::file_name);
    if let Some(label) = labels.find(|label| label.len() > MAX_LABEL_LENGTH) {
        return Err(Failure::usage(format!(
            "{}: {}",
            escape::operand(label),
            label_too_long(label.len())
        )));
    }
    if args.from.is_none() && args.size.unwrap_or(0) == 0 {
        return Err(Failure::usage(
            "--anonymous needs -s SIZE with a SIZE larger than 0, or --from FILE",
        ));
    }
    if args.mode & 0o111 != 0 {
        return Err(Failure::usage(format!(
            "{:03o}: memory without a name can never be executed",
            args.mode
        ))
        .hint("a MODE of 4 (read) and 2 (write) is 6"));
    }
    Ok(())
}

/// Creates all objects, and restores what that has changed in this process.
fn create_all(args: &CreateArgs, mut input: Option<Input>) -> anyhow::Result<Vec<OwnedFd>> {
    if let Some(input) = &mut input {
        input.open_early()?;
    }
    let mut budget = Budget::new();
    let mut files = Vec::new();
    for label in &args.names {
        let file = create(label, args, input.as_ref(), &mut budget);
        files.push(file.map_err(|error| {
            // The name starts with a slash.
            let name = label.to_string();
            Failure::from(&error).rename(&name, &format!("memfd:{}", &name[1..]))
        })?);
    }
    budget.finish()?;
    Ok(files)
}

fn create(
    label: &ShmName,
    args: &CreateArgs,
    input: Option<&Input>,
    budget: &mut Budget,
) -> anyhow::Result<OwnedFd> {
    let object = Object::anonymous(&Directory::nameless(), label)?;
    fill::fill(&object, args, input, budget)?;
    object.set_mode(args.mode)?;
    Ok(object.into())
}
