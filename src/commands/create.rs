//! `create`: creates objects. Other processes see a complete object or none.

use super::place;
use crate::cli::CreateArgs;
use crate::exit::{Failure, Report};
use crate::sys::escape;
use creation::Creation;

mod budget;
mod creation;
mod fill;
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
