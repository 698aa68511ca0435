//! Input and output: standard streams, pipes, and change notification for directories.

pub mod pipe;
pub mod stream;
pub mod watch;
