//! Parses the command line, and reports usage errors in our own words instead of those of clap.

use super::values::{InvalidOperand, NEGATIVE_PREFIX};
use super::{Cli, Command};
use crate::exit::Failure;
use crate::sys::escape::Escaped;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use std::error::Error;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    Run(Command),
    /// Print the help or the version.
    Show(String),
    /// Print the help as a usage error, because no verb was given.
    ShowAsError(String),
}

/// Parses the command line. The first argument is the name of the program.
///
/// # Errors
///
/// Returns the first usage error.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Request, Failure> {
    let args: Vec<_> = args.collect();
    if is_create_without_command(&args) {
        return Err(Failure::usage("-- without a COMMAND").hint("COMMAND may be an empty variable"));
    }
    let verb = args.get(1).cloned();
    let mut options = args.iter().take_while(|arg| *arg != "--");
    let is_anonymous = options.any(|arg| arg == "--anonymous");
    // Freeing the declarations of the options would take 3 % of the instructions of read-int, and this process ends soon.
    let mut declarations = ManuallyDrop::new(Cli::command());
    declarations
        .try_get_matches_from_mut(prefix_negative_values(args.into_iter()))
        .and_then(|mut matches| Command::from_arg_matches_mut(&mut matches))
        .map(Request::Run)
        .or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Show(error.render().to_string()))
            }
            ErrorKind::MissingSubcommand => {
                let help = Cli::command().render_help();
                Ok(Request::ShowAsError(help.to_string()))
            }
            _ => Err(
                match error.source().and_then(|source| source.downcast_ref()) {
                    Some(InvalidOperand { as_label, .. }) if is_anonymous => as_label.clone(),
                    Some(InvalidOperand { as_name, .. }) => as_name.clone(),
                    None => {
                        translate_clap_error(&error, verb.as_ref().and_then(|verb| verb.to_str()))
                    }
                },
            ),
        })
}

/// Returns whether there is a `--`, but no COMMAND after it. Without this check, `create NAME -- $COMMAND` would create an
/// object that stays, if the variable is empty.
fn is_create_without_command(args: &[OsString]) -> bool {
    let is_create = args.get(1).is_some_and(|verb| verb == "create");
    let first = args.iter().position(|arg| arg == "--");
    is_create && first.is_some_and(|first| first + 1 == args.len())
}

fn prefix_negative_values(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut is_write_int = false;
    args.enumerate().map(move |(index, arg)| {
        is_write_int |= index == 1 && arg == "write-int";
        match arg.as_bytes() {
            // No option starts with a digit.
            [b'-', b'0'..=b'9', ..] if is_write_int => {
                let mut prefixed = OsString::from(NEGATIVE_PREFIX);
                prefixed.push(arg);
                prefixed
            }
            _ => arg,
        }
    })
}

/// Turns an error of clap into a message in the style of shmtool.
fn translate_clap_error(error: &clap::Error, verb: Option<&str>) -> Failure {
    // The value parsers below already return such a message.
    if let Some(failure) = error
        .source()
        .and_then(|source| source.downcast_ref::<Failure>())
    {
        return failure.clone();
    }
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![displayed(text)],
        Some(ContextValue::Strings(texts)) => texts.iter().map(|text| displayed(text)).collect(),
        _ => Vec::new(),
    };
    let arguments = texts(ContextKind::InvalidArg).join(" and ");
    let value = texts(ContextKind::InvalidValue).concat();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let verb = texts(ContextKind::InvalidSubcommand).concat();
            let command = Cli::command();
            let verbs: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            Failure::usage(format!("{verb}: no such verb"))
                .hint(format!("the verbs are {}", verbs.join(", ")))
        }
        ErrorKind::UnknownArgument if arguments.starts_with('-') => {
            let failure = Failure::usage(format!("{arguments}: no such option"));
            // An option of a COMMAND that somebody put after the NAMEs.
            match verb == Some("create") {
                true => failure.hint("add --help to see the options; a COMMAND needs -- before it"),
                false => failure.hint(SEE_HELP),
            }
        }
        ErrorKind::UnknownArgument => {
            Failure::usage(format!("{arguments}: one operand too many")).hint(SEE_HELP)
        }
        ErrorKind::MissingRequiredArgument => {
            Failure::usage(format!("missing {arguments}")).hint(SEE_HELP)
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(ContextKind::PriorArg).join(" and ");
            let failure = Failure::usage(format!("{arguments} cannot be used with {others}"));
            let both = [&*arguments, &*others];
            let is_list = both.contains(&"--unlinked") || both.contains(&"--nameless");
            match is_list && both.contains(&"NAME") {
                true => failure.hint("--glob NAME selects objects by their name"),
                false => failure,
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            Failure::usage(format!("{arguments}: the value is missing"))
        }
        ErrorKind::InvalidValue => {
            let known = texts(ContextKind::ValidValue).join(", ");
            let failure = Failure::usage(format!("{value}: not one of {known}"));
            match value.as_str() {
                "f32" | "float" => failure.hint(float_hint(4)),
                "f64" | "double" => failure.hint(float_hint(8)),
                other => match rust_name(other) {
                    Some(name) => failure.hint(format!("{other} is {name} here")),
                    None => failure,
                },
            }
        }
        ErrorKind::TooManyValues => Failure::usage(format!("{arguments} takes no value")),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            Failure::usage(displayed(first.trim_start_matches("error: ")))
        }
    }
}

/// The hint if an option or operand is unknown or missing.
const SEE_HELP: &str = "add --help to see the options and operands";

/// The name here of an integer type of C, on a 64-bit machine.
fn rust_name(c_name: &str) -> Option<&'static str> {
    Some(match c_name {
        "int8_t" | "char" | "signed char" => "i8",
        "uint8_t" | "byte" | "bool" | "unsigned char" => "u8",
        "int16_t" | "short" => "i16",
        "uint16_t" | "unsigned short" => "u16",
        "int32_t" | "int" | "int32" => "i32",
        "uint32_t" | "unsigned" | "unsigned int" => "u32",
        "int64_t" | "long" | "long long" | "int64" => "i64",
        "uint64_t" | "size_t" | "unsigned long" => "u64",
        _ => return None,
    })
}

/// The hint that shows how to print a floating-point number.
fn float_hint(width: usize) -> String {
    format!("shmtool cat --shm --offset 0 --length {width} NAME | od -An -tf{width} prints it")
}

/// Formats an argument for a message: `NAME` instead of the `<NAME>...` of clap.
fn displayed(argument: &str) -> String {
    let text = argument.replace(NEGATIVE_PREFIX, "").replace("...", "");
    let text = text.replace(['<', '>'], "");
    // An optional operand. (The brackets of [OP:]VALUE stay.)
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(&text);
    Escaped(text.trim().as_bytes()).to_string()
}
