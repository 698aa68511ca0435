//! The layer of system calls: one file per kernel facility, and the only `unsafe` code of the crate.
//!
//! Anybody who may open an object in `/dev/shm` can change, truncate or remove it at any instruction. So no
//! slice is ever made over memory that others can change: raw pointers, atomics, and system calls that take
//! an address are all there is.

#![allow(unsafe_code)]

pub mod error;
pub(crate) mod escape;
pub(crate) mod io;
pub mod memory;
#[doc(hidden)]
pub mod process;
pub mod shm;
