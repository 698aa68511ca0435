//! Memory mappings, and the integers in them.

pub mod access;
mod atomic;
pub mod bus_error;
mod cgroup;
pub mod futex;
pub mod hole;
pub mod int;
pub mod limit;
pub mod mapping;
pub(crate) mod meminfo;
pub(crate) mod nameless;
