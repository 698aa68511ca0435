//! Every option, declared once: the doc comments are the help and the manual.

use crate::columns::{COLUMNS, Column};
use crate::condition::{Condition, Test};
use crate::filter::{self, Filter, Pattern};
use crate::sys::int::{Int, IntType};
use crate::sys::name::ShmName;
use crate::value::Value;
use crate::{duration, mode, size};
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

mod line;

pub use line::{Request, UsageError, parse};
use line::{names, parse_name, parser};

/// Memory-mapped files and POSIX shared memory from the command line
///
/// A shared memory object is a piece of memory with a name, such as /counter, that any program may open and use
/// at the same time as others: what one stores, all the others see. It lives until its name is removed and nobody
/// uses it any more, or until the machine is restarted.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = false,
    // As elsewhere the last of two counts, so that an alias can be overruled.
    args_override_self = true,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
A NAME is /counter, or counter for short. Results go to standard output, problems to standard error.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such object, 4 the object exists already,
5 not as expected, nothing changed (write-int --if, a NAME that the filters left), 124 timed out."
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

    /// Store integers in a shared memory object, or change one in a single step
    ///
    /// A C program that maps the object finds a plain int there. The store is atomic: another program sees the old
    /// integer or the new one, and no mixture. That holds where the offset is a multiple of the integer's width;
    /// elsewhere the store works, but is not atomic. Several VALUEs go one after the other, each a store of its own.
    ///
    /// An object that does not exist is made (zeros, for its owner alone), just large enough. One of size 0 is grown,
    /// and one that is too small otherwise is an error.
    ///
    /// Whoever waits for the integer in read-int --until is woken.
    ///
    /// --add, --swap and --if are one atomic operation each, on which counters and locks can be built: no change by
    /// another process comes between the look and the store. They need an offset that is a multiple of the width.
    WriteInt(WriteIntArgs),

    /// Print the integers that a shared memory object holds, or wait for one
    ///
    /// Nothing is changed, and permission to read is enough. Where the offset is a multiple of the integer's width it
    /// is read atomically: as some program stored it, and no mixture.
    ///
    /// With --until it waits, without using the processor, until the integer compares so. It may start before the
    /// object exists, and goes on with the new one when the object is removed and made anew. A store by write-int is
    /// seen at once; one by a program that just assigns to memory, within 50 milliseconds. An integer that has such a
    /// value only for a moment may be missed.
    ReadInt(ReadIntArgs),

    /// List shared memory objects, and who uses them
    ///
    /// Shows each object's name, its size, the memory it really takes, who may read and write it (as ls -l), its owner,
    /// and its age: the time since it was last modified, or its mode, owner or name last changed. What is not known is
    /// a question mark. On a terminal the totals come last.
    ///
    /// Whether an object is in use is asked of the kernel (see unlink); who uses it, of /proc, which shows the processes
    /// that you may inspect, and none of other containers.
    ///
    /// As JSON, "objects" is a list of what is known of each: "name"; "name_bytes", its bytes, only if they are not
    /// UTF-8; "type", which is "memory" or "semaphore"; "size" and "used", in bytes; "mode", in octal; "owner", "uid",
    /// "group" and "gid"; "inode" and "links"; "modified" and "changed", as RFC 3339 has it; "age", in whole seconds;
    /// and with -p "processes", a list of "pid", "command", and "mapped" and "open", which are "r", "w", "rw", "-" or
    /// null. A user or group without a name is null, and so is what is not known. "filesystem" has the "size", "used"
    /// and "free" bytes of /dev/shm.
    Ls(LsArgs),

    /// Remove the names of shared memory objects, or sweep away what nobody uses
    ///
    /// The name is gone at once. Programs that use the object keep it, and its memory is freed when the last of them
    /// lets go.
    ///
    /// With filters and no NAME, every object that passes them all is removed, if nobody uses it: no process in any
    /// container has it open or mapped. What is in use, or belongs to other users, is left, and that is no error. On a
    /// terminal, or with -v, a sweep ends with what it came to.
    ///
    /// A NAME is removed even if it is in use, unless --unused is said. With NAMEs and filters, the NAMEs that pass are
    /// removed; one that does not pass is left, and the status is 5.
    ///
    /// A script's counter is used by nobody between two commands: that is what --older-than is for.
    ///
    /// The kernel is asked with a lease (fcntl(2)), which it grants only to who is alone. Where it gives no clear answer
    /// the object counts as used, and that is said. Not seen as use: a file that is bind-mounted elsewhere, is open as
    /// O_PATH, or has pages in a pipe. For the microseconds of a lease, who opens the object waits; a program that opens
    /// it with O_NONBLOCK, as musl's shm_open does, may get EAGAIN. If others remove the name and make it anew just
    /// between the last check and the removal, the new object goes.
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

    /// An object that does not exist is an error (status 3), and is not made
    #[arg(long)]
    pub no_create: bool,

    /// Add VALUE to the integer, and print the new one. VALUE may be negative for every TYPE. A sum that does not fit
    /// the type is an error, and changes nothing. A missing object counts as 0
    #[arg(long, conflicts_with_all = ["swap", "old"])]
    pub add: bool,

    /// Store VALUE, and print the integer that was there before. A missing object counts as 0
    #[arg(long, conflicts_with = "old")]
    pub swap: bool,

    /// Store VALUE only if the integer is OLD; if not, nothing is changed or said, and the status is 5. A missing
    /// object counts as 0
    #[arg(long = "if", value_name = "OLD", allow_hyphen_values = true)]
    #[arg(value_parser = parser(str::parse::<Value>))]
    pub old: Option<Value>,

    /// The object to store into
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,

    /// The integer: decimal (-5, 1_000), or bits as 0xff, 0o17, 0b101. With --add, --swap or --if, just one
    #[arg(value_name = "VALUE", required = true, value_parser = parser(str::parse::<Value>))]
    pub values: Vec<Value>,
}

