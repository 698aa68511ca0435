//! Processes: this one, the command that it runs, and all the others on the machine.

mod arrivals;
mod child;
pub(crate) mod command;
pub(crate) mod guard;
pub(crate) mod identity;
pub(crate) mod oom;
pub(crate) mod proc;
mod raw_signal;
// For `main`, before anything else.
pub mod pow;
pub mod signal;
pub mod start;
pub(crate) mod survey;
mod system_v;
mod witness;
