//! The exit statuses, which error has which, and how errors are printed.

use crate::sys::error::{Error, describe_errno};
use nix::errno::Errno;
use std::fmt::Display;
use std::io::{self, Write};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Success.
    Success = 0,
    /// Failure; the message says why.
    Failed = 1,
    /// A usage error: an option, a NAME, a VALUE out of its type's range, an unaligned atomic operation.
    Usage = 2,
    /// No such object.
    NotFound = 3,
    /// The object already exists.
    Exists = 4,
    /// A condition was not met, and nothing was changed.
    ConditionNotMet = 5,
    /// Timed out, as `timeout(1)` ends.
    TimedOut = 124,
    /// shmtool failed before it could run COMMAND, as `env(1)` ends.
    CommandNotRun = 125,
}

/// An error that carries its exit status, and perhaps the next step that the user can take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with this status and message.
    pub fn new(status: Status, message: impl Into<String>) -> Failure {
        Failure {
            status,
            message: message.into(),
            hint: None,
        }
    }

    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Status::Usage, message)
    }

    /// A failure that is no news: a script asked a question, and the status is the answer.
    pub fn silent(status: Status) -> Failure {
        Failure::new(status, "")
    }

    /// Adds the next step that the user can take.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

/// Adds the next step that the user can take to any error.
pub fn with_hint(error: &anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    Failure::new(status(error), text(error)).hint(hint).into()
}

/// Prints each error as it happens, and keeps the status of the first.
#[derive(Debug, Default)]
pub struct Report {
    first: Option<u8>,
}

impl Report {
    /// Records the result for one operand, and prints the error if it failed.
    pub fn note(&mut self, result: anyhow::Result<()>) {
        if let Err(error) = result {
            print_error(&error);
            self.first.get_or_insert(status(&error) as u8);
        }
    }

    /// Records that a command could not be run because shmtool failed.
    pub fn fail_before_command(&mut self, error: &anyhow::Error) {
        print_error(error);
        self.first.get_or_insert(Status::CommandNotRun as u8);
    }

    /// Records how a command ended.
    pub fn end_with(&mut self, status: u8) {
        self.first.get_or_insert(status);
    }

    /// The status of the first error.
    pub fn status(&self) -> u8 {
        self.first.unwrap_or(Status::Success as u8)
    }
}

/// Prints an error on standard error, with its hint on a second line.
pub fn print_error(error: &anyhow::Error) {
    let text = text(error);
    if text.is_empty() {
        return;
    }
    match hint(error) {
        Some(hint) => print_line(&format!("{text}\nhint: {hint}")),
        None => print_line(&text),
    }
}

/// Prints a message on standard error, after the program's name.
pub fn print_line(message: &dyn Display) {
    // In one write, so that the lines of two processes do not mix. If it fails there is nobody to tell; the status
    // still says it.
    let _ = io::stderr().write_all(format!("shmtool: {message}\n").as_bytes());
}

/// What went wrong, in one line, without the program's name.
fn text(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let of_system = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
            .map(Errno::from_raw);
        match of_system.or(cause.downcast_ref::<Errno>().copied()) {
            Some(errno) => describe_errno(errno),
            None => cause.to_string(),
        }
    });
    causes.collect::<Vec<_>>().join(": ")
}

/// The next step that the user can take.
fn hint(error: &anyhow::Error) -> Option<String> {
    error
        .chain()
        .find_map(|cause| match cause.downcast_ref::<Failure>() {
            Some(failure) => failure.hint.clone(),
            None => Some(cause.downcast_ref::<Error>()?.hint()?.to_owned()),
        })
}

/// The status that an error ends the program with.
fn status(error: &anyhow::Error) -> Status {
    match (
        error.downcast_ref::<Failure>(),
        error.downcast_ref::<Error>(),
    ) {
        (Some(failure), _) => failure.status,
        (None, Some(Error::NotFound(_))) => Status::NotFound,
        (None, Some(Error::Exists(_))) => Status::Exists,
        (None, _) => Status::Failed,
    }
}
