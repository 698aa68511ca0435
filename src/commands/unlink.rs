//! `unlink`: remove names.

use crate::cli::UnlinkArgs;
use crate::exit::Report;
use crate::sys::error::Error;
use crate::sys::object::Object;

/// Removes each name, or says why not.
///
/// # Errors
///
/// None: those of the objects go to the report.
pub fn run(args: &UnlinkArgs, report: &mut Report) -> anyhow::Result<()> {
    for name in &args.names {
        report.note(match Object::unlink(name) {
            Err(Error::NotFound(_)) if args.force => Ok(()),
            result => result.map_err(Into::into),
        });
    }
    Ok(())
}
