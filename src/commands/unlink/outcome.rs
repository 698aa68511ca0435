//! The result of an attempt to remove an object.

use crate::exit::Failure;
use crate::objects::filter::Mismatch;
use crate::sys::status::FileStatus;
use serde::{Deserialize, Serialize};

/// The result of an attempt to remove an object. A child sends it to its parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// The object was removed, or would be removed without --dry-run.
    Removed {
        /// Its status. Not sent by a child, in whose user namespace the owner has another ID.
        #[serde(skip)]
        status: Option<FileStatus>,
        in_use: bool,
    },
    /// The object does not match the filters.
    Filtered(Mismatch),
    /// The object is in use.
    InUse,
    /// The object was modified or replaced after it was selected.
    Changed,
    /// The object does not exist, or another process removed it.
    Gone,
    /// The object belongs to another user, and we may not remove it or find out whether it is in use.
    NotOurs,
    /// The kernel gave no clear answer whether the object is in use, but this error number.
    Unclear(i32),
    /// Something else failed.
    Failed(Failure),
}
