//! What a sweep says in the end.

use super::fate::Fate;
use crate::commands::in_use::objects;
use crate::notation::size::humanized_size;
use crate::objects::filter::Mismatch;
use std::os::unix::fs::MetadataExt;

/// Counts what became of the objects of a sweep.
#[derive(Debug, Default)]
pub struct Summary {
    removed: usize,
    /// Bytes.
    freed: u64,
    removed_in_use: usize,
    /// Bytes that the removed objects which are in use still hold.
    held: u64,
    in_use: usize,
    too_young: usize,
    not_ours: usize,
    changed: usize,
    /// An error message said why.
    pub failed: usize,
}

impl Summary {
    /// Counts an object. What cannot be judged is counted by the judge, which knows why.
    pub fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Removed { metadata, in_use } => {
                // Another name keeps the memory.
                let bytes = match metadata.nlink() {
                    1 => metadata.blocks() * 512,
                    _ => 0,
                };
                let (count, sum) = match in_use {
                    true => (&mut self.removed_in_use, &mut self.held),
                    false => (&mut self.removed, &mut self.freed),
                };
                *count += 1;
                *sum += bytes;
            }
            Fate::InUse => self.in_use += 1,
            Fate::Filtered(Mismatch::Age) => self.too_young += 1,
            Fate::NotOurs => self.not_ours += 1,
            Fate::Changed => self.changed += 1,
            Fate::Filtered(_) | Fate::Unclear(_) | Fate::Gone => {}
        }
    }

    /// The lines to print. `too_young` says why a young object was kept.
    pub fn lines(&self, dry_run: bool, too_young: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let (removed, freed) = (objects(self.removed), humanized_size(self.freed));
        let (verb, free) = match dry_run {
            true => ("would remove", "free"),
            false => ("removed", "freed"),
        };
        if self.removed > 0 {
            lines.push(format!("{verb} {removed} and {free} {freed}"));
        }
        if self.removed_in_use > 0 {
            let (objects, held) = (objects(self.removed_in_use), humanized_size(self.held));
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
