//! The values of single arguments. The errors of their parsers name the argument and the reason.

use crate::exit::Failure;
use crate::notation::condition::{self, Condition};
use crate::notation::value::Value;
use crate::sys::escape;
use crate::sys::memory::nameless::MAX_LABEL_LENGTH;
use crate::sys::shm::name::{NameError, ShmName};
use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

/// Prefix of a negative VALUE, which clap would mistake for an option. No argument can contain this byte.
///
/// The settings of clap do not help: `allow_negative_numbers` does not accept `-0x10` and `-1_000`, and
/// `allow_hyphen_values` also takes every option after the first of several VALUEs as a VALUE.
pub(super) const NEGATIVE_PREFIX: &str = "\0";

pub(super) fn names() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|operand| parse_name(&operand))
}

pub(super) fn parse_name(operand: &OsStr) -> Result<ShmName, Failure> {
    match without_prefix(operand) {
        number if number != operand => Err(operand_error(
            number,
            &"a NAME that starts with - needs a slash in front of it",
        )
        .hint("NAME comes before VALUE")),
        _ => ShmName::new(operand).map_err(|error| {
            let failure = operand_error(operand, &error);
            match error {
                _ if operand == "/dev/shm" || operand == "/dev/shm/" => {
                    failure.hint("shmtool ls lists the objects there")
                }
                NameError::Slash => failure.hint("only objects in /dev/shm can be used here"),
                _ => failure,
            }
        }),
    }
}

/// Why an operand of `create` is neither a NAME nor, with `--anonymous`, a label.
#[derive(Debug, thiserror::Error)]
#[error("{as_name}")]
pub(super) struct InvalidOperand {
    pub as_name: Failure,
    pub as_label: Failure,
}

/// Returns the value parser of the operands of `create`. Its error is an [`InvalidOperand`].
pub(super) fn names_or_labels() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|operand| {
        parse_name(&operand).map_err(|as_name| {
            let problem = match ShmName::new(&operand) {
                Err(NameError::TooLong(length)) => label_too_long(length),
                Err(error) => error.to_string().replacen("an object name", "a label", 1),
                Ok(_) => as_name.to_string(),
            };
            let as_label = operand_error(&operand, &problem);
            InvalidOperand { as_name, as_label }
        })
    })
}

/// The problem of a label of this many bytes.
pub fn label_too_long(length: usize) -> String {
    format!("not a label: {length} bytes, at most {MAX_LABEL_LENGTH} are allowed")
}

/// Turns `parse` into a value parser of clap. Its error messages start with the operand.
pub(super) fn parser<T, E>(parse: fn(&str) -> Result<T, E>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: Display + 'static,
{
    // The conversion replaces bytes that are not UTF-8 by U+FFFD, which is not valid in a number either.
    OsStringValueParser::new().try_map(move |text| {
        let text = without_prefix(&text);
        parse(&text.to_string_lossy()).map_err(|error| operand_error(text, &error))
    })
}

pub(super) fn without_prefix(operand: &OsStr) -> &OsStr {
    let bytes = operand.as_bytes();
    OsStr::from_bytes(
        bytes
            .strip_prefix(NEGATIVE_PREFIX.as_bytes())
            .unwrap_or(bytes),
    )
}

/// Returns the value parser of VALUEs. It hints at the order of the operands if the user starts with the VALUE.
pub(super) fn values() -> impl TypedValueParser<Value = Value> {
    OsStringValueParser::new().try_map(|text| {
        let text = without_prefix(&text);
        text.to_string_lossy().parse().map_err(|error| {
            let failure = operand_error(text, &error);
            match text.as_bytes().starts_with(b"/") {
                true => failure.hint("NAME comes before VALUE"),
                false => failure,
            }
        })
    })
}

/// Returns the value parser of conditions. It hints at `ge:4` if the user writes `>=4`.
pub(super) fn conditions() -> impl TypedValueParser<Value = Condition> {
    OsStringValueParser::new().try_map(|text| {
        let text = without_prefix(&text).to_string_lossy();
        text.parse().map_err(|error| {
            let failure = operand_error(text.as_ref().as_ref(), &error);
            match condition::suggest(&text) {
                Some(suggestion) => failure.hint(format!("write {suggestion}")),
                // The shell has taken an unquoted >=4 for a redirection, so that the next argument is in its place.
                None if text.starts_with('/') => failure.hint("quote '>=4', or write ge:4"),
                None => failure,
            }
        })
    })
}

fn operand_error(operand: &OsStr, error: &dyn Display) -> Failure {
    Failure::usage(format!("{}: {error}", escape::operand(operand)))
}

/// Turns an error that depends on several arguments into a usage error.
pub(super) fn usage_error(error: impl Display) -> Failure {
    Failure::usage(error.to_string())
}

/// The key by which `ls` sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    Name,
    Size,
    // The undocumented name from version 0.1.
    #[value(alias = "used")]
    Allocated,
    Age,
    Owner,
    Pid,
    Place,
}

/// When colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}
