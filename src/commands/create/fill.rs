//! Sets the size of a new object and fills it.

use super::budget::Budget;
use super::input::Input;
use crate::cli::CreateArgs;
use crate::commands::progress::Progress;
use crate::commands::source::{Failure, Part, Reader, Sink};
use crate::notation::size::humanized_size;
use crate::sys::error::Error;
use crate::sys::escape;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use std::fs::File;
use std::num::NonZero;

/// The number of zeros that are stored with one call.
const ZEROS: NonZero<usize> = NonZero::new(128 << 10).unwrap();

const NO_BUFFER: &str = "cannot get memory for a buffer";

/// Sets the size and contents of a new object, and reserves its memory.
pub fn fill(
    object: &Object,
    args: &CreateArgs,
    input: Option<&Input>,
    budget: &mut Budget,
) -> anyhow::Result<()> {
    let mut filler = Filler::new(object, args, budget);
    match input {
        None => filler.set_size(args.size.unwrap_or(0)),
        Some(input) => filler.copy_from(&mut input.open()?),
    }
}

/// An object that is being filled.
pub struct Filler<'a> {
    object: &'a Object,
    budget: &'a mut Budget,
    /// The requested size.
    size: Option<u64>,
    sparse: bool,
    shows_progress: bool,
    /// The name of FILE in messages.
    label: String,
    progress: Option<Progress>,
    /// The offset of the next byte.
    position: u64,
    /// The offset up to which the memory was taken from the budget.
    taken: u64,
    /// The size of FILE when it was mapped.
    mapped_size: u64,
    /// Whether the object may contain data already.
    is_existing: bool,
    /// The size that an existing object has at least, unless another process truncates it.
    least_size: u64,
    /// The number of bytes stored in the object, without holes that were made.
    stored: u64,
    /// Zeros to store, mapped when the first are needed.
    zeros: Option<Mapping>,
    reader: Option<Reader>,
}

