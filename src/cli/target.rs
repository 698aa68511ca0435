//! The option `--target`, which all verbs have.

use super::values::parser;
use crate::objects::place::{Selector, parse_selector};
use clap::Args;

// (clap would show a doc comment as the description of the verb.)
#[derive(Debug, Args)]
#[group(skip)]
pub struct TargetArgs {
    /// Use the /dev/shm of process PID, which is that of its container
    ///
    /// A container usually has a /dev/shm of its own. PID is the process ID on this machine, or a PLACE as shmtool ls
    /// --everywhere prints it. You need to be root, or the user who started the container. shmtool does nothing there that
    /// root of the container could not do.
    #[arg(long, value_name = "PID|PLACE", allow_hyphen_values = true)]
    #[arg(value_parser = parser(parse_selector))]
    pub target: Option<Selector>,
}
