//! Parsers for single arguments. Their errors name the argument and the reason.

use crate::exit::Failure;
use crate::notation::condition::{self, Condition};
use crate::sys::escape;
use crate::sys::shm::name::{NameError, ShmName};
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

/// Stands before a negative VALUE, which clap would take for an option. No argument has this byte.
///
/// clap's own means fail here: `allow_negative_numbers` knows no `-0x10` and no `-1_000`, and
/// `allow_hyphen_values` takes every option after the first of several VALUEs for a VALUE too.
pub(super) const MARK: &str = "\0";

pub(super) fn names() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|operand| parse_name(&operand))
}

pub(super) fn parse_name(operand: &OsStr) -> Result<ShmName, Failure> {
    match unmarked(operand) {
        number if number != operand => Err(about(
            number,
            &"a NAME that starts with - is written with its slash",
        )),
        _ => ShmName::new(operand).map_err(|error| {
            let failure = about(operand, &error);
            match error {
                NameError::Slash => failure.hint("only objects in /dev/shm can be used here"),
                _ => failure,
            }
        }),
    }
}

/// Makes clap use `parse`, and a failure name the operand.
pub(super) fn parser<T, E>(parse: fn(&str) -> Result<T, E>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: Display + 'static,
{
    // A byte that is not UTF-8 is no digit either, and fails as any other that is none.
    OsStringValueParser::new().try_map(move |text| {
        let text = unmarked(&text);
        parse(&text.to_string_lossy()).map_err(|error| about(text, &error))
    })
}

fn unmarked(operand: &OsStr) -> &OsStr {
    let bytes = operand.as_bytes();
    OsStr::from_bytes(bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes))
}

/// Parses a condition. Those who write `>=4`, as they would in a program, learn how it is written here.
pub(super) fn conditions() -> impl TypedValueParser<Value = Condition> {
    OsStringValueParser::new().try_map(|text| {
        let text = unmarked(&text).to_string_lossy();
        text.parse().map_err(|error| {
            let failure = about(text.as_ref().as_ref(), &error);
            match condition::suggestion(&text) {
                Some(suggestion) => failure.hint(format!("write {suggestion}")),
                None => failure,
            }
        })
    })
}

fn about(operand: &OsStr, error: &dyn Display) -> Failure {
    Failure::usage(format!("{}: {error}", escape::operand(operand)))
}

/// Makes a usage error of an error that only shows when several arguments are seen together.
pub(super) fn usage(error: impl Display) -> Failure {
    Failure::usage(error.to_string())
}
