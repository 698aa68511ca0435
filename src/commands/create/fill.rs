//! What a new object holds.

use super::super::has_size;
use crate::cli::CreateArgs;
use crate::commands::progress::Progress;
use crate::sys::escape;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::num::NonZero;
use std::os::fd::AsFd;

/// The bytes that are copied at once.
const STEP: NonZero<usize> = NonZero::new(1 << 20).unwrap();

/// Gives the object its size and its bytes, and sets its memory aside.
pub fn fill(object: &Object, args: &CreateArgs) -> anyhow::Result<()> {
    match &args.from {
        None => set_size(object, args.size.unwrap_or(0), args.sparse),
        Some(from) => Source::open(from)?.copy(object, args),
    }
}

fn set_size(object: &Object, size: u64, sparse: bool) -> anyhow::Result<()> {
    object.truncate(size)?;
    if !sparse {
        object.reserve(0, size)?;
    }
    Ok(())
}

/// FILE.
struct Source {
    label: String,
    file: File,
}

impl Source {
    fn open(from: &OsStr) -> anyhow::Result<Source> {
        let label = escape::operand(from);
        let file = match from == "-" {
            // A duplicate shares its offset: what is copied counts as read for whoever reads on after us.
            true => stream::stdin()
                .map_err(std::io::Error::from)
                .and_then(|stdin| stdin.try_clone_to_owned())
                .map(File::from),
            false => File::open(from),
        };
        let file = file.with_context(|| label.clone())?;
        Ok(Source { label, file })
    }

    fn copy(mut self, object: &Object, args: &CreateArgs) -> anyhow::Result<()> {
        let metadata = self.file.metadata().with_context(|| self.label.clone())?;
        if metadata.is_dir() {
            return Err(anyhow::Error::from(Errno::EISDIR).context(self.label));
        }
        let size = metadata.len();
        let start = match metadata.is_file() && has_size(&self.file, size) {
            true => self
                .file
                .stream_position()
                .with_context(|| self.label.clone())?,
            false => size,
        };
        let known = size.saturating_sub(start);
        let progress = match args.progress {
            true => Progress::show(&self.label, (known > 0).then_some(known), false),
            false => None,
        };
        match usize::try_from(known).ok().and_then(NonZero::new) {
            Some(_) => self.copy_mapped(object, args, start, size, progress.as_ref()),
            None => self.copy_streamed(object, args, progress.as_ref()),
        }
    }

    /// Copies a regular file out of its mapping.
    fn copy_mapped(
        &mut self,
        object: &Object,
        args: &CreateArgs,
        start: u64,
        end: u64,
        progress: Option<&Progress>,
    ) -> anyhow::Result<()> {
        let length = end - start;
        self.check_fits(length, args.size)?;
        set_size(object, args.size.unwrap_or(length), args.sparse)?;
        let (mut position, mut data_end) = (start, start);
        while position < end {
            if position == data_end {
                // The object holds zeros already.
                position = hole::end(&self.file, position).min(end);
                data_end = hole::next(&self.file, position).clamp(position, end);
                continue;
            }
            // A piece at a time: what is mapped is counted as this process's memory.
            let step = (data_end - position).min(STEP.get() as u64);
            let length = NonZero::new(step as usize).expect("position is before the end of data");
            let mapping = Mapping::shared_file(&self.file, position, length, Access::Read)
                .with_context(|| self.label.clone())?;
            mapping.populate(0, length.get());
            if !write_all(object, position - start, &mapping, length.get())? {
                return Err(self.changed());
            }
            position += step;
            if let Some(progress) = progress {
                progress.advance(length.get());
            }
        }
        match self
            .file
            .metadata()
            .with_context(|| self.label.clone())?
            .len()
            == end
        {
            true => {}
            false => return Err(self.changed()),
        }
        self.file
            .seek(SeekFrom::Start(end))
            .with_context(|| self.label.clone())?;
        Ok(())
    }

    /// Copies what has no size, or a wrong one, as it comes.
    fn copy_streamed(
        &self,
        object: &Object,
        args: &CreateArgs,
        progress: Option<&Progress>,
    ) -> anyhow::Result<()> {
        let mut buffer =
            Mapping::private_anonymous(STEP).context("cannot get memory for a buffer")?;
        let mut length = 0;
        loop {
            let count = stream::read_into(self.file.as_fd(), &mut buffer, STEP.get())
                .with_context(|| self.label.clone())?;
            if count == 0 {
                break;
            }
            self.check_fits(length + count as u64, args.size)?;
            write_all(object, length, &buffer, count)?;
            length += count as u64;
            if let Some(progress) = progress {
                progress.advance(count);
            }
        }
        set_size(object, args.size.unwrap_or(length), args.sparse)
    }

    fn check_fits(&self, length: u64, size: Option<u64>) -> anyhow::Result<()> {
        let label = &self.label;
        match size {
            Some(size) if length > size => Err(anyhow!(
                "{label}: it has more than the {size} bytes that were asked for"
            )),
            _ => Ok(()),
        }
    }

    fn changed(&self) -> anyhow::Error {
        anyhow!("{}: it grew or shrank while it was copied", self.label)
    }
}

/// Whether the bytes were all there.
fn write_all(object: &Object, at: u64, mapping: &Mapping, length: usize) -> anyhow::Result<bool> {
    let mut done = 0;
    while done < length {
        match object.write_from(at + done as u64, mapping, done, length - done)? {
            Some(count) => done += count,
            None => return Ok(false),
        }
    }
    Ok(true)
}
