//! What becomes of an object that was to be removed.

use crate::objects::filter::Mismatch;
use nix::errno::Errno;
use std::fs::Metadata;

/// What becomes of an object.
pub enum Fate {
    /// Its name is gone, or would be.
    Removed {
        metadata: Metadata,
        in_use: bool,
    },
    /// It does not pass.
    Filtered(Mismatch),
    InUse,
    /// It is not the object that was chosen any more.
    Changed,
    /// Somebody else removed it.
    Gone,
    NotOurs,
    /// The kernel does not say whether it is in use.
    Unclear(Errno),
}
