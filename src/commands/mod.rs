//! One module a verb: what to do, and what to print.

use crate::cli::Place;
use crate::exit::{Failure, Status};
use crate::sys::error::{Error, Result};
use crate::sys::escape::Escaped;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::futex;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use nix::errno::Errno;
use std::io::{self, Write};
use std::num::NonZero;

pub mod cat;
mod color;
pub mod create;
mod hidden;
mod in_use;
pub mod ls;
mod progress;
pub mod read_int;
mod source;
pub mod unlink;
pub mod write_int;

/// The context of an error on standard output.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
struct StandardOutput;

const STDOUT: StandardOutput = StandardOutput;

/// Whether an error is that standard output failed, and no more of it can be written.
pub fn is_output_failure(error: &anyhow::Error) -> bool {
    error.is::<StandardOutput>()
}

/// Closes standard output, once nothing is left to print. Standard error is left to the kernel: if closing it
/// failed, there would be no place to say so, and the status tells of every failure anyway.
///
/// # Errors
///
/// What was printed could not be stored.
pub fn close_output() -> anyhow::Result<()> {
    stream::close_stdout().context(STDOUT)
}

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

/// Prints the help to standard error, for there was nothing to do.
///
/// # Errors
///
/// Always: it is a usage error.
pub fn print_as_usage_error(help: &str) -> anyhow::Result<()> {
    // If that fails, the status still says it.
    let _ = io::stderr().write_all(help.as_bytes());
    Err(Failure::silent(Status::Usage).into())
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
fn map_integers(object: &Object, place: &Place, count: u64, access: Access) -> Result<Mapping> {
    let start = place.offset - first(place) as u64;
    let length = (place.end(count) - start).next_multiple_of(futex::WORD_SIZE as u64);
    usize::try_from(length)
        .ok()
        .and_then(NonZero::new)
        .ok_or(Errno::ENOMEM)
        .and_then(|length| Mapping::shared_file(object, start, length, access))
        .map_err(|errno| Error::Os {
            name: object.name().clone(),
            action: "map it",
            errno,
        })
}

/// Where the first integer is in what [`map_integers`] gives.
fn first(place: &Place) -> usize {
    place.offset as usize % futex::WORD_SIZE
}

/// The error of an object that does not reach to the end of its integers.
fn too_small(name: &ShmName, place: &Place, count: u64, size: u64) -> anyhow::Error {
    let (type_name, offset, end) = (place.int_type.name(), place.offset, place.end(count));
    let need = match count {
        1 => format!("{type_name} at offset {offset} needs"),
        _ => format!("{count} {type_name} at offset {offset} need"),
    };
    anyhow!("{name}: too small: {need} {end} bytes, the object has {size}")
}