/// What `write-int` does.
#[derive(Debug)]
pub enum Change {
    /// Stores these, one after the other.
    Store(Vec<Int>),
    /// Changes one integer in an atomic step.
    Update(Update),
}

/// An atomic step.
#[derive(Debug, Clone, Copy)]
pub enum Update {
    /// Adds this much.
    Add(i128),
    /// Stores this.
    Swap(Int),
    /// Stores `new` where `old` is.
    If { old: Int, new: Int },
}

impl WriteIntArgs {
    /// What the options and VALUEs say.
    ///
    /// # Errors
    ///
    /// A VALUE out of the type's range; with `--add`, `--swap` or `--if`, several VALUEs, or an offset where
    /// nothing is atomic.
    pub fn change(&self) -> anyhow::Result<Change> {
        let int_type = self.place.int_type;
        let option = match self.old {
            _ if self.add => "--add",
            _ if self.swap => "--swap",
            Some(_) => "--if",
            None => {
                let ints = self.values.iter().map(|value| value.as_int(int_type));
                return Ok(Change::Store(ints.collect::<Result<_, _>>()?));
            }
        };
        let [value] = &self.values[..] else {
            return Err(UsageError(format!("{option} takes one VALUE")).into());
        };
        self.place.check_atomic(option)?;
        Ok(Change::Update(match &self.old {
            _ if self.add => Update::Add(value.as_amount(int_type)?),
            _ if self.swap => Update::Swap(value.as_int(int_type)?),
            old => Update::If {
                old: old.as_ref().unwrap_or(value).as_int(int_type)?,
                new: value.as_int(int_type)?,
            },
        }))
    }
}

#[derive(Debug, Args)]
pub struct ReadIntArgs {
    #[command(flatten)]
    pub place: Place,

    /// Print this many integers, one after the other; all is every whole one to the end of the object
    #[arg(
        long,
        value_name = "N|all",
        default_value = "1",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(str::parse::<Count>))]
    pub count: Count,

    /// Print the bits of the type's width, as 0x0000002a
    #[arg(short = 'x', long)]
    pub hex: bool,

    /// Wait until the object exists and its integer is VALUE, then print it; ge:4 waits for 4 or more. OP is one of eq
    /// (equal), ne (not equal), lt (less than), le (less or equal), gt (greater than), ge (greater or equal). With
    /// --count, the first integer is waited for
    #[arg(long, value_name = "[OP:]VALUE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(str::parse::<Condition>))]
    pub until: Option<Condition>,

    /// Give up after this time (status 124): 250ms, 30s, 10m, 4h, 2d, 1h30m, or seconds as 0.5; 0 looks just once
    #[arg(
        long,
        value_name = "DURATION",
        requires = "until",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(duration::parse))]
    pub timeout: Option<Duration>,

    /// The object to read from
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,
}

impl ReadIntArgs {
    /// What to wait for.
    ///
    /// # Errors
    ///
    /// A VALUE out of the type's range, or an offset where nothing is atomic.
    pub fn test(&self) -> anyhow::Result<Option<Test>> {
        let Some(condition) = &self.until else {
            return Ok(None);
        };
        self.place.check_atomic("--until")?;
        Ok(Some(condition.of_type(self.place.int_type)?))
    }
}

/// How many integers to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Some(u64),
    /// Every whole one to the end of the object.
    All,
}

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "all" => Ok(Count::All),
            _ if text.starts_with('+') => Err("not a count: a number, or all"),
            _ => text
                .parse()
                .map(Count::Some)
                .map_err(|_| "not a count: a number, or all"),
        }
    }
}

// Where in the object the integer is, and of what type. (As a doc comment this would describe the verb.)
#[derive(Debug, Clone, Copy, Args)]
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
    /// The bytes that an integer takes.
    pub fn width(&self) -> u64 {
        self.int_type.width() as u64
    }

    /// The first byte after `count` integers.
    pub fn end(&self, count: u64) -> u64 {
        self.offset
            .saturating_add(count.saturating_mul(self.width()))
    }

    /// Whether the machine has atomic operations for an integer there.
    pub fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(self.width())
    }

    fn check_atomic(&self, option: &str) -> Result<(), UsageError> {
        let (name, width, offset) = (self.int_type.name(), self.width(), self.offset);
        match self.is_aligned() {
            true => Ok(()),
            false => Err(UsageError(format!(
                "{option} is atomic only where the offset is a multiple of {width}, the width of the {name}, and {offset} is none"
            ))),
        }
    }
}

