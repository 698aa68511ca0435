//! One module a verb: what to do, and what to print.

use crate::cli::Place;
use crate::exit::Status;
use crate::sys::error::{Error, Result};
use crate::sys::escape::Escaped;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::futex;
use crate::sys::memory::mapping::Mapping;
use crate::sys::process::signal;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use nix::errno::Errno;
use std::io::{self, Write};
use std::num::NonZero;

pub mod cat;
pub mod create;
mod in_use;
pub mod ls;
mod progress;
pub mod read_int;
mod source;
pub mod unlink;
pub mod write_int;

/// What the context of an error on standard output says.
const STDOUT: &str = "standard output";

/// The answer to the question that was asked is no: the integer is not the one that `write-int --if` asks for, or
/// `ls` has left out a NAME that does not pass the filters. The status says so, and nothing else does.
#[derive(Debug, thiserror::Error)]
#[error("not as expected")]
pub struct NotAsExpected;

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

/// Writes the name of an object on a line of its own, or with a NUL after it: as it is, but escaped where a
/// person reads it.
fn write_name(out: &mut impl Write, name: &[u8], nul: bool, on_terminal: bool) -> io::Result<()> {
    match on_terminal {
        true => write!(out, "{}", Escaped(name))?,
        false => out.write_all(name)?,
    }
    out.write_all(if nul { b"\0" } else { b"\n" })
}

/// The words that one or more integers of a [`Place`] lie in, mapped.
///
/// A mapping has its first integer at [`first`], for it starts on a word: that is what `futex(2)` works on.
///
/// From here on an object that is truncated ends the program with a sentence.
fn map_integers(object: &Object, place: &Place, count: u64, access: Access) -> Result<Mapping> {
    let start = place.offset - first(place) as u64;
    let length = (place.end(count) - start).next_multiple_of(futex::WORD as u64);
    let truncated = format!("shmtool: {}\n", Error::Truncated(object.name().clone()));
    signal::bus_error_is(truncated, Status::Failed as i32)
        .and_then(|()| {
            let length = usize::try_from(length).map_err(|_| Errno::ENOMEM)?;
            let length = NonZero::new(length).ok_or(Errno::EINVAL)?;
            Mapping::shared_file(object, start, length, access)
        })
        .map_err(|errno| Error::Os {
            name: object.name().clone(),
            action: "map it",
            errno,
        })
}

/// Where the first integer is in what [`map_integers`] gives.
fn first(place: &Place) -> usize {
    place.offset as usize % futex::WORD
}

/// The error of an object that does not reach to the end of its integers.
fn too_small(name: &ShmName, place: &Place, count: u64, size: u64) -> anyhow::Error {
    let (name_of_type, offset, end) = (place.int_type.name(), place.offset, place.end(count));
    let which = match count {
        1 => format!("the {name_of_type} at offset {offset} ends"),
        _ => format!("{count} {name_of_type} from offset {offset} on end"),
    };
    anyhow!("{name}: it has {size} bytes, and {which} at {end}")
}
