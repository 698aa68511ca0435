//! The options of the verbs about whole objects: `create`, `ls` and `unlink`.

use super::values::{names, parser};
use crate::exit::Failure;
use crate::notation::{duration, mode, size};
use crate::objects::columns::{Column, Shown, Subject};
use crate::objects::filter::{self, Filter, MinAge, NameFilter, Pattern, ProcessFiles};
use crate::objects::selection::{self, ALL, List};
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::ShmName;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// How many bytes: 4096, 64K, 1M
    ///
    /// A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T. Without it 0, or as many
    /// as FILE has.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(size::parse))]
    pub size: Option<u64>,

    /// Who may read and write it, as for chmod
    ///
    /// A digit each for its owner, its group and others: 4 is to read, 2 to write, 6 both. It is given exactly,
    /// whatever the umask.
    #[arg(
        short,
        long,
        value_name = "MODE",
        default_value = "0600",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(mode::parse))]
    pub mode: u32,

    /// Fill it with the bytes of FILE; - is standard input
    ///
    /// If SIZE is larger, zeros come after them; if it is smaller, that is an error. So is a FILE that shrinks or grows
    /// meanwhile.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, allow_hyphen_values = true)]
    pub from: Option<OsString>,

    /// Do not set the memory aside at once
    ///
    /// What is never written takes none. Where none is left later, whoever writes is killed by a bus error.
    #[arg(long)]
    pub sparse: bool,

    /// Show how far it is with FILE, on a terminal
    ///
    /// A bar on standard error, with how fast it goes and the time left. Nothing where standard error is no terminal.
    #[arg(long)]
    pub progress: bool,

    /// Leave an object that exists as it is
    ///
    /// One that is smaller than SIZE is an error.
    #[arg(long, conflicts_with_all = ["resize", "replace"])]
    pub exist_ok: bool,

    /// Give an object that exists this SIZE
    ///
    /// What it holds is kept, and what is added is zeros. One that somebody else has open or mapped is not made smaller:
    /// a program that used what is cut off would be killed by a bus error. One that does not exist is made.
    #[arg(long, requires = "size", conflicts_with_all = ["replace", "from"])]
    pub resize: bool,

    /// Let the new object take the name of one that exists
    ///
    /// In one step: others find the old one or the new one under the name, and never none. Who has the old one open or
    /// mapped keeps it.
    #[arg(long)]
    pub replace: bool,

    /// Objects to make
    #[arg(value_name = "NAME", required = true, value_parser = names())]
    pub names: Vec<ShmName>,

    /// Run this command, and keep the objects as long as it runs
    ///
    /// Those that were made are removed, however it ends, and the status is the command's.
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Where the help lists the filters.
const FILTERS: &str = "Filters (all must match)";

// Which objects are meant. (As a doc comment this would describe the verb.)
#[derive(Debug, Args)]
#[command(next_help_heading = FILTERS)]
pub struct FilterArgs {
    /// Name matches PATTERN; with !PATTERN, does not match
    ///
    /// A * is any text, ? any one byte, [a-z] one of these, {a,b} one or the other. A slash or /dev/shm/ in front of it
    /// makes no difference. Several patterns: the name must match any of those without !, and none of those with it.
    #[arg(short, long = "glob", value_name = "PATTERN", value_parser = parser(filter::parse_pattern))]
    pub globs: Vec<Pattern>,

    /// Owner is this user, given by name or number
    #[arg(long, value_name = "USER|UID", value_parser = parser(filter::parse_owner))]
    pub owner: Option<u32>,

    /// Not modified for this long: 30s, 10m, 4h, 2d
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, a combination (1h30m), or a number of seconds (0.5). A change of mode,
    /// owner or names counts as a modification. What a program stores in mapped memory does not always count;
    /// what write-int stores does.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parser(duration::parse))]
    pub older_than: Option<Duration>,

    /// Has more allocated memory than this: 64K, 1M
    ///
    /// That is the memory that the object really takes, not its size. An object that has exactly SIZE does not pass.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(size::parse))]
    pub larger_than: Option<u64>,

