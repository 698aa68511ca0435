//! What `write-int` and `read-int` share: which integer in which object or file.

use super::target::TargetArgs;
use super::values::{parse_name, parser, without_prefix};
use crate::exit::Failure;
use crate::notation::size;
use crate::objects::place::Selector;
use crate::sys::memory::int::{Endian, Int, IntType};
use crate::sys::shm::name::{NameError, ShmName};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::ffi::{OsStr, OsString};

/// The heading, in the help, of the options that select an integer.
pub(super) const INTEGER: &str = "Which integer";

/// The operand of `write-int` and `read-int`.
#[derive(Debug)]
pub enum Operand {
    /// A shared memory object.
    Object {
        /// Its name.
        name: ShmName,
        /// Whose directory it is in.
        target: Option<Selector>,
    },
    /// A file.
    File(OsString),
}

impl Operand {
    /// Interprets the operand.
    ///
    /// # Errors
    ///
    /// Fails if it is not a NAME, without `--file`.
    pub(super) fn new(
        operand: &OsStr,
        is_file: bool,
        target: &TargetArgs,
    ) -> Result<Operand, Failure> {
        if is_file {
            return Ok(Operand::File(without_prefix(operand).to_owned()));
        }
        match (parse_name(operand), ShmName::new(operand)) {
            (Err(failure), Err(NameError::Slash)) => Err(failure.hint("to use a file, add --file")),
            (name, _) => Ok(Operand::Object {
                name: name?,
                target: target.target.clone(),
            }),
        }
    }
}

// The type of the integer and its position in the object. (clap would show a doc comment as the description of the verb.)
#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub struct Place {
    /// Type: i8 i16 i32 i64 u8 u16 u32 u64
    ///
    /// The number is the width in bits; i is signed, u is unsigned. i32 is the int of C.
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

    /// Order of the bytes in memory: big or little
    ///
    /// big: the most significant byte comes first, as in network protocols. little: the least significant byte comes
    /// first. The default is the order of this machine. Everything else, such as VALUEs, sums and what is printed, is about
    /// the integer.
    #[arg(long, value_name = "ORDER", value_enum, hide_possible_values = true)]
    #[arg(help_heading = INTEGER)]
    pub endian: Option<Endian>,
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

    /// The order of the bytes in memory.
    pub fn endian(&self) -> Endian {
        self.endian.unwrap_or(Endian::NATIVE)
    }

    /// Converts between an integer and what the machine finds in memory. Both directions are the same.
    pub fn convert(&self, int: Int) -> Int {
        int.in_order(self.endian())
    }

    /// Returns whether atomic operations work at the offset: the processor needs natural alignment.
    pub fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(self.width())
    }

    pub fn require_alignment(&self, option: &str) -> Result<(), Failure> {
        let (name, width, offset) = (self.int_type.name(), self.width(), self.offset);
        match self.is_aligned() {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "{option} needs an offset that is a multiple of {width} (the width of {name}), not {offset}"
            ))),
        }
    }
}

impl ValueEnum for Endian {
    fn value_variants<'a>() -> &'a [Self] {
        &[Endian::Big, Endian::Little]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Endian::Big => "big",
            Endian::Little => "little",
        }))
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
