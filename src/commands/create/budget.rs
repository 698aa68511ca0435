//! Looks at how much memory is left before `create` takes some.

use crate::exit::{Failure, Status};
use crate::notation::size::humanized_size;
use crate::sys::escape;
use crate::sys::memory::limit::{self, AvailableMemory, Limit};
use crate::sys::process::oom::FirstVictim;
use crate::sys::shm::directory::{Directory, Space};
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use std::os::unix::fs::MetadataExt;

/// The memory that is taken without a look, by all objects of one run together. A look reads half a dozen files,
/// which takes as long as it takes to reserve about a megabyte. A container that has less than this left is at its end
/// anyway.
const UNCHECKED: u64 = 1 << 20;

/// The memory that is taken at most until the next look, for other processes take some too.
const UNTIL_NEXT_LOOK: u64 = 64 << 20;

/// What one run may still take before it has to look again.
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

    /// Takes `bytes` for an object, after a look if they are many. From the first look on, this process is the first that
    /// the OOM killer kills, because the look can be wrong.
    ///
    /// # Errors
    ///
    /// The machine or our cgroup has less memory left.
    pub fn take(&mut self, object: &Object, bytes: u64) -> anyhow::Result<()> {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return Ok(());
        }
        if self.victim.is_none() {
            self.victim = FirstVictim::volunteer();
        }
        self.left = match limit::available_memory() {
            None => UNTIL_NEXT_LOOK,
            Some(available) => match available.bytes.checked_sub(bytes) {
                Some(left) => (left / 4).min(UNTIL_NEXT_LOOK),
                None if !can_exhaust(object.directory(), available.bytes) => UNTIL_NEXT_LOOK,
                None => return Err(does_not_fit(object, bytes, &available)),
            },
        };
        Ok(())
    }

    /// Ends the looking. After that this process is no more likely to be killed than it was before, and neither are the
    /// processes that it forks.
    ///
    /// # Errors
    ///
    /// The kernel did not let us set the value that was there before.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.victim {
            Some(victim) => victim
                .restore()
                .context("cannot restore /proc/self/oom_score_adj"),
            None => Ok(()),
        }
    }
}

/// Whether objects can take this much memory. They cannot if the directory is on a disk, or has less space left: then
/// the kernel refuses them, with an error that names the file system.
fn can_exhaust(directory: &Directory, memory: u64) -> bool {
    // A size of 0 is no limit.
    let has_space = |space: Space| space.size == 0 || space.free > memory;
    directory.is_in_memory() && directory.space().is_ok_and(has_space)
}

fn does_not_fit(object: &Object, bytes: u64, available: &AvailableMemory) -> anyhow::Error {
    let name = object.name();
    // What an object without a name holds so far comes back when it is given up.
    let held = object.metadata().map_or(0, |now| match now.nlink() {
        0 => now.blocks() * 512,
        _ => 0,
    });
    let sizes = [held + bytes, held.saturating_add(available.bytes)];
    let [mut asked, left] = sizes.map(humanized_size);
    // So it is with a pipe, whose end nobody knows.
    if asked == left {
        asked = format!("more than {left}");
    }
    match &available.limit {
        Limit::Machine => anyhow!(
            "{name}: {asked} do not fit: this machine has {left} of memory left, swap space included"
        ),
        Limit::Cgroup { max, file } => {
            let (max, file) = (humanized_size(*max), escape::operand(file.as_os_str()));
            let limit =
                format!("the memory limit of this container (cgroup) has {left} left of {max}");
            let message = format!("{name}: {asked} do not fit: {limit}");
            Failure::new(Status::Failed, message)
                .hint(format!("{file} sets the limit"))
                .into()
        }
    }
}
