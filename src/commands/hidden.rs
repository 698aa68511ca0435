//! Describes what else uses memory in `/dev/shm` besides the objects that are listed or swept.

use crate::notation::size::humanized_size;
use crate::sys::shm::hidden::{HiddenUsage, Usage};

/// Returns a text such as `2 semaphores with 8KiB (see -a), 1 directory with 1MiB`, or None if there is nothing.
/// `has_semaphores` says whether the semaphores are listed or swept.
pub fn describe(hidden: HiddenUsage, has_semaphores: bool) -> Option<String> {
    let part = |usage: Usage, one, many| {
        let kind = if usage.count == 1 { one } else { many };
        let at_least = if usage.is_partial { "at least " } else { "" };
        let (count, size) = (usage.count, humanized_size(usage.bytes));
        match (count, usage.bytes, usage.is_partial) {
            (0, ..) => None,
            (_, 0, true) => Some(format!("{count} {kind} of unknown size")),
            _ => Some(format!("{count} {kind} with {at_least}{size}")),
        }
    };
    let semaphores = match has_semaphores {
        true => None,
        false => part(hidden.semaphores, "semaphore", "semaphores").map(|text| text + " (see -a)"),
    };
    let directories = part(hidden.directories, "directory", "directories");
    let parts: Vec<_> = semaphores.into_iter().chain(directories).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
