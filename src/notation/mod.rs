//! How values are written and printed.

pub mod condition;
pub mod duration;
pub mod mode;
pub mod size;
pub mod value;
