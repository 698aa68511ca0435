//! Input and output: standard streams, pipes, file status, and change notification for directories.

pub mod pipe;
pub(in crate::sys) mod status;
pub mod stream;
pub mod watch;
