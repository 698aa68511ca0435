//! POSIX shared memory objects: their names, the directory that contains them, and how to create, lease and remove
//! them.

pub mod attribute;
pub mod closer;
pub mod directory;
pub mod draft;
pub mod hidden;
pub mod lease;
pub mod name;
pub mod object;
pub(crate) mod tmpfs;