impl<'a> Filler<'a> {
    pub fn new(object: &'a Object, args: &CreateArgs, budget: &'a mut Budget) -> Filler<'a> {
        Filler {
            object,
            budget,
            size: args.size,
            sparse: args.sparse,
            shows_progress: args.progress,
            label: args.from.as_deref().map_or(String::new(), escape::operand),
            progress: None,
            position: 0,
            taken: 0,
            mapped_size: 0,
            is_existing: false,
            least_size: 0,
            stored: 0,
            zeros: None,
            reader: None,
        }
    }

    /// Does not reserve memory.
    pub fn sparse(self) -> Filler<'a> {
        let sparse = true;
        Filler { sparse, ..self }
    }

    fn set_size(&mut self, size: u64) -> anyhow::Result<()> {
        if !self.sparse {
            self.budget.take(self.object, size)?;
            self.taken = size;
        }
        self.object.truncate(size)?;
        if !self.sparse {
            self.object.reserve_unshared(size)?;
        }
        Ok(())
    }

    /// Copies the rest of an open FILE into a new object.
    pub fn copy_from(&mut self, file: &mut File) -> anyhow::Result<()> {
        if let Some(size) = self.size {
            self.set_size(size)?;
        }
        self.copy(file)
    }

    fn copy(&mut self, file: &mut File) -> anyhow::Result<()> {
        if self.shows_progress {
            let size = self.size.unwrap_or(0);
            let total = Part::ALL.length_in(file).map(|length| length.max(size));
            self.progress = Progress::show(&self.label, total, false);
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::new().context(NO_BUFFER)?,
        };
        match reader.copy(file, Part::ALL, self) {
            Ok(()) if self.position < self.mapped_size => Err(self.size_changed()),
            Ok(()) => Ok(()),
            Err(Failure::Input(error)) => {
                Err(anyhow::Error::from(error).context(self.label.clone()))
            }
            Err(Failure::Output(error)) => Err(error),
        }
    }

    /// Reserves the memory of the first `end` bytes of an existing object, for the `length` bytes of FILE. If that fails,
    /// nothing changes.
    pub fn reserve_existing(
        &mut self,
        file: &mut File,
        length: u64,
        end: u64,
    ) -> anyhow::Result<()> {
        self.is_existing = true;
        self.mapped_size = length;
        self.check_fits(length)?;
        self.object.check_file_size_limit(end)?;
        self.reader = Some(Reader::new().context(NO_BUFFER)?);
        self.zeros = Some(Mapping::private_anonymous(ZEROS).context(NO_BUFFER)?);
        self.least_size = self.object.status()?.size;
        if Part::ALL.length_in(file).unwrap_or(0) != length {
            return Err(self.size_changed());
        }
        if !self.sparse {
            let missing = self.object.missing_memory(end)?;
            self.budget.take(self.object, missing)?;
            self.object.reserve(0, end)?;
            self.taken = end;
        } else if self.object.is_fully_allocated()? {
            self.taken = self.object.status()?.size;
        }
        Ok(())
    }

    /// Stores FILE in an existing object, after [`reserve_existing`](Self::reserve_existing), and zeros after it up to the
    /// byte `end`.
    pub fn overwrite(&mut self, file: &mut File, end: u64) -> anyhow::Result<()> {
        self.copy(file)?;
        while self.position < end {
            self.put_zeros(end - self.position)?;
        }
        // A hole at the end does not make the object larger.
        if self.sparse && self.object.status()?.size < end {
            self.position = end - 1;
            self.progress = None;
            self.store_zeros(1)?;
        }
        Ok(())
    }

    /// Stores at most `length` zeros, and returns how many.
    fn store_zeros(&mut self, length: u64) -> anyhow::Result<u64> {
        let length = length.min(ZEROS.get() as u64) as usize;
        self.take_memory(length)?;
        let zeros = match self.zeros.take() {
            Some(zeros) => zeros,
            None => Mapping::private_anonymous(ZEROS).context(NO_BUFFER)?,
        };
        let zeros = self.zeros.insert(zeros);
        let count = self.object.write_from(self.position, zeros, 0, length)?;
        let count = count.context("cannot read the buffer")?;
        self.note_stored(count);
        Ok(count as u64)
    }

    /// The number of bytes that were stored so far, or that became holes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The number of bytes that were stored so far.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// The size that an existing object has at least, unless another process truncates it.
    pub fn least_size(&self) -> u64 {
        self.least_size
    }

    /// Takes memory for the next `length` bytes from the budget, except for bytes that are already reserved.
    fn take_memory(&mut self, length: usize) -> anyhow::Result<()> {
        self.check_not_truncated()?;
        let end = self.position + length as u64;
        self.check_fits(end)?;
        let start = self.position.max(self.taken);
        let bytes = match self.is_existing {
            true => self.object.hole_bytes(start, end),
            false => end.saturating_sub(start),
        };
        self.budget.take(self.object, bytes)
    }

    fn check_fits(&self, length: u64) -> anyhow::Result<()> {
        let label = &self.label;
        match self.size {
            Some(size) if length > size => Err(anyhow!(
                "{label}: larger than the requested size of {}",
                humanized_size(size)
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the object has not lost bytes. The next store would give it its size again, but not its contents.
    fn check_not_truncated(&self) -> Result<(), Error> {
        match self.is_existing {
            true => self.object.check_not_truncated(self.least_size),
            false => Ok(()),
        }
    }

    fn note_stored(&mut self, count: usize) {
        self.advance(count as u64);
        self.stored += count as u64;
        self.least_size = self.least_size.max(self.position);
    }

    fn advance(&mut self, count: u64) {
        self.position += count;
        if let Some(progress) = &self.progress {
            progress.advance(count);
        }
    }

    fn size_changed(&self) -> anyhow::Error {
        anyhow!("{}: grew or shrank while it was copied", self.label)
    }
}

impl Sink for Filler<'_> {
    type Error = anyhow::Error;

    fn start(&mut self, length: u64) -> anyhow::Result<()> {
        self.check_fits(length)?;
        if self.is_existing && length != self.mapped_size {
            return Err(self.size_changed());
        }
        self.mapped_size = length;
        match self.size {
            None if !self.is_existing => self.set_size(length),
            _ => Ok(()),
        }
    }

    fn put_mapped(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        _: u64,
    ) -> anyhow::Result<usize> {
        self.take_memory(length)?;
        mapping.populate(offset, length);
        let count = self
            .object
            .write_from(self.position, mapping, offset, length)?;
        let count = count.unwrap_or(0);
        self.note_stored(count);
        Ok(count)
    }

    /// Nothing is written to a new object, because it already contains zeros.
    fn put_zeros(&mut self, length: u64) -> anyhow::Result<u64> {
        self.check_not_truncated()?;
        let are_there = match self.is_existing {
            true => self.sparse && self.object.punch_hole(self.position, length)?,
            false => true,
        };
        if !are_there {
            return self.store_zeros(length);
        }
        self.advance(length);
        Ok(length)
    }

    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> anyhow::Result<()> {
        if self.is_existing && self.position + length as u64 > self.mapped_size {
            return Err(self.size_changed());
        }
        self.take_memory(length)?;
        let mut written = 0;
        while written < length {
            let count = self
                .object
                .write_from(self.position, buffer, written, length - written)?;
            // None would mean that the buffer's file was truncated, but the buffer is anonymous memory.
            let count = count.context("cannot read the buffer")?;
            written += count;
            self.note_stored(count);
        }
        Ok(())
    }

    fn check_size(&mut self, end: u64, size: u64) -> anyhow::Result<()> {
        match size == end {
            true => Ok(()),
            false => Err(self.size_changed()),
        }
    }
}
