//! Checks how much memory is left before `create` allocates some.

use crate::exit::{Failure, Status};
use crate::notation::size::humanized_size;
use crate::sys::escape;
use crate::sys::memory::limit::{self, AvailableMemory, Limit};
use crate::sys::process::oom::FirstVictim;
use crate::sys::shm::directory::{Directory, Space};
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};

/// The memory that all objects of one run together can take without a check. A check reads half a dozen files, which
/// takes as long as reserving about a megabyte. A container that has less than this left is about to fail anyway.
const UNCHECKED: u64 = 1 << 20;

/// The most memory that can be taken between two checks. Other processes allocate memory too, so a check is out of date
/// soon.
const MAX_BETWEEN_CHECKS: u64 = 64 << 20;

/// The memory that this run may still take before the next check.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    victim: Option<FirstVictim>,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            left: UNCHECKED,
            victim: None,
        }
    }

    /// Takes `bytes` for an object, after a check if the budget is used up. From the first check on, this process is
    /// the first one that the OOM killer kills, because the check can be wrong.
    ///
    /// # Errors
    ///
    /// Fails if the machine or our cgroup has less memory left.
    pub fn take(&mut self, object: &Object, bytes: u64) -> anyhow::Result<()> {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return Ok(());
        }
        if self.victim.is_none() {
            self.victim = FirstVictim::volunteer();
        }
        self.left = match limit::available_memory() {
            None => MAX_BETWEEN_CHECKS,
            Some(available) => match available.bytes.checked_sub(bytes) {
                Some(left) => (left / 4).min(MAX_BETWEEN_CHECKS),
                None if !can_exhaust(object.directory(), available.bytes) => MAX_BETWEEN_CHECKS,
                None => return Err(not_enough_memory(object, bytes, &available)),
            },
        };
        Ok(())
    }

    /// Restores the OOM score of this process, which the processes that it forks inherit.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not allow that.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.victim {
            Some(victim) => victim
                .restore()
                .context("cannot restore /proc/self/oom_score_adj"),
            None => Ok(()),
        }
    }
}

/// Returns whether objects in the directory can take this much memory. They cannot if the directory is on a disk or has
/// less space left. The kernel then refuses the allocation, and the error names the file system.
fn can_exhaust(directory: &Directory, memory: u64) -> bool {
    // A size of 0 means that there is no limit.
    let has_space = |space: Space| space.size == 0 || space.free > memory;
    directory.is_in_memory() && directory.space().is_ok_and(has_space)
}

fn not_enough_memory(object: &Object, bytes: u64, available: &AvailableMemory) -> anyhow::Error {
    let name = object.name();
    // A draft that does not fit is deleted, and that frees the memory that it has allocated so far.
    let allocated = object.status().map_or(0, |now| match now.links {
        0 => now.allocated,
        _ => 0,
    });
    let sizes = [allocated + bytes, allocated.saturating_add(available.bytes)];
    let [mut requested, left] = sizes.map(humanized_size);
    // The total size of a pipe is unknown, so `bytes` is only what was read so far.
    if requested == left {
        requested = format!("more than {left}");
    }
    match &available.limit {
        Limit::Machine => anyhow!(
            "{name}: {requested} do not fit: this machine has {left} of memory left, swap space included"
        ),
        Limit::Cgroup { max, file } => {
            let (max, file) = (humanized_size(*max), escape::operand(file.as_os_str()));
            let limit =
                format!("the memory limit of this container (cgroup) has {left} left of {max}");
            let message = format!("{name}: {requested} do not fit: {limit}");
            Failure::new(Status::Failed, message)
                .hint(format!("{file} sets the limit"))
                .into()
        }
    }
}
