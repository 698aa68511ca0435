//! Every option, declared once: the doc comments are the help and the manual.

use crate::escape::{self, Escaped};
use crate::sys::int::IntType;
use crate::sys::name::ShmName;
use crate::value::Value;
use crate::{mode, size};
use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;

/// Memory-mapped files and POSIX shared memory from the command line
///
/// A shared memory object is a piece of memory with a name, such as /counter, that any program may open and use
/// at the same time as others: what one stores, all the others see. It lives until its name is removed and nobody
/// uses it any more, or until the machine is restarted.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = false,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
A NAME is /counter, or counter for short. Results go to standard output, problems to standard error.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such object, 4 the object exists already."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
///
/// Deferred: only the verb that is run has its options made, which is most of what clap costs at the start.
/// That is why a verb is described here, and its options are described where they are declared.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Print files, or shared memory objects, through a memory mapping
    ///
    /// The system shows each file as memory (a mapping), and that memory is what goes to standard output; into a pipe
    /// it is handed over without being copied. What cannot be mapped, such as a pipe or a terminal, is read and
    /// written instead. What is printed is the same as cat prints.
    ///
    /// A file that grows meanwhile is printed to its end. One that is truncated is printed as far as it goes, and that
    /// is an error. Holes in a file are printed as zeros, and printing them takes no memory in a shared memory object.
    Cat(CatArgs),

    /// Make shared memory objects that hold zeros
    ///
    /// The memory is set aside at once, so that a machine which has too little of it says so now, and not a program
    /// later. Other programs see no object or the whole one. An object that exists already is left as it is (status 4).
    Create(CreateArgs),

    /// Store an integer in a shared memory object
    ///
    /// A C program that maps the object finds a plain int there. The store is atomic: another program sees the old
    /// integer or the new one, and no mixture. That holds where the offset is a multiple of the integer's width.
    /// An object that does not exist is made (zeros, for its owner alone), just large enough. One of size 0 is grown,
    /// and one that is too small otherwise is an error.
    WriteInt(WriteIntArgs),

    /// Print the integer that a shared memory object holds
    ///
    /// Nothing is changed, and permission to read is enough.
    ReadInt(ReadIntArgs),

    /// List shared memory objects
    ///
    /// Shows each object's name, its size, the memory it really takes, who may read and write it (as ls -l), its owner,
    /// and its age: the time since it was last modified, or its mode, owner or name last changed.
    ///
    /// As JSON, "objects" is a list of what is known of each: "name"; "name_bytes", its bytes, only if they are not
    /// UTF-8; "type", which is "memory" or "semaphore"; "size" and "used", in bytes; "mode", in octal; "uid", "owner",
    /// "gid" and "group"; "inode" and "links"; "modified" and "changed", as RFC 3339 has it. A user or group without a
    /// name is null. "filesystem" has the "size", "used" and "free" bytes of /dev/shm.
    Ls(LsArgs),

    /// Remove the names of shared memory objects
    ///
    /// The name is gone at once. Programs that use the object keep it, and its memory is freed when the last of them
    /// lets go.
    Unlink(UnlinkArgs),
}

#[derive(Debug, Args)]
pub struct CatArgs {
    /// Print shared memory objects: the operands are their NAMEs
    #[arg(long)]
    pub shm: bool,

    /// Leave out this many bytes at the start of each operand; past its end nothing is printed
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "0",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(size::parse))]
    pub offset: u64,

    /// Print at most this many bytes of each operand
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = parser(size::parse))]
    pub length: Option<u64>,

    /// Show on standard error how far it is, how fast, and the time left; only on a terminal
    #[arg(long)]
    pub progress: bool,

    /// Files to print; - or none is standard input. With --shm, NAMEs of objects, at least one
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::AnyPath, required_if_eq("shm", "true"))]
    pub operands: Vec<OsString>,
}

/// One thing to print.
#[derive(Debug)]
pub enum Input {
    Stdin,
    File(PathBuf),
    Object(ShmName),
}

