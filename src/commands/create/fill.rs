//! Sets the size of a new object and fills it.

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
use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::unix::fs::FileTypeExt;

/// Sets the size and contents of the object, and reserves its memory.
///
/// If FILE is open already, this reads it from its start.
pub fn fill(
    draft: &Draft,
    args: &CreateArgs,
    input: Option<&File>,
    budget: &mut Budget,
) -> anyhow::Result<()> {
    let mut filler = Filler {
        draft,
        args,
        budget,
        label: String::new(),
        progress: None,
        position: 0,
        reserved: 0,
        mapped_size: 0,
    };
    match &args.from {
        None => filler.set_size(args.size.unwrap_or(0)),
        Some(from) => filler.copy_from(from, input),
    }
}

/// An object that is being filled.
struct Filler<'a> {
    draft: &'a Draft,
    args: &'a CreateArgs,
    budget: &'a mut Budget,
    /// The name of FILE in messages.
    label: String,
    progress: Option<Progress>,
    /// The offset of the next byte.
    position: u64,
    /// The offset up to which all memory is reserved.
    reserved: u64,
    /// The size of FILE when it was mapped.
    mapped_size: u64,
}

impl Filler<'_> {
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

    fn copy_from(&mut self, from: &OsStr, input: Option<&File>) -> anyhow::Result<()> {
        self.label = escape::operand(from);
        let file = match input {
            Some(input) => restart(input),
            None if from == "-" => source::stdin(),
            None => File::open(from),
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
            Ok(()) if self.position < self.mapped_size => Err(self.size_changed()),
            Ok(()) => Ok(()),
            Err(Failure::Input(error)) => {
                Err(anyhow::Error::from(error).context(self.label.clone()))
            }
            Err(Failure::Output(error)) => Err(error),
        }
    }

    /// Takes memory for the next `length` bytes from the budget, except for bytes that are already reserved.
    fn take_memory(&mut self, length: usize) -> anyhow::Result<()> {
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

    fn size_changed(&self) -> anyhow::Error {
        anyhow!("{}: grew or shrank while it was copied", self.label)
    }
}

impl Sink for Filler<'_> {
    type Error = anyhow::Error;

    fn start(&mut self, length: u64) -> anyhow::Result<()> {
        self.check_fits(length)?;
        self.mapped_size = length;
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
        self.take_memory(length)?;
        mapping.populate(offset, length);
        let object = self.draft.object();
        let count = object.write_from(self.position, mapping, offset, length)?;
        let count = count.unwrap_or(0);
        self.advance(count);
        Ok(count)
    }

    /// Nothing is written, because the object already contains zeros.
    fn put_zeros(&mut self, length: u64) -> anyhow::Result<u64> {
        self.position += length;
        Ok(length)
    }

    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> anyhow::Result<()> {
        self.take_memory(length)?;
        let mut written = 0;
        while written < length {
            let object = self.draft.object();
            let count = object.write_from(self.position, buffer, written, length - written)?;
            // None would mean that the buffer's file was truncated, but the buffer is anonymous memory.
            let count = count.context("cannot read the buffer")?;
            written += count;
            self.advance(count);
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

/// Returns whether FILE can be read only once: standard input, and a FIFO.
pub fn is_read_once(from: &OsStr) -> bool {
    from == "-" || fs::metadata(from).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Returns whether an open FILE can be read only once.
pub fn is_fifo(input: &File) -> bool {
    let metadata = input.metadata();
    metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens FILE, unless it is standard input, which is always open.
pub fn open_early(args: &CreateArgs) -> anyhow::Result<Option<File>> {
    let from = args.from.as_deref().filter(|from| *from != "-");
    let open = |from| File::open(from).with_context(|| escape::operand(from));
    from.map(open).transpose()
}

/// Returns an open file once more, at its start if it is one that can be read several times.
fn restart(input: &File) -> io::Result<File> {
    let mut file = input.try_clone()?;
    if file.metadata()?.is_file() {
        file.rewind()?;
    }
    Ok(file)
}
