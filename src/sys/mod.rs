//! The floor: one file a kernel facility, and the only `unsafe` code of the crate.
//!
//! Every object in `/dev/shm` belongs to everybody who may open it, and can be changed, truncated or
//! removed at any instruction. So no slice is ever made over memory that others can change: raw
//! pointers, atomics, and system calls that take an address are all there is.

#![allow(unsafe_code)]

pub mod dev_shm;
pub mod draft;
pub mod error;
pub mod futex;
pub mod hole;
pub mod int;
pub mod lease;
pub mod mapping;
pub mod name;
pub mod object;

// For `main`, before anything else.
#[doc(hidden)]
pub mod signal;
#[doc(hidden)]
pub mod start;

mod atomic;
pub(crate) mod command;
pub(crate) mod guard;
pub(crate) mod pipe;
mod pow;
pub(crate) mod proc;
pub(crate) mod stream;
pub(crate) mod watch;
