//! What `ls` and `unlink` share: an object and what is known of it, the columns that show it, and filters.

pub mod columns;
pub mod filter;
pub mod item;
pub mod selection;
pub mod value;
