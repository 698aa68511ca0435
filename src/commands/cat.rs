//! `cat`: print files through one memory mapping each.

use super::{STDOUT, has_size, is_output_failure};
use crate::cli::{CatArgs, Input};
use crate::commands::progress::Progress;
use crate::exit::Report;
use crate::sys::escape;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::object::Object;
use anyhow::{Context, anyhow};
use nix::errno::Errno;
use sink::Sink;
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, IsTerminal, Seek, SeekFrom};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};

mod sink;

/// The bytes of a mapping that are handled at once: what is resident at the most.
const STEP: u64 = 1 << 20;

/// The bytes that are read at once of what cannot be mapped, as many as GNU `cat` reads.
const BUFFER: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// The zeros that are handed over at once: few enough that the reader can take some meanwhile, for the pipe
/// is locked during each call.
const ZEROS: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// Prints each operand, or says why not.
///
/// # Errors
///
/// Standard output is closed or fails; those of the operands go to the report.
pub fn run(args: &CatArgs, report: &mut Report) -> anyhow::Result<()> {
    let inputs = args.inputs()?;
    let part = Part {
        offset: args.offset,
        length: args.length.unwrap_or(u64::MAX),
    };
    let mut printer = Printer {
        sink: Sink::new(stream::stdout().context(STDOUT)?).context(STDOUT)?,
        buffer: Mapping::private_anonymous(BUFFER).context("cannot get memory for a buffer")?,
        zeros: OnceCell::new(),
    };
    for input in &inputs {
        match print(input, part, args.progress, &mut printer) {
            // No other operand can be printed either.
            Err(error) if is_output_failure(&error) => return Err(error),
            result => report.note(result),
        }
    }
    Ok(())
}

/// Which bytes of each input are printed.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    length: u64,
}

impl Part {
    /// How many bytes of a file that is, if the file says.
    fn of(self, file: &File) -> Option<u64> {
        let metadata = file.metadata().ok()?;
        let left = metadata.len().saturating_sub(self.offset);
        (metadata.is_file() && left > 0).then_some(left.min(self.length))
    }
}

fn print(input: &Input, part: Part, progress: bool, printer: &mut Printer) -> anyhow::Result<()> {
    let (label, file) = match input {
        Input::Object(name) => (
            name.to_string(),
            File::from(OwnedFd::from(Object::open(name, Access::Read)?)),
        ),
        Input::File(path) => {
            let label = escape::operand(path.as_os_str());
            let file = File::open(path).with_context(|| label.clone())?;
            (label, file)
        }
        // A duplicate shares its offset: what is printed counts as read for whoever reads on after us.
        Input::Stdin => {
            let stdin = stream::stdin().map_err(io::Error::from);
            let own = stdin
                .and_then(|stdin| stdin.try_clone_to_owned())
                .context("-")?;
            ("-".to_owned(), File::from(own))
        }
    };
    if progress {
        printer.sink.progress = Progress::show(&label, part.of(&file), io::stdout().is_terminal());
    }
    let printed = printer.print(file, part);
    printer.sink.progress = None;
    let settled = printer.sink.settle().map_err(Failure::Output);
    printed.and(settled).map_err(|failure| match failure {
        Failure::Input(error) => anyhow::Error::from(error).context(label),
        Failure::Truncated => anyhow!("{label}: it was truncated while it was printed"),
        Failure::OwnOutput => anyhow!("{label}: input file is output file"),
        Failure::Output(errno) => anyhow::Error::from(errno).context(STDOUT),
    })
}

/// Why printing one input ended early.
enum Failure {
    Input(io::Error),
    Truncated,
    OwnOutput,
    Output(Errno),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Input(error)
    }
}

struct Printer {
    sink: Sink,
    /// What is streamed goes through here.
    buffer: Mapping,
    /// What holes are printed from, once there is one. Nothing is ever stored here. It is shared, though
    /// with nobody: that has pages of its own, where private memory that was never stored into is one page
    /// that the kernel is slow to splice.
    zeros: OnceCell<Option<Mapping>>,
}

