//! The options of `write-int` and `read-int`.

use super::values::{conditions, names, parser, usage};
use crate::exit::Failure;
use crate::notation::condition::{Condition, Test};
use crate::notation::value::Value;
use crate::notation::{duration, size};
use crate::sys::memory::int::{Int, IntType};
use crate::sys::shm::name::ShmName;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct WriteIntArgs {
    #[command(flatten)]
    pub place: Place,

    /// A missing object is an error (status 3), and is not made
    #[arg(long)]
    pub no_create: bool,

    /// Add VALUE to the integer, and print the new one
    ///
    /// VALUE may be negative for every TYPE. A sum that does not fit the type is an error, and changes nothing. A missing
    /// object counts as 0.
    #[arg(long, conflicts_with_all = ["swap", "old"])]
    pub add: bool,

    /// Store VALUE, and print the integer that was there before
    ///
    /// A missing object counts as 0.
    #[arg(long, conflicts_with = "old")]
    pub swap: bool,

    /// Store VALUE only if the integer is OLD; else the status is 5
    ///
    /// If it is not, nothing is changed or said. A missing object counts as 0.
    #[arg(long = "if", value_name = "OLD", allow_hyphen_values = true)]
    #[arg(value_parser = parser(str::parse::<Value>))]
    pub old: Option<Value>,

    /// The object to store into
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,

    /// The integer: -5, 1_000, or bits as 0xff, 0o17, 0b101
    ///
    /// Bits are those of the type: 0xffffffff is -1 as an i32. With --add, --swap or --if there is just one VALUE.
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
                return Ok(Change::Store(
                    ints.collect::<Result<_, _>>().map_err(usage)?,
                ));
            }
        };
        let [value] = &self.values[..] else {
            return Err(Failure::usage(format!("{option} takes one VALUE")).into());
        };
        self.place.check_atomic(option)?;
        Ok(Change::Update(match &self.old {
            _ if self.add => Update::Add(value.as_amount(int_type).map_err(usage)?),
            _ if self.swap => Update::Swap(value.as_int(int_type).map_err(usage)?),
            old => Update::If {
                old: old
                    .as_ref()
                    .unwrap_or(value)
                    .as_int(int_type)
                    .map_err(usage)?,
                new: value.as_int(int_type).map_err(usage)?,
            },
        }))
    }
}

#[derive(Debug, Args)]
pub struct ReadIntArgs {
    #[command(flatten)]
    pub place: Place,

    /// Print this many integers, or all to the end of the object
    ///
    /// Bytes after the last whole one are told on standard error.
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

    /// Wait until the integer is VALUE; ge:4 is 4 or more
    ///
    /// It waits for the object too. OP is one of eq (equal), ne (not equal), lt (less than), le (less or equal), gt
    /// (greater than), ge (greater or equal); eq if it is left out. With --count, the first integer is waited for.
    #[arg(long, value_name = "[OP:]VALUE", allow_hyphen_values = true)]
    #[arg(value_parser = conditions())]
    pub until: Option<Condition>,

    /// Give up after this time (status 124): 30s, 10m; 0 looks once
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, these joined (1h30m), or seconds (0.5).
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
        Ok(Some(condition.of_type(self.place.int_type).map_err(usage)?))
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
    /// The integer's type: i8 i16 i32 i64 u8 u16 u32 u64
    ///
    /// The number is its width in bits, i is signed and u is not; i32 is C's int.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum, default_value_t = IntType::I32)]
    #[arg(hide_possible_values = true)]
    pub int_type: IntType,

    /// How many bytes into the object the integer starts
    ///
    /// A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T.
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

    fn check_atomic(&self, option: &str) -> Result<(), Failure> {
        let (name, width, offset) = (self.int_type.name(), self.width(), self.offset);
        match self.is_aligned() {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "{option} needs an aligned offset: {offset} is not a multiple of {width}, the width of {name}"
            ))),
        }
    }
}

impl ValueEnum for IntType {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
