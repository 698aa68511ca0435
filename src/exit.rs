//! The exit statuses, which error gets which, and how an error is told.

use crate::cli::UsageError;
use crate::commands::NotAsExpected;
use crate::commands::read_int::TimedOut;
use crate::commands::unlink::Left;
use crate::notation::value::OutOfRange;
use crate::sys::error::{Error, words};
use nix::errno::Errno;
use std::io::{self, Write};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Done = 0,
    /// It failed, and the message says why.
    Failed = 1,
    /// Wrong usage: an option, a NAME, a VALUE out of its type's range, an unaligned atomic.
    Usage = 2,
    /// No such object.
    NotFound = 3,
    /// The object exists already.
    Exists = 4,
    /// Not as expected, and nothing was changed.
    NotAsExpected = 5,
    /// Timed out, as `timeout(1)` has it.
    TimedOut = 124,
    /// With a COMMAND: it was not run, for a reason of ours, as `env(1)` has it.
    OwnFailure = 125,
}

/// Tells each problem as it comes, and keeps the status of the first.
#[derive(Debug, Default)]
pub struct Report {
    first: Option<u8>,
}

impl Report {
    /// Notes how one operand went. What failed is told on standard error.
    pub fn note(&mut self, result: anyhow::Result<()>) {
        if let Err(error) = result {
            // It answers the question that `--if` is, and scripts ask in a loop.
            if !error.is::<NotAsExpected>() {
                tell(message(&error));
            }
            self.first.get_or_insert(status(&error) as u8);
        }
    }

    /// Notes that a command could not be run, for a reason of ours.
    pub fn fail_before_command(&mut self, error: &anyhow::Error) {
        self.tell_only(error);
        self.first.get_or_insert(Status::OwnFailure as u8);
    }

    /// Notes how a command ended.
    pub fn end_with(&mut self, status: u8) {
        self.first.get_or_insert(status);
    }

    /// Tells of a problem that does not count.
    pub fn tell_only(&self, error: &anyhow::Error) {
        tell(message(error));
    }

    /// The status of the first problem.
    pub fn status(&self) -> u8 {
        self.first.unwrap_or(Status::Done as u8)
    }
}

/// What to do next about an error, on a line of its own. It is the outermost context of the error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hint(pub &'static str);

/// Prints a message on standard error.
pub fn tell(message: String) {
    // In one write, so that the lines of two processes do not mix. With standard error gone there is nobody
    // left to tell; the status still says it.
    let _ = io::stderr().write_all((message + "\n").as_bytes());
}

/// What a person is told: a line, and perhaps a second one with a hint, without the newline at the end.
pub fn message(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hint>();
    let causes = error.chain().skip(hint.iter().count()).map(|cause| {
        let of_system = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
            .map(Errno::from_raw);
        match of_system.or(cause.downcast_ref::<Errno>().copied()) {
            Some(errno) => words(errno),
            None => cause.to_string(),
        }
    });
    let text = format!("shmtool: {}", causes.collect::<Vec<_>>().join(": "));
    match hint {
        Some(hint) => format!("{text}\nhint: {hint}"),
        None => text,
    }
}

/// The status that an error ends the program with.
fn status(error: &anyhow::Error) -> Status {
    match error.downcast_ref::<Error>() {
        Some(Error::NotFound(_)) => Status::NotFound,
        Some(Error::Exists(_)) => Status::Exists,
        Some(_) => Status::Failed,
        None if error.is::<UsageError>() || error.is::<OutOfRange>() => Status::Usage,
        None if error.is::<NotAsExpected>() || error.is::<Left>() => Status::NotAsExpected,
        None if error.is::<TimedOut>() => Status::TimedOut,
        None => Status::Failed,
    }
}
