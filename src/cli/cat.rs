//! The options of `cat`.

use super::values::{parse_name, parser};
use crate::exit::Failure;
use crate::notation::size;
use crate::sys::shm::name::ShmName;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CatArgs {
    /// Print shared memory objects: the operands are their NAMEs
    #[arg(long)]
    pub shm: bool,

    /// Leave out this many bytes at the start of each operand
    ///
    /// Past its end nothing is printed. A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T.
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

    /// Show how far it is, on a terminal
    ///
    /// A bar on standard error, with how fast it goes and the time left. Nothing where standard error is no terminal, or
    /// standard output is one.
    #[arg(long)]
    pub progress: bool,

    /// Files to print; - or none is standard input
    ///
    /// With --shm they are NAMEs of objects, at least one.
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
    pub fn inputs(&self) -> Result<Vec<Input>, Failure> {
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
