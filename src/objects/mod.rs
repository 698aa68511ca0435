//! What `ls` and `unlink` share: objects with their metadata, columns and filters.

pub mod columns;
pub mod filter;
pub mod item;
pub mod place;
pub mod selection;
pub mod summary;
pub mod value;
