//! From the arguments to a request, or to one line that says what is wrong with them.

use super::{Cli, Command};
use crate::sys::escape::{self, Escaped};
use crate::sys::shm::name::ShmName;
use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

/// Wrong usage, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub(super) String);

impl UsageError {
    /// A problem that only shows when the options are seen together.
    pub fn new(problem: &str) -> UsageError {
        UsageError(problem.to_owned())
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    Run(Command),
    /// Help, or the version: the text to print.
    Show(String),
}

/// Reads the command line, the program's name first.
///
/// # Errors
///
/// Whatever is wrong with it first.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    Cli::try_parse_from(mark_values(args))
        .map(|cli| Request::Run(cli.command))
        .or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Show(error.render().to_string()))
            }
            _ => Err(UsageError(in_one_line(&error))),
        })
}

/// Stands before a negative VALUE, which clap would take for an option. No argument has this byte.
///
/// clap's own means fail here: `allow_negative_numbers` knows no `-0x10` and no `-1_000`, and
/// `allow_hyphen_values` takes every option after the first of several VALUEs for a VALUE too.
const MARK: &str = "\0";

fn mark_values(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut writes = false;
    args.enumerate().map(move |(index, arg)| {
        writes |= index == 1 && arg == "write-int";
        match arg.as_bytes() {
            // No option starts with a digit.
            [b'-', b'0'..=b'9', ..] if writes => {
                let mut marked = OsString::from(MARK);
                marked.push(arg);
                marked
            }
            _ => arg,
        }
    })
}

/// Our parsers name the operand and the reason; of clap's own paragraphs the last, on --help, is left out.
fn in_one_line(error: &clap::Error) -> String {
    if let Some(source) = error
        .source()
        .filter(|_| error.kind() == ErrorKind::ValueValidation)
    {
        return source.to_string();
    }
    let text = error.render().to_string().replace(MARK, "");
    let paragraphs = text.trim_start_matches("error: ").split("\n\n");
    let lines = paragraphs
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    Escaped(lines.collect::<Vec<_>>().join("; ").as_bytes()).to_string()
}

pub(super) fn names() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|operand| parse_name(&operand))
}

pub(super) fn parse_name(operand: &OsStr) -> Result<ShmName, UsageError> {
    match unmarked(operand) {
        number if number != operand => Err(about(
            number,
            &"a NAME that starts with - is written with its slash",
        )),
        _ => ShmName::new(operand).map_err(|error| about(operand, &error)),
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

fn about(operand: &OsStr, error: &dyn Display) -> UsageError {
    UsageError(format!("{}: {error}", escape::operand(operand)))
}
