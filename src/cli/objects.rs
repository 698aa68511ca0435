//! The options of `create`, `ls` and `unlink`.

use super::filters::{FILTERS, FilterArgs};
use super::target::TargetArgs;
use super::values::{Color, SortKey, names, names_or_labels, parser};
use crate::notation::{mode, size};
use crate::objects::columns::{Column, Shown, Subject};
use crate::objects::selection::{self, ALL, List};
use crate::sys::shm::name::ShmName;
use clap::Args;
use std::ffi::OsString;

/// The heading, in the help, of the options for existing objects.
const EXISTING: &str = "If the object already exists";

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/create.txt"))]
pub struct CreateArgs {
    /// Size in bytes: 4096, 64K, 1M (default: 0, or that of FILE)
    ///
    /// A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(size::parse))]
    pub size: Option<u64>,

    /// Permissions in octal, as for chmod
    ///
    /// One digit each for the owner, the group and others: 4 to read, 2 to write, 6 to do both. The umask does not
    /// change the MODE.
    #[arg(
        short,
        long,
        value_name = "MODE",
        default_value = "0600",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(mode::parse))]
    pub mode: u32,

    /// Fill with the contents of FILE (-: standard input)
    ///
    /// If SIZE is larger than FILE, zeros follow the contents. It is an error if SIZE is smaller, or if FILE grows or
    /// shrinks while it is copied.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, allow_hyphen_values = true)]
    pub from: Option<OsString>,

    /// Do not reserve memory
    ///
    /// The system then allocates the memory piece by piece, when programs first write to it. If no memory is left at
    /// that time, the program that writes is killed by a bus error (SIGBUS).
    #[arg(long)]
    pub sparse: bool,

    /// Show a progress bar on the terminal while FILE is copied
    ///
    /// The bar appears on standard error, with the speed and the time left. It does not appear if standard error is not a
    /// terminal.
    #[arg(long)]
    pub progress: bool,

    /// Give COMMAND memory without a name, as descriptor 3, 4, ...
    ///
    /// Nobody can find this memory by a name. COMMAND inherits it as open files, in the order of the NAMEs, and passes
    /// them on to the programs that it starts. These reach it as /dev/fd/3, with shmtool write-int --file /dev/fd/3 for
    /// example, and C programs map descriptor 3. Whatever else the caller has open as descriptor 3 is replaced. Each NAME
    /// is only a label, of at most 249 bytes. shmtool executes COMMAND in its own place, and the memory is freed when the
    /// last program ends that has it, so that nothing has to be removed. A SIZE or FILE is needed.
    #[arg(long, requires = "command", conflicts_with_all = ["exist_ok", "resize", "replace", "overwrite", "target"])]
    pub anonymous: bool,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Leave the existing object as it is
    ///
    /// It is an error if the object is smaller than SIZE.
    #[arg(long, help_heading = EXISTING, conflicts_with_all = ["resize", "replace"])]
    pub exist_ok: bool,

    /// Change the size to SIZE and keep the contents
    ///
    /// Added bytes are zeros. An object that a process has open or mapped is not made smaller, because a process that
    /// used the removed part would be killed by a bus error (SIGBUS). A missing object is created.
    #[arg(long, help_heading = EXISTING, requires = "size", conflicts_with_all = ["replace", "from"])]
    pub resize: bool,

    /// Replace the existing object in one step
    ///
    /// At any moment, other programs find the old object or the new one under the name. Programs that have the old object
    /// open or mapped keep it, and do not see the new contents. shmtool ls --unlinked shows who still uses an old object.
    #[arg(long, help_heading = EXISTING)]
    pub replace: bool,

    /// Store FILE in the existing object
    ///
    /// Programs that have mapped the object see the new contents, in the part that they have mapped. A FILE that is larger
    /// than the object makes the object larger, and a program must map it again to see the rest. With --size, a FILE
    /// larger than SIZE is an error. Bytes after the end of FILE stay; with --size, those up to SIZE become zeros. The
    /// object keeps its mode and owner, and never becomes smaller. Memory is reserved before the first byte changes. This
    /// is not one step: meanwhile, a program can see old and new bytes side by side, while with --replace it never does. A
    /// missing object is created, so that a typo in NAME makes a new object.
    #[arg(long, help_heading = EXISTING, requires = "from", conflicts_with_all = ["exist_ok", "resize", "replace"])]
    pub overwrite: bool,

    /// Objects to create
    #[arg(value_name = "NAME", required = true, value_parser = names_or_labels())]
    pub names: Vec<ShmName>,

    /// Run this command, and remove the objects when it ends
    ///
    /// Only objects that shmtool created are removed. The exit status is that of COMMAND.
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// The heading of the options that select objects.
const SELECTION: &str = "Which objects";

