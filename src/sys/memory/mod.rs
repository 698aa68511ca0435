//! Mapped memory, and the integers in it.

pub mod access;
mod atomic;
pub mod bus_error;
pub mod futex;
pub mod hole;
pub mod int;
pub mod limit;
pub mod mapping;
