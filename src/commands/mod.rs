//! One module a verb: what to do, and what to print.

use crate::cli::Place;
use crate::exit::{self, Status};
use crate::sys::error::{Error, Result};
use crate::sys::mapping::Mapping;
use crate::sys::name::ShmName;
use crate::sys::object::{Access, Object};
use crate::sys::{signal, stream};
use anyhow::{Context, anyhow};
use std::io::Write;
use std::num::NonZero;

pub mod cat;
pub mod create;
pub mod ls;
pub mod read_int;
pub mod unlink;
pub mod write_int;

/// What the context of an error on standard output says.
const STDOUT: &str = "standard output";

/// Prints a text to standard output, in one write.
///
/// # Errors
///
/// Standard output is closed or full.
pub fn print(text: &str) -> anyhow::Result<()> {
    stream::stdout()
        .context(STDOUT)?
        .write_all(text.as_bytes())
        .context(STDOUT)
}

/// Maps the bytes of one integer. From here on an object that is truncated ends the program with a sentence.
fn map_integer(object: &Object, place: &Place, access: Access) -> Result<Mapping> {
    let width = NonZero::new(place.int_type.width()).expect("no type has a width of 0");
    let truncated = exit::message(&Error::Truncated(object.name().clone()).into());
    signal::bus_error_is(truncated + "\n", Status::Failed as i32)
        .and_then(|()| Mapping::shared_file(object, place.offset, width, access))
        .map_err(|errno| Error::Os {
            name: object.name().clone(),
            action: "map it",
            errno,
        })
}

fn too_small(name: &ShmName, place: &Place, size: u64) -> anyhow::Error {
    let (name_of_type, offset, end) = (place.int_type.name(), place.offset, place.end());
    anyhow!("{name}: it has {size} bytes, and the {name_of_type} at offset {offset} ends at {end}")
}