/// The heading of the options that choose what `ls` shows of each object.
const CONTENTS: &str = "What to show";

/// The heading of the options that choose how `ls` prints it.
const FORMAT: &str = "How to print";

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/ls.txt"))]
pub struct LsArgs {
    /// Objects to list (default: all)
    // Before the filters, because their heading would apply to it.
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    /// Include named semaphores
    ///
    /// A named semaphore is an object with the name sem.NAME (sem_overview(7)).
    #[arg(short, long, help_heading = SELECTION)]
    pub all: bool,

    #[command(flatten)]
    pub target: TargetArgs,

    /// List the objects of all containers on this machine
    ///
    /// A container usually has a /dev/shm of its own. The column PLACE shows its container: the ID (Docker, containerd,
    /// CRI-O, Podman) or the name (LXC, systemd-nspawn), or else the ID of a process in it; - is the /dev/shm of the
    /// caller. A container that cannot be entered is named on standard error.
    #[arg(long, help_heading = SELECTION, conflicts_with_all = ["target", "only_names"])]
    pub everywhere: bool,

    /// List objects without a name that are still in use
    ///
    /// Such an object has been removed, but a process still has it open or mapped, so its memory is not free yet. df
    /// counts this memory. The list includes the processes, as with -p.
    #[arg(long, help_heading = SELECTION, conflicts_with_all = ["names", "unused", "target"])]
    pub unlinked: bool,

    /// List all shared memory that has no name in /dev/shm
    ///
    /// Such memory never appears in /dev/shm, but it counts as shared memory (Shmem in /proc/meminfo). There are four types:
    /// unlinked (an object whose name was removed while programs used it), memfd (memory that a program created with a
    /// label instead of a name, and usually shares with programs that it knows), anonymous (memory that a program shares
    /// with the processes it started), and sysv (a System V segment, an older kind of shared memory that has a number and
    /// a key; it stays, even if nobody uses it, until somebody removes it with ipcrm). The list includes the processes,
    /// as with -p. Run this as root to see the memory of all users.
    #[arg(long, help_heading = SELECTION, conflicts_with_all = ["names", "unlinked", "unused", "target"])]
    pub nameless: bool,
    /// Show where all shared memory of the machine is
    ///
    /// There is one row for each kind of shared memory: named objects, removed objects that are still in use, memory
    /// that programs share without a name (memfds, anonymous mappings, System V segments), the /dev/shm of containers,
    /// and other file systems that are stored in memory (tmpfs), such as /run. The rows add up to Shmem in
    /// /proc/meminfo, which free(1) calls shared. The row difference is what was not found. Only root sees everything.
    /// NOTES in shmtool-ls(1) explain the rows.
    #[arg(long, help_heading = SELECTION)]
    #[arg(conflicts_with_all = ["names", "all", "unlinked", "globs", "owner", "older_than", "larger_than", "pid"])]
    #[arg(conflicts_with_all = ["unused", "in_use", "processes", "output", "sort", "reverse", "numeric", "color"])]
    #[arg(conflicts_with_all = ["only_names", "nul", "target", "nameless"])]
    pub summary: bool,

    #[command(flatten)]
    pub filters: FilterArgs,

