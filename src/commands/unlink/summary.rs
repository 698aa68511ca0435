//! The summary that is printed after a sweep.

use super::outcome::Outcome;
use crate::commands::in_use::count_objects;
use crate::notation::size::humanized_size;
use crate::objects::filter::Mismatch;
use crate::sys::status::FileStatus;

/// Counts the objects of a sweep by outcome.
#[derive(Debug, Default)]
pub struct Summary {
    removed: usize,
    /// The bytes that the removed objects freed.
    freed: u64,
    removed_in_use: usize,
    /// The bytes of the objects that were removed while in use.
    held: u64,
    in_use: usize,
    too_young: usize,
    not_ours: usize,
    changed: usize,
    /// The objects that could not be removed. An error message was printed for each.
    failed: usize,
}

impl Summary {
    /// Counts an object, whose status was `selected` when it was selected. Unclear outcomes are not counted here, but by the `UseChecker`, which prints the reasons.
    pub fn count(&mut self, outcome: &Outcome, selected: Option<&FileStatus>) {
        match outcome {
            Outcome::Removed { status, in_use } => {
                // If the object has another name (hard link), no memory is freed.
                let bytes = match status.as_ref().or(selected) {
                    Some(status) if status.links == 1 => status.allocated,
                    _ => 0,
                };
                let (count, sum) = match in_use {
                    true => (&mut self.removed_in_use, &mut self.held),
                    false => (&mut self.removed, &mut self.freed),
                };
                *count += 1;
                *sum += bytes;
            }
            Outcome::InUse => self.in_use += 1,
            Outcome::Filtered(Mismatch::Age) => self.too_young += 1,
            Outcome::NotOurs => self.not_ours += 1,
            Outcome::Changed => self.changed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Filtered(_) | Outcome::Unclear(_) | Outcome::Gone => {}
        }
    }

    /// Returns the lines to print. `too_young` is the reason that is printed for objects that were kept because of
    /// their age.
    pub fn lines(&self, dry_run: bool, too_young: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let (removed, freed) = (count_objects(self.removed), humanized_size(self.freed));
        let (verb, free) = match dry_run {
            true => ("would remove", "free"),
            false => ("removed", "freed"),
        };
        if self.removed > 0 {
            lines.push(format!("{verb} {removed} and {free} {freed}"));
        }
        if self.removed_in_use > 0 {
            let (objects, held) = (
                count_objects(self.removed_in_use),
                humanized_size(self.held),
            );
            let whose = if self.removed_in_use == 1 {
                "its"
            } else {
                "their"
            };
            lines.push(format!(
                "{verb} {objects} in use: {whose} {held} will be freed when the last user ends"
            ));
        }
        if lines.is_empty() {
            lines.push(format!("{verb} nothing"));
        }
        let owner = match self.not_ours {
            1 => "owned by another user",
            _ => "owned by other users",
        };
        let kept = [
            (self.in_use, "in use"),
            (self.too_young, too_young),
            (self.not_ours, owner),
            (self.changed, "changed meanwhile"),
            (self.failed, "could not be removed"),
        ];
        let kept = kept.iter().filter(|(count, _)| *count > 0);
        lines.extend(kept.map(|(count, why)| format!("{count} kept: {why}")));
        lines
    }
}