    /// Process PID has it open or mapped
    ///
    /// You must be allowed to inspect the process. With unlink, --include-in-use is needed too.
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(value_parser = parser(filter::parse_pid))]
    pub pid: Option<i32>,

    /// No process, in any container, has it open or mapped
    ///
    /// Only the owner of an object and root may ask. A script's counter is unused between two commands.
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
            larger_than,
            pid,
            unused,
        } = self;
        let has_value = owner.is_some() || older_than.is_some() || larger_than.is_some();
        globs.is_empty() && !has_value && pid.is_none() && !unused
    }

    /// What an object must be, apart from whether it is in use.
    ///
    /// # Errors
    ///
    /// The PATTERNs are too large, or the process cannot be inspected.
    pub fn filter(&self, directory: &Directory) -> anyhow::Result<Filter> {
        let names =
            NameFilter::new(&self.globs).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Filter {
            names,
            owner: self.owner,
            min_age: self.older_than.map(MinAge::new),
            larger_than: self.larger_than,
            process: match self.pid {
                Some(pid) => Some(ProcessFiles::of(pid, directory)?),
                None => None,
            },
        })
    }
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// List named semaphores too
    ///
    /// They are kept in the same place, as sem.NAME (sem_overview(7)).
    #[arg(short, long)]
    pub all: bool,

    /// Show the processes that use each object
    ///
    /// One row per object and process, with the columns PID, USER, ACCESS (r is for reading, w for writing) and COMMAND.
    /// An object that nobody uses has a - there. A ? means that somebody may use it whom you cannot see: a process that
    /// you may not inspect, or one in another container.
    #[arg(short, long)]
    pub processes: bool,

    /// List objects whose names are gone, and who still holds them
    ///
    /// This is memory that df shows and no name explains.
    #[arg(long, conflicts_with_all = ["names", "unused"])]
    pub unlinked: bool,

    /// Sort by name, size, allocated, age, owner or pid
    ///
    /// The largest size, the most allocated memory, the oldest, and the lowest pid come first. pid needs -p.
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
    ///
    /// The letter is that of ls(1); in unlink, -n means a dry run.
    #[arg(short, long)]
    pub numeric: bool,

    /// Use colors: auto (on a terminal), always or never
    ///
    /// auto obeys NO_COLOR in the environment.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    pub color: Color,

    /// Leave out the header
    #[arg(long)]
    pub no_header: bool,

    /// Print names alone, one a line, for scripts
    #[arg(short = 'q', long = "names", conflicts_with_all = ["json", "output", "processes"])]
    pub only_names: bool,

    /// With -q, end each name with a NUL byte, for xargs -r0
    ///
    /// A name may hold a newline, but no NUL byte.
    #[arg(short = '0', long = "null", requires = "only_names")]
    pub nul: bool,

    #[arg(short, long, value_name = "LIST")]
    #[arg(help = columns_help(), long_help = columns_long_help())]
    #[arg(value_parser = parser(selection::parse))]
    pub output: Vec<List>,

    /// Print everything that is known, as JSON
    ///
    /// With -p the processes too; with -o only what LIST names. The schema is in shmtool-ls(1).
    #[arg(short = 'J', long)]
    pub json: bool,

    /// Objects to list; without, all
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    // Last, for the heading that it has in the help.
    #[command(flatten)]
    pub filters: FilterArgs,

    /// A process has it open or mapped, or this cannot be told
    ///
    /// Only the owner of an object and root may ask; objects of others are listed too.
    #[arg(long, help_heading = FILTERS, conflicts_with_all = ["unused", "unlinked"])]
    pub in_use: bool,
}

fn columns_help() -> String {
    let keys: Vec<_> = Column::offered().map(|column| column.key).collect();
    format!(
        "Show these columns, or with +LIST these too: {}, {ALL}",
        keys.join(", ")
    )
}

fn columns_long_help() -> String {
    let listed = |subject| {
        let columns = Column::offered().filter(|column| column.subject == subject);
        let columns = columns.map(|column| format!("{} ({})", column.key, column.help));
        columns.collect::<Vec<_>>().join(", ")
    };
    format!(
        "Show these columns, or with +LIST these in addition to the default ones\n\nOf the object: {}. Of each process \
         that uses it, as with -p: {}. {ALL} is every column except in-use, and with -p those of the processes too. \
         in-use asks the kernel (see NOTES in shmtool-ls(1)). -o may be given several times.",
        listed(Subject::Object),
        listed(Subject::Process)
    )
}

impl LsArgs {
    /// The columns of the table, or the members of each object in JSON.
    pub fn columns(&self) -> Vec<&'static Column> {
        selection::columns(
            &self.output,
            self.asks_for_processes(),
            |column| match self.json {
                true => column.shown != Shown::IfNamed,
                false => column.shown == Shown::Always,
            },
        )
    }

    /// Whether an option asks who uses the objects.
    pub fn asks_for_processes(&self) -> bool {
        self.processes || self.unlinked || selection::names_processes(&self.output)
    }
}

/// What objects are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    Name,
    Size,
    // The name of version 0.1, which is not documented.
    #[value(alias = "used")]
    Allocated,
    Age,
    Owner,
    Pid,
}

/// When colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
pub struct UnlinkArgs {
    /// Remove named semaphores too
    ///
    /// They are kept in the same place, as sem.NAME (sem_overview(7)).
    #[arg(short, long)]
    pub all: bool,

    /// Ignore missing NAMEs
    ///
    /// With neither a NAME nor a filter there is nothing to do, and that is no error either.
    #[arg(short, long)]
    pub force: bool,

    /// Remove nothing, print what would be removed
    ///
    /// It prints the same as --verbose. In ls, -n means --numeric.
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Print each removed object, and a summary after a sweep
    ///
    /// A row has the object's name, size, owner and age, as in ls, and is printed as soon as the object is removed. The
    /// summary goes to standard error. It says how many objects were kept, and why.
    #[arg(short, long)]
    pub verbose: bool,

    /// With filters, remove objects that are in use too
    ///
    /// Processes that use them keep their memory. Without filters this changes nothing: a NAME alone is always removed.
    #[arg(long, conflicts_with = "unused")]
    pub include_in_use: bool,

    /// Use colors: auto (on a terminal), always or never
    ///
    /// auto obeys NO_COLOR in the environment.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    pub color: Color,

    /// Objects to remove
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    // Last, for the heading that it has in the help.
    #[command(flatten)]
    pub filters: FilterArgs,
}
