//! How values are parsed and formatted.

pub mod condition;
pub mod duration;
pub mod mode;
pub mod size;
pub mod value;