// Which objects are meant. (As a doc comment this would describe the verb.)
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters: the objects that pass them all")]
pub struct FilterArgs {
    /// Whose name matches: * is any text, ? is any one byte, [a-z] one of these, {a,b} one or the other; or, with
    /// !PATTERN, whose name does not match. If there are several, any of those without !, and none of those with it
    #[arg(short, long = "glob", value_name = "PATTERN", value_parser = parser(filter::parse_pattern))]
    pub globs: Vec<Pattern>,

    /// Which belong to this user, by name or number
    #[arg(long, value_name = "USER|UID", value_parser = parser(filter::parse_owner))]
    pub owner: Option<u32>,

    /// Which were not modified, and did not have their mode, owner or names changed, for this time: 250ms, 30s, 10m,
    /// 4h, 2d, 1h30m, or seconds. What a program stores in mapped memory does not always count as a modification; what
    /// write-int stores does
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parser(duration::parse))]
    pub older_than: Option<Duration>,

    /// Which no process, in any container, has open or mapped. Only the owner of an object and root may ask. A script's
    /// counter is used by nobody between two commands
    #[arg(long)]
    pub unused: bool,
}

impl FilterArgs {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Self {
            globs,
            owner,
            older_than,
            unused,
        } = self;
        globs.is_empty() && owner.is_none() && older_than.is_none() && !unused
    }

    /// What there is to look at, but for the use.
    ///
    /// # Errors
    ///
    /// The PATTERNs are too large.
    pub fn filter(&self) -> Result<Filter, UsageError> {
        Filter::new(&self.globs, self.owner, self.older_than)
            .map_err(|error| UsageError(error.to_string()))
    }
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// List named semaphores too, which are kept in the same place as sem.NAME
    #[arg(short, long)]
    pub all: bool,

    /// Show who has each object mapped or open: process id, command, and how (r: read, w: write). Only processes that
    /// you may inspect, in your own container
    #[arg(short, long)]
    pub processes: bool,

    /// List the objects whose names are gone but which some process still holds, and by whom: memory that df shows and
    /// no name explains
    #[arg(long, conflicts_with_all = ["names", "unused"])]
    pub unlinked: bool,

    /// Order by this: name, or size, used (the largest first), age (the oldest first)
    #[arg(long, value_name = "KEY", value_enum, default_value_t = SortKey::Name, hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    pub sort: SortKey,

    /// Reverse the order
    #[arg(short, long)]
    pub reverse: bool,

    /// Show sizes in bytes, not as 4KiB
    #[arg(short, long)]
    pub bytes: bool,

    /// Show users and groups as numbers
    #[arg(short, long)]
    pub numeric: bool,

    /// Print names alone, one a line, for scripts
    #[arg(short = 'q', long = "names", conflicts_with_all = ["json", "output"])]
    pub only_names: bool,

    /// With -q, end each name with a NUL byte and not a newline, for xargs -r0
    #[arg(short = '0', long = "null", requires = "only_names")]
    pub nul: bool,

    #[arg(short, long, value_name = "LIST", value_delimiter = ',', help = columns_help())]
    #[arg(value_parser = parser(Column::of), conflicts_with = "json")]
    pub output: Vec<&'static Column>,

    /// Print everything that is known, as JSON; the processes too with -p
    #[arg(short = 'J', long)]
    pub json: bool,

    /// Objects to list; without, all
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    // Last, for the heading that it has in the help.
    #[command(flatten)]
    pub filters: FilterArgs,
}

fn columns_help() -> String {
    let columns = COLUMNS
        .iter()
        .map(|column| format!("{} ({})", column.key, column.help));
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!("Show these columns, with commas between them: {columns}")
}

impl LsArgs {
    /// Whether anything shows who uses the objects.
    pub fn wants_processes(&self) -> bool {
        let chosen = || self.output.iter().any(|column| column.key == "processes");
        !self.only_names && (self.processes || self.unlinked || chosen())
    }
}

/// What objects are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    Name,
    Size,
    Used,
    Age,
}

#[derive(Debug, Args)]
pub struct UnlinkArgs {
    /// Remove named semaphores too, which are kept in the same place as sem.NAME
    #[arg(short, long)]
    pub all: bool,

    /// Without NAMEs and without --unused, take objects that are in use too. A NAME that does not exist is no error
    #[arg(short, long)]
    pub force: bool,

    /// Remove nothing, and print the names of what would go
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Print the names of what goes, and at the end of a sweep what it came to
    #[arg(short, long)]
    pub verbose: bool,

    /// Objects to remove
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    // Last, for the heading that it has in the help.
    #[command(flatten)]
    pub filters: FilterArgs,
}

impl ValueEnum for IntType {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
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
