//! The layer of system calls: one file per kernel facility, and the only `unsafe` code of the crate.
//!
//! Any process that may open an object in `/dev/shm` can change, truncate or remove it at any moment. So this layer
//! never creates a slice over memory that other processes can change. It uses only raw pointers, atomics, and system
//! calls that take an address.

#![allow(unsafe_code)]

mod attribute;
mod cached;
pub mod error;
pub(crate) mod escape;
pub mod file;
pub(crate) mod io;
pub mod memory;
pub(crate) mod mounts;
#[doc(hidden)]
pub mod process;
pub mod shm;
pub mod status;
pub(crate) mod users;
