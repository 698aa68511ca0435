//! What a new object holds.

use super::budget::Budget;
use crate::cli::CreateArgs;
use crate::commands::progress::Progress;
use crate::commands::source::{self, Failure, Part, Reader, Sink};
use crate::notation::size::humanized_size;
use crate::sys::escape;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::draft::Draft;
use anyhow::{Context, anyhow};
use std::ffi::OsStr;
use std::fs::File;

/// Gives the object its size and its bytes, and reserves its memory.
pub fn fill(draft: &Draft, args: &CreateArgs, budget: &mut Budget) -> anyhow::Result<()> {
    let mut filling = Filling {
        draft,
        args,
        budget,
        label: String::new(),
        progress: None,
        position: 0,
        reserved: 0,
        mapped: 0,
    };
    match &args.from {
        None => filling.set_size(args.size.unwrap_or(0)),
        Some(from) => filling.copy_from(from),
    }
}

/// An object that is being filled, and how far it is.
struct Filling<'a> {
    draft: &'a Draft,
    args: &'a CreateArgs,
    budget: &'a mut Budget,
    /// FILE, as messages name it.
    label: String,
    progress: Option<Progress>,
    /// Where the next byte goes.
    position: u64,
    /// Up to here all memory is reserved.
    reserved: u64,
    /// As many bytes as FILE had when it was mapped.
    mapped: u64,
}

impl Filling<'_> {
    fn set_size(&mut self, size: u64) -> anyhow::Result<()> {
        let object = self.draft.object();
        if !self.args.sparse {
            self.budget.take(object, size)?;
        }
        object.truncate(size)?;
        if !self.args.sparse {
            self.draft.reserve(size)?;
            self.reserved = size;
        }
        Ok(())
    }

    fn copy_from(&mut self, from: &OsStr) -> anyhow::Result<()> {
        self.label = escape::operand(from);
        let file = match from == "-" {
            true => source::stdin(),
            false => File::open(from),
        };
        let mut file = file.with_context(|| self.label.clone())?;
        if self.args.progress {
            let total = Part::ALL.length_in(&mut file);
            self.progress = Progress::show(&self.label, total, false);
        }
        if let Some(size) = self.args.size {
            self.set_size(size)?;
        }
        let mut reader = Reader::new().context("cannot get memory for a buffer")?;
        match reader.copy(&mut file, Part::ALL, self) {
            Ok(()) if self.position < self.mapped => Err(self.changed()),
            Ok(()) => Ok(()),
            Err(Failure::Input(error)) => {
                Err(anyhow::Error::from(error).context(self.label.clone()))
            }
            Err(Failure::Output(error)) => Err(error),
        }
    }

    /// Takes memory for the next `length` bytes, unless they have some.
    fn prepare(&mut self, length: usize) -> anyhow::Result<()> {
        let end = self.position + length as u64;
        self.check_fits(end)?;
        let bytes = end.saturating_sub(self.position.max(self.reserved));
        self.budget.take(self.draft.object(), bytes)
    }

    fn check_fits(&self, length: u64) -> anyhow::Result<()> {
        let label = &self.label;
        match self.args.size {
            Some(size) if length > size => Err(anyhow!(
                "{label}: larger than the requested size of {}",
                humanized_size(size)
            )),
            _ => Ok(()),
        }
    }

    fn advance(&mut self, count: usize) {
        self.position += count as u64;
        if let Some(progress) = &self.progress {
            progress.advance(count);
        }
    }

    fn changed(&self) -> anyhow::Error {
        anyhow!("{}: grew or shrank while it was copied", self.label)
    }
}

impl Sink for Filling<'_> {
    type Error = anyhow::Error;

    fn start(&mut self, length: u64) -> anyhow::Result<()> {
        self.check_fits(length)?;
        self.mapped = length;
        match self.args.size {
            None => self.set_size(length),
            Some(_) => Ok(()),
        }
    }

    fn put_mapped(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        _: u64,
    ) -> anyhow::Result<usize> {
        self.prepare(length)?;
        mapping.populate(offset, length);
        let object = self.draft.object();
        let count = object.write_from(self.position, mapping, offset, length)?;
        let count = count.unwrap_or(0);
        self.advance(count);
        Ok(count)
    }

    /// The object holds zeros already.
    fn put_zeros(&mut self, length: u64) -> anyhow::Result<u64> {
        self.position += length;
        Ok(length)
    }

    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> anyhow::Result<()> {
        self.prepare(length)?;
        let mut done = 0;
        while done < length {
            let object = self.draft.object();
            let count = object.write_from(self.position, buffer, done, length - done)?;
            // A buffer of our own is always there.
            let count = count.context("cannot read the buffer")?;
            done += count;
            self.advance(count);
        }
        Ok(())
    }

    fn check_size(&mut self, end: u64, size: u64) -> anyhow::Result<()> {
        match size == end {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }
}
