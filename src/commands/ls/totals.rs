//! The totals below the table on a terminal: what is listed, what is not listed, and how much memory is free.

use crate::cli::LsArgs;
use crate::commands::STDOUT;
use crate::commands::color::Palette;
use crate::commands::hidden::describe;
use crate::commands::in_use::count_objects;
use crate::commands::place::run_in;
use crate::notation::size::humanized_size;
use crate::objects::item::Item;
use crate::objects::place::Place;
use crate::sys::shm::directory::Space;
use crate::sys::shm::hidden::{HiddenUsage, measure_hidden};
use anyhow::Context;
use std::collections::HashSet;
use std::io::Write;
use std::rc::Rc;

/// Writes the totals.
///
/// # Errors
///
/// Fails if `/dev/shm` cannot be read, or if the output cannot be written to.
pub fn write(
    out: &mut impl Write,
    items: &[Item],
    args: &LsArgs,
    places: &[Rc<Place>],
    palette: Palette,
) -> anyhow::Result<()> {
    if args.nameless {
        return out
            .write_all(nameless_total(items).as_bytes())
            .context(STDOUT);
    }
    let [place] = places else {
        return write_everywhere(out, items);
    };
    let directory = &place.directory;
    let space = directory.space()?;
    let alarm = palette.alarm;
    let nearly_full = |free: u64, size: u64| match (free, size) {
        // A size of 0 means that there is no limit.
        (_, 0) => String::new(),
        (0, _) => format!(": {alarm}full{alarm:#}"),
        _ if free < size.div_ceil(10) => format!(": {alarm}nearly full{alarm:#}"),
        _ => String::new(),
    };
    let allocated = total_allocated(items);
    let mut text = format!(
        "{} with {}",
        count_objects(items.len()),
        humanized_size(allocated)
    );
    let Space {
        size, used, free, ..
    } = space;
    // A size of 0 means that there is no limit.
    if size > 0 {
        text += &format!(
            "; {} has {} used and {} free{}",
            directory.label(),
            humanized_size(used),
            humanized_size(free),
            nearly_full(free, size)
        );
    }
    text.push('\n');
    if args.names.is_empty() {
        let measured = run_in(place, || {
            measure_hidden(directory).map_err(|error| error.to_string())
        });
        let hidden = measured.unwrap_or_else(|| Ok(HiddenUsage::default()));
        let hidden = hidden.map_err(anyhow::Error::msg)?;
        let mut parts: Vec<_> = describe(hidden, args.all).into_iter().collect();
        let hidden_bytes =
            hidden.directories.bytes + if args.all { 0 } else { hidden.semaphores.bytes };
        // Everything is listed, so that what is left must belong to unlinked objects.
        let unlinked = used.saturating_sub(allocated + hidden_bytes);
        if args.lists_everything() && unlinked > 0 && !hidden.is_partial() {
            let unlinked = humanized_size(unlinked);
            let option = match place.is_own() {
                true => "--unlinked",
                false => "--unlinked --everywhere",
            };
            parts.push(format!("{unlinked} without a name (see {option})"));
        }
        if !parts.is_empty() {
            text += &format!("not listed: {}\n", parts.join(", "));
        }
    }
    let inodes_nearly_full = nearly_full(space.inodes_free, space.inodes);
    if !inodes_nearly_full.is_empty() {
        text += &format!(
            "{} of {} inodes used{inodes_nearly_full}\n",
            space.inodes_used, space.inodes
        );
    }
    out.write_all(text.as_bytes()).context(STDOUT)
}

/// Writes the totals of all places together.
fn write_everywhere(out: &mut impl Write, items: &[Item]) -> anyhow::Result<()> {
    let (objects, allocated) = (count_objects(items.len()), total_allocated(items));
    let allocated = humanized_size(allocated);
    let labels: HashSet<_> = items.iter().filter_map(Item::label).collect();
    let places = match labels.len() {
        1 => "1 place".to_owned(),
        count => format!("{count} places"),
    };
    writeln!(out, "{objects} in {places} with {allocated}").context(STDOUT)
}

/// Returns the total of memory without a name.
fn nameless_total(items: &[Item]) -> String {
    let unknown = items.iter().filter(|item| item.allocated().is_none());
    let unknown = match unknown.count() {
        0 => String::new(),
        count => format!("; {count} more of unknown size"),
    };
    let known: Vec<u64> = items.iter().filter_map(Item::allocated).collect();
    let bytes = humanized_size(known.iter().sum());
    format!("{} with {bytes}{unknown}\n", count_objects(known.len()))
}

/// The memory of all objects in bytes. An object with several names counts once.
fn total_allocated(items: &[Item]) -> u64 {
    let mut linked = HashSet::new();
    let mut counts = |item: &&Item| {
        let has_one_name = item.status().is_none_or(|status| status.links == 1);
        has_one_name || linked.insert(item.file())
    };
    let counted = items.iter().filter(|item| counts(item));
    counted.filter_map(Item::allocated).sum()
}
