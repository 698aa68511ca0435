//! The filters of `ls` and `unlink`.

use super::values::parser;
use crate::exit::Failure;
use crate::notation::duration::{self, Written};
use crate::notation::size;
use crate::objects::filter::{self, Filter, MinAge, NameFilter, Pattern, ProcessFiles};
use crate::sys::shm::directory::Directory;
use clap::Args;

/// The heading of the filters.
pub(super) const FILTERS: &str = "Filters (all must match)";

// (clap would show a doc comment as the description of the verb.)
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = FILTERS)]
pub struct FilterArgs {
    /// Name matches PATTERN; !PATTERN: does not match
    ///
    /// In a PATTERN, * matches any text, ? any single byte, [a-z] one byte of this range, and {a,b} either a or b. A slash
    /// or /dev/shm/ in front of PATTERN makes no difference. If there are several patterns, the name must match at least
    /// one of those without !, and none of those with !.
    #[arg(short, long = "glob", value_name = "PATTERN", value_parser = parser(filter::parse_pattern))]
    pub globs: Vec<Pattern>,

    /// Owned by this user, given by name or number
    #[arg(long, value_name = "USER|UID", value_parser = parser(filter::parse_owner))]
    pub owner: Vec<u32>,

    /// Not modified for this long: 30s, 10m, 4h, 2d
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, a combination (1h30m), or a number of seconds (0.5). A change of mode,
    /// owner or names counts as a modification, and so does shmtool write-int. A store of another program to mapped
    /// memory does not always count.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parser(duration::parse_written))]
    pub older_than: Vec<Written>,

    /// More memory allocated than this: 64K, 1M
    ///
    /// The allocated memory can be less than the size of the object. An object with exactly SIZE does not match.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(size::parse))]
    pub larger_than: Vec<u64>,

    /// Process PID has it open or mapped
    ///
    /// You need permission to inspect the process. shmtool unlink --pid also needs --include-in-use.
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(value_parser = parser(filter::parse_pid))]
    pub pid: Vec<i32>,

    /// No process anywhere has it open or mapped
    ///
    /// Processes in other containers count too. The kernel tells this only to the owner of an object and to root; other
    /// objects do not match. An object that only shell scripts use is unused between two of their commands.
    #[arg(long)]
    pub unused: bool,
}

impl FilterArgs {
    /// Returns whether no filter is given.
    pub fn is_empty(&self) -> bool {
        let Self {
            globs,
            owner,
            older_than,
            larger_than,
            pid,
            unused,
        } = self;
        let has_no_value = owner.is_empty() && older_than.is_empty() && larger_than.is_empty();
        globs.is_empty() && has_no_value && pid.is_empty() && !unused
    }

    /// Returns the filter, in which all options count, even one that is given twice, without `--unused` and `--in-use`, which need the kernel.
    ///
    /// # Errors
    ///
    /// Fails if the PATTERNs are too large, or if the process cannot be inspected.
    pub fn filter(&self, directory: &Directory) -> anyhow::Result<Filter> {
        let names =
            NameFilter::new(&self.globs).map_err(|error| Failure::usage(error.to_string()))?;
        let processes = self.pid.iter();
        let processes = processes.map(|&pid| ProcessFiles::inspect(pid, directory));
        Ok(Filter {
            names,
            owners: self.owner.clone(),
            min_age: self.older_than.iter().max().cloned().map(MinAge::new),
            larger_than: self.larger_than.iter().max().copied(),
            processes: processes.collect::<Result<_, _>>()?,
        })
    }
}
