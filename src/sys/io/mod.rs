//! Bytes in and out: the standard streams, pipes, and changes in a directory.

pub mod pipe;
pub(in crate::sys) mod status;
pub mod stream;
pub mod watch;
