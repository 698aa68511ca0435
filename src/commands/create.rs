//! `create`: creates objects. Other processes see a complete object or none.

use super::place;
use crate::cli::CreateArgs;
use crate::exit::{Failure, Report};
use crate::sys::escape;
use anyhow::Context;
use creation::Creation;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

mod anonymous;
mod budget;
mod creation;
mod fill;
mod overwrite;
mod scoped;

/// Creates each object.
///
/// # Errors
///
/// Fails if FILE can be read only once and there are several NAMEs. Errors of single objects go to the report.
pub fn run(args: &CreateArgs, report: &mut Report) -> anyhow::Result<()> {
    if let Some(from) = &args.from
        && args.names.len() > 1
        && fill::is_read_once(from)
    {
        let from = escape::operand(from);
        let problem = format!("--from {from} can be read only once: give one NAME");
        return Err(Failure::usage(problem).into());
    }
    if args.anonymous {
        return anonymous::run(args, report);
    }
    if !args.command.is_empty() {
        scoped::run(args, report);
        return Ok(());
    }
    // FILE is always ours, so it is opened before we give up any rights.
    let input = args.target.target.as_ref().map(|_| fill::open_early(args));
    let input = input.transpose()?.flatten();
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