impl Printer {
    /// Prints a part of a file, from its offset on, and leaves the offset behind it.
    fn print(&mut self, mut file: File, part: Part) -> Result<(), Failure> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Failure::Input(Errno::EISDIR.into()));
        }
        if self.sink.output.is_ahead_in(&file)? {
            return Err(Failure::OwnOutput);
        }
        let size = metadata.len();
        if !metadata.is_file() || !has_size(&file, size) {
            return if self.skip(&file, part.offset)? {
                self.stream(&file, part.length)
            } else {
                Ok(())
            };
        }
        let start = file.stream_position()?.saturating_add(part.offset);
        if start > size {
            return Ok(());
        }
        let end = start.saturating_add(part.length).min(size);
        let mut position = start;
        if start < end
            && let Some(mapping) = map_whole(&file, size)
        {
            position = self.print_mapped(&file, &mapping, start, end)?;
            // The rest of a page that the file ends in now is zeros, which nobody wrote.
            if file.metadata()?.len() < end {
                return Err(Failure::Truncated);
            }
        }
        file.seek(SeekFrom::Start(position))?;
        // What the file grew by meanwhile, and all of one that cannot be mapped.
        self.stream(&file, part.length.saturating_sub(position - start))
    }

    /// Prints a range of a mapped file, and returns the offset that it came to: less than `end` where
    /// bytes are gone, or cannot be had.
    fn print_mapped(
        &mut self,
        file: &File,
        mapping: &Mapping,
        start: u64,
        end: u64,
    ) -> Result<u64, Failure> {
        let (mut position, mut data_end) = (start, start);
        while position < end {
            if position == data_end {
                let hole_end = hole::end(file, position).min(end);
                if hole_end > position {
                    // Behind the end of a file that was truncated there is no hole either.
                    let left = hole_end
                        .min(file.metadata()?.len())
                        .saturating_sub(position);
                    let printed = self.print_zeros(left)?;
                    if printed == 0 {
                        break;
                    }
                    position += printed;
                    data_end = position;
                    continue;
                }
                data_end = hole::next(file, position).clamp(position, end);
            }
            let step = (data_end - position).min(STEP);
            let printed = self.print_data(mapping, position, step, end - position)?;
            position += printed;
            if printed < step {
                break;
            }
        }
        Ok(position)
    }

    /// Prints `length` bytes of a mapped file, the first of `left`, and returns how many: less where they
    /// are gone, or cannot be had.
    fn print_data(
        &mut self,
        mapping: &Mapping,
        position: u64,
        length: u64,
        left: u64,
    ) -> Result<u64, Failure> {
        // Both fit: they are within the mapping.
        let (start, length) = (position as usize, length as usize);
        let mut done = 0;
        while done < length {
            match self
                .sink
                .hand_over(mapping, start + done, length - done, left - done as u64)
            {
                Ok(count) => done += count,
                Err(Errno::EFAULT) => break,
                Err(errno) => return Err(Failure::Output(errno)),
            }
        }
        mapping.let_go(start, length);
        Ok(done as u64)
    }

    /// Prints some of `length` zero bytes, and returns how many: none where there is no memory for them.
    fn print_zeros(&mut self, length: u64) -> Result<u64, Failure> {
        match self
            .zeros
            .get_or_init(|| Mapping::shared_anonymous(ZEROS).ok())
        {
            Some(zeros) if length > 0 => {
                let step = length.min(zeros.len() as u64) as usize;
                Ok(self.sink.put_zeros(zeros, step).map_err(Failure::Output)? as u64)
            }
            _ => Ok(0),
        }
    }

    /// Reads over `length` bytes; whether there were as many.
    fn skip(&mut self, file: &File, mut length: u64) -> Result<bool, Failure> {
        while length > 0 {
            let read = self.read(file, length)?;
            if read == 0 {
                return Ok(false);
            }
            length -= read as u64;
        }
        Ok(true)
    }

    /// Prints up to `length` bytes of what is read until the end.
    fn stream(&mut self, file: &File, mut length: u64) -> Result<(), Failure> {
        while length > 0 {
            let read = self.read(file, length)?;
            if read == 0 {
                break;
            }
            length -= read as u64;
            let mut written = 0;
            while written < read {
                written += self
                    .sink
                    .copy(&self.buffer, written, read - written)
                    .map_err(Failure::Output)?;
            }
        }
        Ok(())
    }

    /// Reads at most `length` bytes into the buffer: no more than will be used, for what is read from a
    /// pipe is gone for whoever reads on after us.
    fn read(&mut self, file: &File, length: u64) -> Result<usize, Failure> {
        let length = length.min(self.buffer.len() as u64) as usize;
        Ok(stream::read_into(file.as_fd(), &mut self.buffer, length).map_err(io::Error::from)?)
    }
}

/// One mapping of the whole file, or none where the kernel makes none.
fn map_whole(file: &File, size: u64) -> Option<Mapping> {
    let length = NonZero::new(usize::try_from(size).ok()?)?;
    Mapping::shared_file(file, 0, length, Access::Read).ok()
}