    /// A process has it open or mapped, or might have
    ///
    /// The kernel tells this only to the owner of an object and to root; other objects are listed because they might be
    /// in use.
    #[arg(long, help_heading = FILTERS, conflicts_with_all = ["unused", "unlinked", "nameless"])]
    pub in_use: bool,

    /// Show the processes that use each object
    ///
    /// There is one row for each object and process, with the columns PID, USER, ACCESS (r means read, w means write)
    /// and COMMAND. If nobody uses the object, these columns show -. They show ? if the object may be in use by a process
    /// that you cannot see: one that you may not inspect, or one in another container.
    #[arg(short, long, help_heading = CONTENTS)]
    pub processes: bool,

    #[arg(short, long, value_name = "LIST", help_heading = CONTENTS)]
    #[arg(help = columns_help(), long_help = columns_long_help())]
    #[arg(value_parser = parser(selection::parse))]
    pub output: Vec<List>,

    /// Sort by name, size, allocated, age, owner, pid or place
    ///
    /// The largest size, the most allocated memory, the oldest object and the lowest pid come first. The key pid needs
    /// -p; place is useful with --everywhere.
    #[arg(long, value_name = "KEY", value_enum, default_value_t = SortKey::Name, hide_possible_values = true)]
    #[arg(hide_default_value = true, help_heading = FORMAT)]
    pub sort: SortKey,

    /// Reverse the order
    #[arg(short, long, help_heading = FORMAT)]
    pub reverse: bool,

    /// Print sizes in bytes: 4096 instead of 4KiB
    #[arg(short, long, help_heading = FORMAT)]
    pub bytes: bool,

    /// Print users and groups as numbers
    ///
    /// -n has this meaning in ls(1) too. In shmtool unlink, -n means --dry-run.
    #[arg(short, long, help_heading = FORMAT)]
    pub numeric: bool,

    /// Use colors: auto (on a terminal), always or never
    ///
    /// With auto, there are no colors if the environment variable NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    #[arg(hide_default_value = true, help_heading = FORMAT)]
    pub color: Color,

    /// Do not print the header
    #[arg(long, help_heading = FORMAT)]
    pub no_header: bool,

    /// Print only names, one per line, for scripts
    #[arg(short = 'q', long = "names", help_heading = FORMAT)]
    #[arg(conflicts_with_all = ["json", "output", "processes", "nameless"])]
    pub only_names: bool,

    /// With -q, end each name with a NUL byte, for xargs -r0
    ///
    /// A name can contain a newline, but not a NUL byte.
    #[arg(short = '0', long = "null", requires = "only_names", help_heading = FORMAT)]
    pub nul: bool,

    /// Print everything that is known, as JSON
    ///
    /// -p adds the processes. With -o, only the columns in LIST are printed. shmtool-ls(1) describes the schema.
    #[arg(short = 'J', long, help_heading = FORMAT)]
    pub json: bool,
}

fn columns_help() -> String {
    let keys: Vec<_> = Column::offered().map(|column| column.key).collect();
    format!(
        "Show these columns; +LIST adds to the default ones. Columns: {}, {ALL}",
        keys.join(", ")
    )
}

fn columns_long_help() -> String {
    let describe = |subject| {
        let columns = Column::offered().filter(|column| column.subject == subject);
        let columns = columns.map(|column| format!("{} ({})", column.key, column.help));
        columns.collect::<Vec<_>>().join(", ")
    };
    format!(
        "Show these columns; +LIST adds to the default ones\n\nColumns of the object: {}. Columns of each process that uses \
         it, which imply -p: {}. {ALL} means all columns of the object except in-use; with -p, also those of the \
         processes. in-use asks the kernel (see NOTES in shmtool-ls(1)). If -o is given several times, the LISTs add up.",
        describe(Subject::Object),
        describe(Subject::Process)
    )
}

impl LsArgs {
    /// Returns whether neither NAMEs nor filters leave objects out.
    pub fn lists_everything(&self) -> bool {
        self.names.is_empty()
            && self.filters.is_empty()
            && !self.in_use
            && !self.unlinked
            && !self.nameless
    }

