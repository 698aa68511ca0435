//! The result of an attempt to remove an object.

use crate::objects::filter::Mismatch;
use crate::sys::status::FileStatus;
use nix::errno::Errno;

/// The result of an attempt to remove an object.
pub enum Outcome {
    /// The object was removed, or would be removed without --dry-run.
    Removed { status: FileStatus, in_use: bool },
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
    /// The kernel gave no clear answer whether the object is in use.
    Unclear(Errno),
}
