//! The options of `cat`.

use super::target::TargetArgs;
use super::values::{parse_name, parser};
use crate::exit::Failure;
use crate::notation::size;
use crate::sys::shm::name::ShmName;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_long_help = include_str!("examples/cat.txt"))]
pub struct CatArgs {
    /// Print shared memory objects; the operands are NAMEs
    #[arg(long)]
    pub shm: bool,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Skip this many bytes at the start of each operand
    ///
    /// If the operand is shorter, nothing is printed. A SIZE is 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise with M, G and T.
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

    /// Show a progress bar on the terminal
    ///
    /// The bar appears on standard error, with the speed and the time left. It does not appear if standard error is not a
    /// terminal, or if standard output is one.
    #[arg(long)]
    pub progress: bool,

    /// Files to print; standard input if there are none, or for -
    ///
    /// With --shm, the operands are NAMEs of objects, and at least one is required.
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::AnyPath, required_if_eq("shm", "true"))]
    pub operands: Vec<OsString>,
}

/// An operand of `cat`.
#[derive(Debug)]
pub enum Input {
    Stdin,
    File(PathBuf),
    Object(ShmName),
}

impl CatArgs {
    /// Returns the operands as NAMEs with `--shm`, and otherwise as FILEs.
    ///
    /// # Errors
    ///
    /// Fails if an operand is not a NAME, with `--shm`.
    pub fn inputs(&self) -> Result<Vec<Input>, Failure> {
        if self.target.target.is_some() && !self.shm {
            return Err(Failure::usage("--target needs --shm"));
        }
        if self.operands.is_empty() {
            return Ok(vec![Input::Stdin]);
        }
        let input = |operand: &OsString| match operand {
            _ if self.shm => parse_name(operand).map(Input::Object),
            _ if operand == "-" => Ok(Input::Stdin),
            _ => Ok(Input::File(operand.into())),
        };
        self.operands.iter().map(input).collect()
    }
}
