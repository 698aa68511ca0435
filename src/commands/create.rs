//! `create`: creates objects. Other processes see a complete object or none.

use super::place;
use crate::cli::CreateArgs;
use crate::exit::{Failure, Report};
use anyhow::Context;
use creation::Creation;
use input::Input;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

mod anonymous;
mod budget;
mod creation;
mod fill;
mod input;
mod overwrite;
mod scoped;

/// Creates each object.
///
/// # Errors
///
/// Fails if FILE can be read only once and there are several NAMEs. Errors of single objects go to the report.
pub fn run(args: &CreateArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut input = match args.from.as_deref().map(Input::new).transpose() {
        Err(error) if !args.command.is_empty() => {
            report.fail_before_command(&error.into());
            return Ok(());
        }
        input => input?,
    };
    if let Some(input) = &input
        && args.names.len() > 1
        && input.is_read_once()
    {
        let from = input.label();
        let problem = format!("--from {from} can be read only once: give one NAME");
        return Err(Failure::usage(problem).into());
    }
    if args.anonymous {
        return anonymous::run(args, input, report);
    }
    if !args.command.is_empty() {
        scoped::run(args, input, report);
        return Ok(());
    }
    if let Some(input) = &mut input
        && args.target.target.is_some()
    {
        // FILE is always ours, so it is opened before we give up any rights.
        input.open_early()?;
    }
    let directory = place::enter(args.target.target.as_ref())?;
    let mut creation = Creation::new(args, directory, input);
    for name in &args.names {
        report.note(creation.create(name));
    }
    Ok(())
}

/// Returns COMMAND and its arguments in the form that the system takes.
fn command_words(args: &CreateArgs) -> anyhow::Result<Vec<CString>> {
    let words = args.command.iter();
    let words = words.map(|word| CString::new(word.as_bytes()));
    words
        .collect::<Result<_, _>>()
        .context("an argument contains a NUL byte")
}
