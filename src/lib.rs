//! Memory-mapped files and POSIX shared memory on Linux: what the program `shmtool` is made of.
//!
//! [`sys`] is the floor of system calls: names, objects, mappings and the integers in them. [`cli`]
//! declares every option, [`commands`] has one module a verb, and [`exit`] knows the exit statuses.

#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

#[cfg(not(target_os = "linux"))]
compile_error!("shmtool runs on Linux only: it relies on /dev/shm and on Linux system calls");

pub mod cli;
pub mod columns;
pub mod commands;
pub mod condition;
pub mod duration;
pub mod escape;
pub mod exit;
pub mod filter;
pub mod item;
pub mod mode;
pub mod progress;
pub mod size;
pub mod sys;
pub mod value;
