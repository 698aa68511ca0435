//! The verbs, one module each: what they do and what they print.

use crate::cli::Place;
use crate::exit::{Failure, Status, with_hint};
use crate::sys::error::Error;
use crate::sys::escape::Escaped;
use crate::sys::io::stream;
use crate::sys::memory::futex;
use crate::sys::shm::name::ShmName;
use anyhow::Context;
use std::io::{self, Write};

pub mod cat;
mod color;
pub mod create;
mod denied;
mod hidden;
mod holder;
mod in_use;
mod listing;
pub mod ls;
mod origin;
mod place;
mod progress;
pub mod read_int;
mod source;
pub mod unlink;
mod wait;
pub mod write_int;

/// The context of an error that writing to standard output caused.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
struct StandardOutput;

const STDOUT: StandardOutput = StandardOutput;

/// Returns whether standard output failed, so that nothing more can be written to it.
pub fn is_output_failure(error: &anyhow::Error) -> bool {
    error.is::<StandardOutput>()
}

/// Closes standard output after everything is printed. The kernel closes standard error when the process exits: a
/// failure there could not be reported anywhere, and the exit status shows every problem anyway.
///
/// # Errors
///
/// Fails if the output could not be stored. Some file systems report that only when the file is closed.
pub fn close_output() -> anyhow::Result<()> {
    stream::close_stdout().context(STDOUT)
}

/// Prints a text to standard output, without a buffer.
///
/// # Errors
///
/// Fails if standard output is closed or full.
pub fn print(text: &str) -> anyhow::Result<()> {
    stream::stdout()
        .context(STDOUT)?
        .write_all(text.as_bytes())
        .context(STDOUT)
}

/// Prints the help to standard error because no verb was given.
///
/// # Errors
///
/// Always returns a usage error.
pub fn print_as_usage_error(help: &str) -> anyhow::Result<()> {
    // A failure cannot be reported anywhere, but the exit status still shows the usage error.
    let _ = io::stderr().write_all(help.as_bytes());
    Err(Failure::silent(Status::Usage).into())
}

/// Writes the name of an object, followed by a newline or a NUL byte. The name is escaped on a terminal, and unchanged
/// elsewhere.
fn write_name(out: &mut impl Write, name: &[u8], nul: bool, on_terminal: bool) -> io::Result<()> {
    match on_terminal {
        true => write!(out, "{}", Escaped(name))?,
        false => out.write_all(name)?,
    }
    out.write_all(if nul { b"\0" } else { b"\n" })
}

/// Returns the offset of the first integer in the mapping that [`holder::Holder::view`] creates.
fn offset_in_mapping(place: &Place) -> usize {
    place.offset as usize % futex::WORD_SIZE
}

/// Returns the error for a NAME that does not exist. A pattern gets a hint, because shells pass it on unchanged if no
/// file matches.
fn not_found(name: &ShmName, action: &str) -> anyhow::Error {
    let error = anyhow::Error::new(Error::NotFound(name.clone()));
    match name.as_bytes().iter().any(|byte| b"*?[".contains(byte)) {
        true => with_hint(
            &error,
            format!("--glob {action} all objects that match a pattern"),
        ),
        false => error,
    }
}