impl CatArgs {
    /// The operands, and what they mean with `--shm` or without it.
    ///
    /// # Errors
    ///
    /// With `--shm`, an operand that is no NAME.
    pub fn inputs(&self) -> Result<Vec<Input>, UsageError> {
        if self.operands.is_empty() {
            return Ok(vec![Input::Stdin]);
        }
        let meaning = |operand: &OsString| match operand {
            _ if self.shm => parse_name(operand).map(Input::Object),
            _ if operand == "-" => Ok(Input::Stdin),
            _ => Ok(Input::File(operand.into())),
        };
        self.operands.iter().map(meaning).collect()
    }
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// How many bytes: 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise M, G, T
    #[arg(
        short,
        long,
        value_name = "SIZE",
        default_value = "0",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(size::parse))]
    pub size: u64,

    /// Who may read (4) and write (2) it, as for chmod: a digit each for its owner, its group and others
    #[arg(
        short,
        long,
        value_name = "MODE",
        default_value = "0600",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(mode::parse))]
    pub mode: u32,

    /// Objects to make
    #[arg(value_name = "NAME", required = true, value_parser = names())]
    pub names: Vec<ShmName>,
}

#[derive(Debug, Args)]
pub struct WriteIntArgs {
    #[command(flatten)]
    pub place: Place,

    /// The object to store into
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,

    /// The integer: decimal (-5, 1_000), or bits as 0xff, 0o17, 0b101
    #[arg(value_name = "VALUE", value_parser = parser(str::parse::<Value>), allow_hyphen_values = true)]
    pub value: Value,
}

#[derive(Debug, Args)]
pub struct ReadIntArgs {
    #[command(flatten)]
    pub place: Place,

    /// The object to read from
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,
}

// Where in the object the integer is, and of what type. (As a doc comment this would describe the verb.)
#[derive(Debug, Args)]
pub struct Place {
    /// The integer's type: i8, i16, i32, i64 (signed) or u8, u16, u32, u64 (not signed), by its width in bits; i32
    /// is C's int
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum, default_value_t = IntType::I32)]
    #[arg(hide_possible_values = true)]
    pub int_type: IntType,

    /// How many bytes into the object the integer starts
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "0",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(size::parse))]
    pub offset: u64,
}

impl Place {
    /// The bytes that the integer takes.
    pub fn width(&self) -> u64 {
        self.int_type.width() as u64
    }

    /// The first byte after it. A SIZE leaves room for the sum in 64 bits.
    pub fn end(&self) -> u64 {
        self.offset + self.width()
    }
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// List named semaphores too, which are kept in the same place as sem.NAME
    #[arg(short, long)]
    pub all: bool,

    /// Print names alone, one a line, for scripts
    #[arg(short = 'q', long = "names", conflicts_with = "json")]
    pub only_names: bool,

    /// Print everything that is known, as JSON
    #[arg(short = 'J', long)]
    pub json: bool,

    /// Objects to list; without, all
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,
}

#[derive(Debug, Args)]
pub struct UnlinkArgs {
    /// A NAME that does not exist is no error
    #[arg(short, long)]
    pub force: bool,

    /// Objects to remove
    #[arg(value_name = "NAME", required = true, value_parser = names())]
    pub names: Vec<ShmName>,
}

impl ValueEnum for IntType {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// Wrong usage, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

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
    Cli::try_parse_from(args)
        .map(|cli| Request::Run(cli.command))
        .or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Show(error.render().to_string()))
            }
            _ => Err(UsageError(in_one_line(&error))),
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
    let text = error.render().to_string();
    let paragraphs = text.trim_start_matches("error: ").split("\n\n");
    let lines = paragraphs
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    Escaped(lines.collect::<Vec<_>>().join("; ").as_bytes()).to_string()
}

fn names() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|operand| parse_name(&operand))
}

fn parse_name(operand: &OsStr) -> Result<ShmName, UsageError> {
    ShmName::new(operand).map_err(|error| about(operand, &error))
}

/// Makes clap use `parse`, and a failure name the operand.
fn parser<T, E>(parse: fn(&str) -> Result<T, E>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: Display + 'static,
{
    // A byte that is not UTF-8 is no digit either, and fails as any other that is none.
    OsStringValueParser::new()
        .try_map(move |text| parse(&text.to_string_lossy()).map_err(|error| about(&text, &error)))
}

fn about(operand: &OsStr, error: &dyn Display) -> UsageError {
    UsageError(format!("{}: {error}", escape::operand(operand)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declarations_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
