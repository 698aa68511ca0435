//! `create --overwrite`: stores FILE in an existing object, so that every process that maps the object sees it.

use super::budget::Budget;
use super::fill::Filler;
use super::input::Input;
use crate::cli::CreateArgs;
use crate::commands::source::{self, Part};
use crate::sys::error::Error;
use crate::sys::memory::mapping::page_end;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::object::Object;
use crate::sys::status::FileStatus;
use anyhow::{Context, anyhow};
use std::fs::File;
use std::io::Seek;

/// Opens FILE, so that it can be read with a known size, and more than once. If it cannot, as a pipe, this reads it
/// completely into memory, which takes the place of FILE in `input`.
///
/// # Errors
///
/// Fails if FILE is the object itself, if it cannot be read, or if it does not fit into memory.
pub fn open_repeatable(
    object: &Object,
    args: &CreateArgs,
    input: &mut Input,
    budget: &mut Budget,
) -> anyhow::Result<File> {
    let mut file = input.open()?;
    let label = input.label();
    let status = FileStatus::of(&file).with_context(|| label.to_owned())?;
    if status.is_same_file(&object.status()?) {
        return Err(anyhow!("{label}: input file is output file"));
    }
    if source::is_repeatable(&mut file) {
        return Ok(file);
    }
    let spool = Object::anonymous(&Directory::nameless(), object.name())?;
    Filler::new(&spool, args, budget)
        .sparse()
        .copy_from(&mut file)?;
    input.replace_with(spool);
    input.open()
}

/// Stores the rest of a FILE from [`open_repeatable`] in the object.
///
/// # Errors
///
/// Fails if there is too little memory, or FILE is larger than the requested size. The object is unchanged then. Fails
/// also if FILE cannot be read to its end, or changes its size.
pub fn overwrite(
    object: &Object,
    args: &CreateArgs,
    file: &mut File,
    budget: &mut Budget,
) -> anyhow::Result<()> {
    let start = file.stream_position()?;
    let length = Part::ALL.length_in(file).unwrap_or(0);
    let end = length.max(args.size.unwrap_or(0));
    let before = object.status()?;
    let mut filler = Filler::new(object, args, budget);
    filler.reserve_existing(file, length, end)?;
    if let Err(error) = filler.overwrite(file, end) {
        let position = filler.position();
        // What failed first is reported; the memory that stays reserved is freed with the object.
        if !args.sparse {
            let _ = free_past_end(object, &before, filler.least_size(), end);
        }
        if position == 0 || matches!(error.downcast_ref(), Some(Error::Truncated(_))) {
            return Err(error);
        }
        // If FILE was truncated, zeros from the rest of its last page may have been stored too.
        let (size, stored_end) = (file.metadata()?.len(), start + position);
        let stored = match (size..=page_end(size)).contains(&stored_end) {
            true => size.saturating_sub(start),
            false => position,
        };
        return Err(error.context(format!(
            "{}: stored {stored} of {end} bytes; it holds a mixture",
            object.name()
        )));
    }
    // Storing has set it already, unless nothing was stored.
    object.set_modified()?;
    object.check_not_truncated(end.max(filler.least_size()))?;
    // If it was truncated meanwhile, storing the rest has made a hole. Other file systems may report less than they have
    // allocated.
    let has_lost_bytes = || Ok::<_, Error>(object.status()?.allocated < filler.stored());
    match object.directory().is_in_memory() && has_lost_bytes()? {
        true => Err(Error::Truncated(object.name().clone()).into()),
        false => Ok(()),
    }
}

/// Frees the memory that was reserved past the end of the object and is not needed now. `ftruncate(2)` could cut off
/// what somebody else has added.
///
/// Memory past the end contains no data, and nothing is freed if somebody has made the object larger. If that happens
/// between the two calls below, what is stored there meanwhile is lost: no system call frees only what is past the end.
///
/// What was reserved past the end before stays. The kernel does not tell where that is, so this assumes that it is
/// directly after the end. There it is if a huge page goes beyond the end, or if shmtool was killed here before.
fn free_past_end(
    object: &Object,
    before: &FileStatus,
    least_size: u64,
    end: u64,
) -> Result<(), Error> {
    let kept = match before.allocated.saturating_sub(page_end(before.size)) {
        0 => 0,
        reserved => page_end(before.size) + reserved,
    };
    let size = object.status()?.size;
    if size > least_size {
        return Ok(());
    }
    let start = page_end(size).max(kept);
    let length = page_end(end).saturating_sub(start);
    object.punch_hole(start, length).map(drop)
}
