//! The options of `write-int`.

use super::integers::{INTEGER, Operand, Place};
use super::target::TargetArgs;
use super::values::{conditions, parser, usage_error, values};
use crate::exit::Failure;
use crate::notation::condition::{Condition, Test};
use crate::notation::duration;
use crate::notation::value::Value;
use crate::sys::memory::int::Int;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

/// The heading of the options that change an integer depending on its value.
const UPDATE: &str = "Atomic operations";

/// The heading of the options for conditions.
const CONDITION: &str = "Conditions";

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/write-int.txt"))]
pub struct WriteIntArgs {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub target: TargetArgs,

    /// The operand is a FILE, which is mapped into memory
    ///
    /// The change reaches the file and every program that maps it. FILE can also be a block device, a device such as
    /// /dev/mem, or a descriptor that shmtool inherits: /dev/fd/3. It must exist and be large enough; it is never created
    /// and never grown.
    #[arg(long, help_heading = INTEGER, conflicts_with_all = ["target", "no_create"])]
    pub file: bool,

    /// Wait until the change is on disk
    ///
    /// Without this, the change is visible to all programs at once, but lost if the machine loses power soon after.
    #[arg(long, help_heading = INTEGER, requires = "file")]
    pub sync: bool,

    /// Do not create a missing object, but fail (status 3)
    ///
    /// With --wait, wait until somebody creates it.
    #[arg(long)]
    pub no_create: bool,

    /// Add VALUE to the integer and print the sum
    ///
    /// VALUE may be negative, even if TYPE is unsigned. If the sum does not fit the type, that is an error and changes
    /// nothing. A missing object counts as 0.
    #[arg(long, help_heading = UPDATE, conflicts_with_all = ["swap", "or", "and", "xor"])]
    pub add: bool,

    /// Store VALUE and print the previous integer
    ///
    /// A missing object counts as 0.
    #[arg(long, help_heading = UPDATE, conflicts_with_all = ["or", "and", "xor"])]
    pub swap: bool,

    /// Set the bits that are 1 in VALUE and print the result
    #[arg(long, help_heading = UPDATE, conflicts_with_all = ["and", "xor"])]
    pub or: bool,

    /// Clear the bits that are 0 in VALUE and print the result
    #[arg(long, help_heading = UPDATE, conflicts_with = "xor")]
    pub and: bool,

    /// Flip the bits that are 1 in VALUE and print the result
    #[arg(long, help_heading = UPDATE)]
    pub xor: bool,

    /// Print the result in hexadecimal, such as 0x0000002a
    #[arg(short = 'x', long, help_heading = UPDATE)]
    pub hex: bool,

    /// Change the integer only if it is 5, ne:0, ge:4 (if not: status 5)
    ///
    /// The integer is compared with VALUE. OP is eq (equal), ne (not equal), lt (less than), le (less than or equal), gt
    /// (greater than) or ge (greater than or equal). The default is eq, so 5 means eq:5. The test and the change are one
    /// atomic step. If the condition is false, nothing is changed and nothing is printed. A missing object counts as 0.
    #[arg(long = "if", value_name = "[OP:]VALUE", allow_hyphen_values = true)]
    #[arg(help_heading = CONDITION, value_parser = conditions())]
    pub condition: Option<Condition>,

    /// Wait until the condition is true
    ///
    /// If several processes wait, one of them gets the chance first, in no particular order. A shmtool that is killed
    /// while it waits leaves nothing behind. (If only the script that started it is killed, it goes on waiting.)
    #[arg(long, help_heading = CONDITION, requires = "condition")]
    pub wait: bool,

    /// Give up waiting after DURATION (status 124); 0 checks once
    ///
    /// A DURATION is 250ms, 30s, 10m, 4h, 2d, a combination (1h30m), or a number of seconds (0.5).
    #[arg(
        long,
        help_heading = CONDITION,
        value_name = "DURATION",
        requires = "wait",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = parser(duration::parse))]
    pub timeout: Option<Duration>,

    /// Object to write to; with --file, a file
    #[arg(value_name = "NAME")]
    pub operand: OsString,

    /// Integer to store: -5, 1_000, or bits: 0xff, 0o17, 0b101
    ///
    /// A VALUE that starts with 0x, 0o or 0b is the bit pattern of the type: 0xffffffff is -1 as an i32. With --or, --and
    /// and --xor, a negative VALUE is a bit pattern too: --and NAME $((~0x10)) clears a bit, whatever the type. The options
    /// that change an integer atomically take exactly one VALUE.
    #[arg(value_name = "VALUE", required = true, value_parser = values())]
    pub values: Vec<Value>,
}

/// What `write-int` does.
#[derive(Debug)]
pub enum Change {
    /// Stores consecutive integers, one after the other.
    Store(Vec<Int>),
    /// Changes one integer in one atomic step.
    Update(Update),
}

