//! Exit statuses, the status of each error, and how errors are printed.

use crate::sys::error::{Error, describe_errno};
use crate::sys::file::error::FileError;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::io::{self, Write};

/// The exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Timed out, the same status as that of `timeout(1)`.
    TimedOut = 124,
    /// shmtool failed before it could run COMMAND, the same status as that of `env(1)`.
    CommandNotRun = 125,
}

/// An error with its exit status and, optionally, a hint at the next step.
/// A child can send it to its parent.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Creates a failure with this status and message.
    pub fn new(status: Status, message: impl Into<String>) -> Failure {
        Failure {
            status,
            message: message.into(),
            hint: None,
        }
    }

    /// Creates a failure that is neither a usage error nor any other special case.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Status::Failed, message)
    }

    /// Returns whether the failure has this status.
    pub fn is(&self, status: Status) -> bool {
        self.status == status
    }

    /// Adds what the message is about to its start.
    pub fn prefix(mut self, subject: &str) -> Failure {
        self.message = format!("{subject}: {}", self.message);
        self
    }

    /// Replaces what the message is about, if that is `old`.
    pub fn rename(mut self, old: &str, new: &str) -> Failure {
        if let Some(problem) = self.message.strip_prefix(&format!("{old}: ")) {
            self.message = format!("{new}: {problem}");
        }
        self
    }

    /// Creates a usage error.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Status::Usage, message)
    }

    /// Creates a failure without a message, for scripts that test a condition: the exit status is the result.
    pub fn silent(status: Status) -> Failure {
        Failure::new(status, "")
    }

    /// Adds a hint at the next step that the user can take.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<&anyhow::Error> for Failure {
    fn from(error: &anyhow::Error) -> Failure {
        Failure {
            status: status(error),
            message: message(error),
            hint: hint(error),
        }
    }
}

/// Adds a hint at the next step to any error. The status of the error stays the same.
pub fn with_hint(error: &anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    Failure::new(status(error), message(error))
        .hint(hint)
        .into()
}

/// Prints each error when it occurs, and keeps the status of the first one.
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

    /// Prints an error of shmtool because of which COMMAND does not run, and records the status for that.
    pub fn fail_before_command(&mut self, error: &anyhow::Error) {
        print_error(error);
        self.first.get_or_insert(Status::CommandNotRun as u8);
    }

    /// Records the exit status of COMMAND.
    pub fn end_with(&mut self, status: u8) {
        self.first.get_or_insert(status);
    }

    /// Returns the status of the first error, or 0.
    pub fn status(&self) -> u8 {
        self.first.unwrap_or(Status::Success as u8)
    }
}

/// Prints an error to standard error, with its hint on a second line.
pub fn print_error(error: &anyhow::Error) {
    let text = message(error);
    if text.is_empty() {
        return;
    }
    match hint(error) {
        Some(hint) => print_line(&format!("{text}\nhint: {hint}")),
        None => print_line(&text),
    }
}

/// Prints a message to standard error, with the name of the program in front.
pub fn print_line(message: &dyn Display) {
    // One write(2), so that lines of several processes do not mix. A failure cannot be reported anywhere, but the exit
    // status still shows that there was a problem.
    let _ = io::stderr().write_all(format!("shmtool: {message}\n").as_bytes());
}

/// Returns the message of an error and its causes in one line, without the name of the program.
fn message(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let system_error = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
            .map(Errno::from_raw);
        match system_error.or(cause.downcast_ref::<Errno>().copied()) {
            Some(errno) => describe_errno(errno),
            None => cause.to_string(),
        }
    });
    causes.collect::<Vec<_>>().join(": ")
}

/// Returns the hint of an error, if any.
fn hint(error: &anyhow::Error) -> Option<String> {
    error
        .chain()
        .find_map(|cause| match cause.downcast_ref::<Failure>() {
            Some(failure) => failure.hint.clone(),
            None => {
                let object = cause.downcast_ref::<Error>().and_then(Error::hint);
                let file = cause.downcast_ref::<FileError>().and_then(FileError::hint);
                object.or(file).map(str::to_owned)
            }
        })
}

/// Returns the exit status of an error.
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