    /// Returns the columns of the table, or the members of each object in JSON.
    pub fn columns(&self) -> Vec<&'static Column> {
        let is_default = |column: &Column| match column.shown {
            // The mode and age of memory without a name say little.
            Shown::Always if self.nameless && !self.json => !["mode", "age"].contains(&column.key),
            Shown::Always => true,
            Shown::InAll if self.nameless && column.key == "type" => true,
            Shown::Legacy => self.json && !self.nameless,
            Shown::InAll | Shown::InJson => self.json,
            Shown::IfNameless => self.json && self.nameless,
            Shown::Everywhere => self.everywhere,
            Shown::EverywhereInAll | Shown::EverywhereInJson => self.json && self.everywhere,
            Shown::IfNamed => false,
        };
        let is_offered = |shown| match shown {
            Shown::IfNameless => self.nameless,
            Shown::Everywhere | Shown::EverywhereInAll => self.everywhere,
            _ => false,
        };
        let processes = self.asks_for_processes();
        let mut columns = selection::columns(&self.output, processes, is_offered, is_default);
        let first = columns.iter().position(|column| column.key == "type");
        if let Some(first) = first
            && self.nameless
            && !selection::replaces_default(&self.output)
        {
            columns[..=first].rotate_right(1);
        }
        columns
    }

    /// Returns whether an option asks for the processes.
    pub fn asks_for_processes(&self) -> bool {
        self.processes || self.unlinked || self.nameless || selection::names_processes(&self.output)
    }
}

/// The heading of the options that choose how `unlink` removes and reports.
const REMOVAL: &str = "How to remove";

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/unlink.txt"))]
pub struct UnlinkArgs {
    /// Objects to remove
    // Before the filters, because their heading would apply to it.
    #[arg(value_name = "NAME", value_parser = names())]
    pub names: Vec<ShmName>,

    /// Include named semaphores
    ///
    /// A named semaphore is an object with the name sem.NAME (sem_overview(7)). A PATTERN for it starts with sem. too.
    #[arg(short, long, help_heading = SELECTION)]
    pub all: bool,

    #[command(flatten)]
    pub target: TargetArgs,

    /// With filters, sweep this machine and all containers on it
    ///
    /// Each container's /dev/shm is swept with at most the rights of its root, and the /dev/shm of the caller is swept too.
    /// A container that cannot be entered now is named on standard error; with -v or -n, also one that never can be.
    #[arg(long, conflicts_with = "target", help_heading = SELECTION)]
    pub everywhere: bool,

    /// With filters, also remove objects that are in use
    ///
    /// Processes that use the objects keep the memory. Without filters this option changes nothing: a NAME alone is
    /// removed whether or not it is in use.
    #[arg(long, conflicts_with = "unused", help_heading = SELECTION)]
    pub include_in_use: bool,

    #[command(flatten)]
    pub filters: FilterArgs,

    /// Ignore missing NAMEs
    ///
    /// If there is neither a NAME nor a filter, there is nothing to do, and that is not an error either.
    #[arg(short, long, help_heading = REMOVAL)]
    pub force: bool,

    /// Remove nothing, print what would be removed
    ///
    /// The output is that of --verbose. In shmtool ls, -n means --numeric.
    #[arg(short = 'n', long, help_heading = REMOVAL)]
    pub dry_run: bool,

    /// Print each removed object, and a summary after a sweep
    ///
    /// Each row shows the object's name, size, owner and age, as ls does, and is printed as soon as the object is removed.
    /// The summary goes to standard error. It says how many objects were kept, and why.
    #[arg(short, long, help_heading = REMOVAL)]
    pub verbose: bool,

    /// Use colors: auto (on a terminal), always or never
    ///
    /// With auto, there are no colors if the environment variable NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    #[arg(hide_default_value = true, help_heading = REMOVAL)]
    pub color: Color,
}
