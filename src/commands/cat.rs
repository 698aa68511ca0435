//! `cat`: print files through one memory mapping each.

use super::STDOUT;
use crate::cli::{CatArgs, Input};
use crate::escape;
use crate::exit::Report;
use crate::sys::error::words;
use crate::sys::mapping::Mapping;
use crate::sys::object::{Access, Object};
use crate::sys::stream::{self, Output};
use anyhow::Context;
use nix::errno::Errno;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};

/// The most bytes of a mapping that one write is given; between two the file's size is looked at.
const STEP: usize = 1 << 20;

/// The bytes that are read at once of what cannot be mapped, as many as GNU `cat` reads.
const BUFFER: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// Prints each operand, or says why not.
///
/// # Errors
///
/// Standard output is closed or fails; those of the operands go to the report.
pub fn run(args: &CatArgs, report: &mut Report) -> anyhow::Result<()> {
    let inputs = args.inputs()?;
    let mut printer = Printer {
        output: stream::stdout().context(STDOUT)?,
        buffer: Mapping::private_anonymous(BUFFER).context("cannot get memory for a buffer")?,
    };
    for input in &inputs {
        match print(input, &mut printer) {
            Err(error) if error.is::<OutputFailed>() => return Err(error),
            result => report.note(result),
        }
    }
    Ok(())
}

fn print(input: &Input, printer: &mut Printer) -> anyhow::Result<()> {
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
            let stdin = stream::stdin()
                .context("-")?
                .try_clone_to_owned()
                .context("-")?;
            ("-".to_owned(), File::from(stdin))
        }
    };
    printer.print(file).map_err(|failure| match failure {
        Failure::Input(error) => anyhow::Error::from(error).context(label),
        Failure::Truncated => anyhow::anyhow!("{label}: it was truncated while it was printed"),
        Failure::OwnOutput => anyhow::anyhow!("{label}: input file is output file"),
        Failure::Output(errno) => anyhow::Error::from(OutputFailed(errno)),
    })
}

/// Why printing one input ended early.
enum Failure {
    Input(io::Error),
    Truncated,
    OwnOutput,
    Output(Errno),
}

/// Standard output failed: no other operand can be printed either.
#[derive(Debug, thiserror::Error)]
#[error("{STDOUT}: {}", words(*.0))]
struct OutputFailed(Errno);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Input(error)
    }
}

struct Printer {
    output: Output,
    buffer: Mapping,
}

impl Printer {
    /// Prints a file from its offset to its end, and leaves the offset there.
    fn print(&mut self, mut file: File) -> Result<(), Failure> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Failure::Input(Errno::EISDIR.into()));
        }
        if self.output.is_ahead_in(&file)? {
            return Err(Failure::OwnOutput);
        }
        let size = metadata.len();
        let mapping = metadata.is_file().then(|| map_whole(&file, size)).flatten();
        if let Some(mapping) = &mapping {
            let start = file.stream_position()?;
            let end = self.print_mapped(&file, mapping, start)?;
            file.seek(SeekFrom::Start(end))?;
        }
        // What the file grew by meanwhile, and all of what cannot be mapped.
        self.print_streamed(&file)?;
        if mapping.is_some() && file.stream_position()? < size {
            return Err(Failure::Truncated);
        }
        Ok(())
    }

    /// Prints the mapped file from `start` on, and returns the offset that it came to.
    fn print_mapped(&self, file: &File, mapping: &Mapping, start: u64) -> Result<u64, Failure> {
        let mut position = start;
        // A start beyond the end, or beyond what an address can be, leaves nothing to print.
        while let Some(left) = usize::try_from(position)
            .ok()
            .and_then(|p| mapping.len().checked_sub(p))
            && left > 0
        {
            match self
                .output
                .write_from(mapping, position as usize, left.min(STEP))
            {
                Ok(written) => position += written as u64,
                // The pages are gone, or cannot be had: reading tells which.
                Err(Errno::EFAULT) => break,
                Err(errno) => return Err(Failure::Output(errno)),
            }
            // The rest of a page that the file ends in is zeros, which nobody wrote.
            if file.metadata()?.len() < position {
                return Err(Failure::Truncated);
            }
        }
        Ok(position)
    }

    fn print_streamed(&mut self, file: &File) -> Result<(), Failure> {
        loop {
            let length =
                stream::read_into(file.as_fd(), &mut self.buffer).map_err(io::Error::from)?;
            if length == 0 {
                return Ok(());
            }
            let mut written = 0;
            while written < length {
                written += self
                    .output
                    .write_from(&self.buffer, written, length - written)
                    .map_err(Failure::Output)?;
            }
        }
    }
}

/// One mapping of the whole file, or none where there is nothing to map or the kernel will not.
fn map_whole(file: &File, size: u64) -> Option<Mapping> {
    let length = NonZero::new(usize::try_from(size).ok()?)?;
    Mapping::shared_file(file, 0, length, Access::Read).ok()
}
