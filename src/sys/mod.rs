//! The floor: one file a kernel facility, and the only `unsafe` code of the crate.
//!
//! Every object in `/dev/shm` belongs to everybody who may open it, and can be changed, truncated or
//! removed at any instruction. So no slice is ever made over memory that others can change: raw
//! pointers, atomics, and system calls that take an address are all there is.

#![allow(unsafe_code)]

pub mod atomic;
pub mod command;
pub mod dev_shm;
pub mod draft;
pub mod error;
pub mod futex;
pub mod guard;
pub mod hole;
pub mod int;
pub mod lease;
pub mod mapping;
pub mod name;
pub mod object;
pub mod pipe;
mod pow;
pub mod proc;
pub mod signal;
pub mod start;
pub mod stream;
pub mod watch;
