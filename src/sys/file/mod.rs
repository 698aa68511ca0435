//! Files as stores of integers: regular files, block devices, and devices whose memory can be mapped.
//!
//! A [`FileSource`](source::FileSource) says where the file comes from: a path, or a descriptor that the process
//! inherited. Opening it gives an [`IntFile`](int_file::IntFile), which can be mapped. Files are never created and never
//! grown.

mod device;
pub mod error;
pub mod int_file;
mod map;
mod open;
pub mod source;
