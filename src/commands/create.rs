//! `create`: make objects.

use crate::cli::CreateArgs;
use crate::exit::Report;
use crate::sys::object::Object;
use crate::sys::signal;

/// Makes each object whole, or says why not.
///
/// # Errors
///
/// None but those of the signals' setting; those of the objects go to the report.
pub fn run(args: &CreateArgs, report: &mut Report) -> anyhow::Result<()> {
    signal::ignore_file_size_limit()?;
    for name in &args.names {
        report.note(
            Object::create(name, args.size, args.mode)
                .map(drop)
                .map_err(Into::into),
        );
    }
    Ok(())
}
