//! Processes: this one, the command that it runs, and all the others on the machine.

mod arrivals;
pub(crate) mod assistant;
pub(crate) mod child;
pub(crate) mod command;
pub(crate) mod container;
pub(crate) mod crew;
pub(crate) mod execute;
pub(crate) mod files;
pub(crate) mod guard;
pub(crate) mod identity;
pub(crate) mod ipc;
pub(crate) mod oom;
pub(crate) mod places;
pub(crate) mod proc;
mod procfs;
mod raw_signal;
pub(crate) mod rights;
pub(crate) mod socket;
pub(crate) mod target;
pub(crate) mod tmpfs;
// For `main`, before anything else.
pub mod pow;
pub mod signal;
pub(crate) mod stand_in;
pub mod start;
pub(crate) mod survey;
mod witness;
