//! The options of `read-int`.

use super::integers::{INTEGER, Operand, Place};
use super::target::TargetArgs;
use super::values::{conditions, parser, usage_error};
use crate::exit::Failure;
use crate::notation::condition::{Condition, Test};
use crate::notation::duration;
use clap::Args;
use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

/// The heading of the options that wait.
const WAITING: &str = "Waiting";

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/read-int.txt"))]
pub struct ReadIntArgs {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub target: TargetArgs,

    /// The operand is a FILE, which is mapped into memory
    ///
    /// FILE can also be a block device, a device such as /dev/mem, or a descriptor that shmtool inherits: /dev/fd/3. It must
    /// exist and be large enough.
    #[arg(long, help_heading = INTEGER, conflicts_with = "target")]
    pub file: bool,

    /// Print N integers, or all up to the end of the object
    ///
    /// The default is 1. If bytes remain after the last complete integer, a message on standard error says so. With --follow,
    /// N is the number of lines, and the default is no limit.
    #[arg(
        long,
        help_heading = INTEGER,
        value_name = "N|all",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(str::parse::<Count>))]
    pub count: Option<Count>,

    /// Print all bits in hexadecimal, such as 0x0000002a
    #[arg(short = 'x', long)]
    pub hex: bool,

    /// Sleep until the condition is true: 5, ne:0, ge:4
    ///
    /// The integer is compared with VALUE. OP is eq (equal), ne (not equal), lt (less than), le (less than or equal), gt
    /// (greater than) or ge (greater than or equal). The default is eq, so 5 means eq:5. A missing object is waited for.
    /// With --count, only the first integer is compared.
    #[arg(long, value_name = "[OP:]VALUE", allow_hyphen_values = true, help_heading = WAITING)]
    #[arg(value_parser = conditions())]
    pub until: Option<Condition>,

    /// Print the integer now, and again after every change
    ///
    /// Each line differs from the one before. If the integer changes quickly, not every value is printed, but the last one
    /// always is. A missing object is waited for. shmtool ends when it is killed, when nobody reads its output any more,
    /// after N lines (--count N), or after the time given with --timeout.
    #[arg(long, conflicts_with = "until", help_heading = WAITING)]
    pub follow: bool,

    /// Give up after DURATION (status 124); 0 checks once
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, a combination (1h30m), or a number of seconds (0.5).
    #[arg(
        long,
        help_heading = WAITING,
        value_name = "DURATION",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(duration::parse))]
    pub timeout: Option<Duration>,

    /// Object to read from; with --file, a file
    #[arg(value_name = "NAME")]
    pub operand: OsString,
}

impl ReadIntArgs {
    /// Returns the object or file.
    ///
    /// # Errors
    ///
    /// Fails if the operand is not a NAME, without `--file`.
    pub fn operand(&self) -> Result<Operand, Failure> {
        Operand::new(&self.operand, self.file, &self.target)
    }

    /// Returns the condition to wait for, if any.
    ///
    /// # Errors
    ///
    /// Fails if VALUE is out of the type's range, or if the offset does not allow atomic operations.
    pub fn test(&self) -> anyhow::Result<Option<Test>> {
        if self.timeout.is_some() && self.until.is_none() && !self.follow {
            return Err(Failure::usage("--timeout needs --until or --follow").into());
        }
        if self.follow {
            if self.count == Some(Count::All) {
                return Err(Failure::usage("--follow prints one integer, not all").into());
            }
            self.place.require_alignment("--follow")?;
        }
        let Some(condition) = &self.until else {
            return Ok(None);
        };
        self.place.require_alignment("--until")?;
        Ok(Some(
            condition
                .for_type(self.place.int_type)
                .map_err(usage_error)?,
        ))
    }
}

/// How many integers to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Some(u64),
    /// All complete integers up to the end of the object.
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
