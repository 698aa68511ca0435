//! `create`: make objects.

use crate::cli::CreateArgs;
use crate::exit::Report;
use crate::sys::object::Object;

/// Makes each object whole, or says why not.
///
/// # Errors
///
/// None: those of the objects go to the report.
pub fn run(args: &CreateArgs, report: &mut Report) -> anyhow::Result<()> {
    for name in &args.names {
        let made = Object::create(name, args.size, args.mode, |_| Ok(()));
        report.note(made.map_err(Into::into));
    }
    Ok(())
}