/// An atomic change of one integer.
#[derive(Debug)]
pub struct Update {
    /// How the integer changes.
    pub operation: Operation,
    /// The condition for the change, if any.
    pub condition: Option<Test>,
}

/// How an integer changes.
#[derive(Debug, Clone, Copy)]
pub enum Operation {
    /// Stores the operand.
    Store(Int),
    /// Stores the operand, and the previous integer is the result.
    Swap(Int),
    /// Adds the operand. It has more bits than any type, because it may be negative for unsigned types too.
    Add(i128),
    /// Sets bits.
    Or(Int),
    /// Clears bits.
    And(Int),
    /// Flips bits.
    Xor(Int),
}

impl Operation {
    /// Returns the new integer, or None if it does not fit the type.
    pub fn apply(self, old: Int) -> Option<Int> {
        match self {
            Operation::Store(new) | Operation::Swap(new) => Some(new),
            Operation::Add(amount) => old.checked_add(amount),
            Operation::Or(operand) => Some(old.combine(operand, |a, b| a | b)),
            Operation::And(operand) => Some(old.combine(operand, |a, b| a & b)),
            Operation::Xor(operand) => Some(old.combine(operand, |a, b| a ^ b)),
        }
    }
}

impl Update {
    /// Returns whether the integer may change.
    pub fn may_change(&self, old: Int) -> bool {
        self.condition.as_ref().is_none_or(|test| test.holds(old))
    }
}

impl WriteIntArgs {
    /// Returns the object or file.
    ///
    /// # Errors
    ///
    /// Fails if the operand is not a NAME, without `--file`.
    pub fn operand(&self) -> Result<Operand, Failure> {
        Operand::new(&self.operand, self.file, &self.target)
    }

    /// Returns the change that the options and VALUEs ask for.
    ///
    /// # Errors
    ///
    /// Fails if a VALUE is out of the type's range. For an atomic change, it also fails if there are several VALUEs, or if
    /// the offset does not allow atomic operations.
    pub fn change(&self) -> anyhow::Result<Change> {
        let int_type = self.place.int_type;
        let option = match () {
            () if self.add => "--add",
            () if self.swap => "--swap",
            () if self.or => "--or",
            () if self.and => "--and",
            () if self.xor => "--xor",
            () if self.condition.is_some() => "--if",
            () => {
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
        let operation = match option {
            "--add" => Operation::Add(value.as_amount(int_type).map_err(usage_error)?),
            "--or" => Operation::Or(value.as_bits(int_type).map_err(usage_error)?),
            "--and" => Operation::And(value.as_bits(int_type).map_err(usage_error)?),
            "--xor" => Operation::Xor(value.as_bits(int_type).map_err(usage_error)?),
            "--swap" => Operation::Swap(value.as_int(int_type).map_err(usage_error)?),
            _ => Operation::Store(value.as_int(int_type).map_err(usage_error)?),
        };
        let condition = self.condition.as_ref();
        let condition = condition.map(|condition| condition.for_type(int_type));
        Ok(Change::Update(Update {
            operation,
            condition: condition.transpose().map_err(usage_error)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::int::IntType;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn operations_give_what_those_of_i16_give(old: i16, operand: i16, amount in -65_536..65_536_i128) {
            let int = |value: i16| Int::new(IntType::I16, value.into()).unwrap();
            let apply = |operation: Operation| operation.apply(int(old));
            prop_assert_eq!(apply(Operation::Store(int(operand))), Some(int(operand)));
            prop_assert_eq!(apply(Operation::Swap(int(operand))), Some(int(operand)));
            prop_assert_eq!(apply(Operation::Or(int(operand))), Some(int(old | operand)));
            prop_assert_eq!(apply(Operation::And(int(operand))), Some(int(old & operand)));
            prop_assert_eq!(apply(Operation::Xor(int(operand))), Some(int(old ^ operand)));
            let sum = i16::try_from(i128::from(old) + amount);
            prop_assert_eq!(apply(Operation::Add(amount)), sum.ok().map(int));
        }

        #[test]
        fn operations_give_what_those_of_u64_give(old: u64, operand: u64) {
            let int = |value: u64| Int::new(IntType::U64, value.into()).unwrap();
            let apply = |operation: Operation| operation.apply(int(old));
            prop_assert_eq!(apply(Operation::Or(int(operand))), Some(int(old | operand)));
            prop_assert_eq!(apply(Operation::And(int(operand))), Some(int(old & operand)));
            prop_assert_eq!(apply(Operation::Xor(int(operand))), Some(int(old ^ operand)));
            let (sum, difference) = (old.checked_add(operand), old.checked_sub(operand));
            prop_assert_eq!(apply(Operation::Add(operand.into())), sum.map(int));
            prop_assert_eq!(apply(Operation::Add(-i128::from(operand))), difference.map(int));
        }
    }
}
