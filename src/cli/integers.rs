//! The options of `write-int` and `read-int`.

use super::target::TargetArgs;
use super::values::{conditions, names, parser, usage_error, values};
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

/// The heading, in the help, of the options that select an integer.
const INTEGER: &str = "Which integer";

/// The heading of the options that change an integer depending on its value.
const UPDATE: &str = "Atomic operations";

/// The heading of the options that wait.
const WAITING: &str = "Waiting";

#[derive(Debug, Args)]
#[group(skip)]
pub struct WriteIntArgs {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Do not create a missing object, but fail (status 3)
    #[arg(long)]
    pub no_create: bool,

    /// Add VALUE to the integer and print the sum
    ///
    /// VALUE may be negative, even if TYPE is unsigned. If the sum does not fit the type, that is an error and changes
    /// nothing. A missing object counts as 0.
    #[arg(long, help_heading = UPDATE, conflicts_with_all = ["swap", "old"])]
    pub add: bool,

    /// Store VALUE and print the previous integer
    ///
    /// A missing object counts as 0.
    #[arg(long, help_heading = UPDATE, conflicts_with = "old")]
    pub swap: bool,

    /// Store VALUE only if the integer is OLD (if not: status 5)
    ///
    /// If the integer is not OLD, nothing is changed and nothing is printed. A missing object counts as 0.
    #[arg(long = "if", value_name = "OLD", allow_hyphen_values = true)]
    #[arg(help_heading = UPDATE, value_parser = parser(str::parse::<Value>))]
    pub old: Option<Value>,

    /// Object to write to
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,

    /// Integer to store: -5, 1_000, or bits: 0xff, 0o17, 0b101
    ///
    /// A VALUE that starts with 0x, 0o or 0b is the bit pattern of the type: 0xffffffff is -1 as an i32. --add, --swap
    /// and --if take exactly one VALUE.
    #[arg(value_name = "VALUE", required = true, value_parser = values())]
    pub values: Vec<Value>,
}

/// What `write-int` does.
#[derive(Debug)]
pub enum Change {
    /// Stores consecutive integers, one after the other.
    Store(Vec<Int>),
    /// Changes one integer with an atomic operation.
    Update(Update),
}

/// An atomic operation on one integer.
#[derive(Debug, Clone, Copy)]
pub enum Update {
    /// Adds the operand. It has more bits than any type, because it may be negative for unsigned types too.
    Add(i128),
    /// Stores the operand and returns the previous integer.
    Swap(Int),
    /// Stores `new` if the integer is `old`.
    If { old: Int, new: Int },
}

impl WriteIntArgs {
    /// Returns the change that the options and VALUEs ask for.
    ///
    /// # Errors
    ///
    /// Fails if a VALUE is out of the type's range. With `--add`, `--swap` or `--if`, it also fails if there are several
    /// VALUEs, or if the offset does not allow atomic operations.
    pub fn change(&self) -> anyhow::Result<Change> {
        let int_type = self.place.int_type;
        let option = match self.old {
            _ if self.add => "--add",
            _ if self.swap => "--swap",
            Some(_) => "--if",
            None => {
                let ints = self.values.iter().map(|value| value.as_int(int_type));
                return Ok(Change::Store(
                    ints.collect::<Result<_, _>>().map_err(usage_error)?,
                ));
            }
        };
        let [value] = &self.values[..] else {
            return Err(Failure::usage(format!("{option} takes one VALUE")).into());
        };
        self.place.require_alignment(option)?;
        Ok(Change::Update(match &self.old {
            _ if self.add => Update::Add(value.as_amount(int_type).map_err(usage_error)?),
            _ if self.swap => Update::Swap(value.as_int(int_type).map_err(usage_error)?),
            old => Update::If {
                old: old
                    .as_ref()
                    .unwrap_or(value)
                    .as_int(int_type)
                    .map_err(usage_error)?,
                new: value.as_int(int_type).map_err(usage_error)?,
            },
        }))
    }
}

#[derive(Debug, Args)]
#[group(skip)]
pub struct ReadIntArgs {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Print N integers, or all up to the end of the object
    ///
    /// If bytes remain after the last complete integer, a message on standard error says so.
    #[arg(
        long,
        help_heading = INTEGER,
        value_name = "N|all",
        default_value = "1",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(str::parse::<Count>))]
    pub count: Count,

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

    /// Give up after DURATION (status 124); 0 checks once
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, a combination (1h30m), or a number of seconds (0.5).
    #[arg(
        long,
        help_heading = WAITING,
        value_name = "DURATION",
        requires = "until",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(duration::parse))]
    pub timeout: Option<Duration>,

    /// Object to read from
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: ShmName,
}

impl ReadIntArgs {
    /// Returns the condition to wait for, if any.
    ///
    /// # Errors
    ///
    /// Fails if VALUE is out of the type's range, or if the offset does not allow atomic operations.
    pub fn test(&self) -> anyhow::Result<Option<Test>> {
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

// The type of the integer and its position in the object. (clap would show a doc comment as the description of the verb.)
#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub struct Place {
    /// Type: i8 i16 i32 i64 u8 u16 u32 u64
    ///
    /// The number is the width in bits; i is signed, u is unsigned. i32 is the int of C. The byte order is that of the
    /// machine.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum, default_value_t = IntType::I32)]
    #[arg(hide_possible_values = true, help_heading = INTEGER)]
    pub int_type: IntType,

    /// Position in the object, in bytes
    ///
    /// A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T.
    #[arg(
        long,
        help_heading = INTEGER,
        value_name = "SIZE",
        default_value = "0",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(size::parse))]
    pub offset: u64,
}

impl Place {
    /// Returns the width of the integer in bytes.
    pub fn width(&self) -> u64 {
        self.int_type.width() as u64
    }

    /// Returns the offset of the end of `count` integers.
    pub fn end(&self, count: u64) -> u64 {
        self.offset
            .saturating_add(count.saturating_mul(self.width()))
    }

    /// Returns whether atomic operations work at the offset: the processor needs natural alignment.
    pub fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(self.width())
    }

    fn require_alignment(&self, option: &str) -> Result<(), Failure> {
        let (name, width, offset) = (self.int_type.name(), self.width(), self.offset);
        match self.is_aligned() {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "{option} needs an offset that is a multiple of {width} (the width of {name}), not {offset}"
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
