//! Processes: this one, the command that it runs, and all the others on the machine.

pub(crate) mod command;
pub(crate) mod guard;
pub(crate) mod oom;
mod pow;
pub(crate) mod proc;
// For `main`, before anything else.
pub mod signal;
pub mod start;
