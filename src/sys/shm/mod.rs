//! POSIX shared memory objects: their names, the directory they are in, and how they are made and removed.

pub mod attribute;
pub mod directory;
pub mod draft;
pub mod hidden;
pub mod lease;
pub mod name;
pub mod object;
