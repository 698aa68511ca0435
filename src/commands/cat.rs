//! `cat`: prints files, each through one memory mapping.

use super::place;
use super::source::{self, Failure, Part, Reader};
use super::{STDOUT, is_output_failure};
use crate::cli::{CatArgs, Input};
use crate::commands::progress::Progress;
use crate::exit::{Report, with_hint};
use crate::sys::error::Error;
use crate::sys::file::error::FileError;
use crate::sys::file::source::FileSource;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use crate::sys::status::FileStatus;
use anyhow::{Context, anyhow};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sink::Sink;
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

mod sink;

/// The number of zeros that are spliced with one call. The pipe is locked during each call, so a larger number would
/// keep the reader waiting.
const ZEROS: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// Prints each operand.
///
/// # Errors
///
/// Fails if standard output is closed or cannot be written to. Errors of single operands go to the report.
pub fn run(args: &CatArgs, report: &mut Report) -> anyhow::Result<()> {
    let inputs = args.inputs()?;
    let part = Part {
        offset: args.offset,
        length: args.length.unwrap_or(u64::MAX),
    };
    // Before anything is opened that could take the descriptor that a FILE means: /dev/fd/3.
    let origins: Vec<_> = inputs.iter().map(Origin::new).collect();
    let mut printer = Printer {
        sink: Sink::new(stream::stdout().context(STDOUT)?).context(STDOUT)?,
        zeros: OnceCell::new(),
    };
    let directory = place::enter(args.target.target.as_ref())?;
    let mut reader = Reader::new().context("cannot get memory for a buffer")?;
    for origin in origins {
        let origin = match origin {
            Ok(origin) => origin,
            Err(error) => {
                report.note(Err(error.into()));
                continue;
            }
        };
        match print(
            &origin,
            &directory,
            part,
            args.progress,
            &mut reader,
            &mut printer,
        ) {
            // The other operands could not be printed either.
            Err(error) if is_output_failure(&error) => return Err(error),
            result => report.note(result),
        }
    }
    Ok(())
}

/// Where the bytes of an operand come from.
enum Origin<'a> {
    Object(&'a ShmName),
    File(&'a Path, FileSource),
    Stdin,
}

impl Origin<'_> {
    fn new(input: &Input) -> Result<Origin<'_>, FileError> {
        Ok(match input {
            Input::Object(name) => Origin::Object(name),
            Input::File(path) => Origin::File(path, FileSource::new(path.as_os_str())?),
            Input::Stdin => Origin::Stdin,
        })
    }
}

fn print(
    origin: &Origin,
    directory: &Directory,
    part: Part,
    progress: bool,
    reader: &mut Reader,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let (label, mut file) = match origin {
        Origin::Object(name) => (
            name.to_string(),
            File::from(OwnedFd::from(open_object(directory, name)?)),
        ),
        Origin::File(path, source) => {
            let label = source.label().to_owned();
            let file = File::open(source.path())
                .with_context(|| label.clone())
                .map_err(|error| hint_at_shm(path, error))?;
            (label, file)
        }
        Origin::Stdin => ("-".to_owned(), source::stdin().context("-")?),
    };
    let is_own_output = printer.sink.output.feeds_back_into(&file);
    if is_own_output.with_context(|| label.clone())? {
        return Err(anyhow!("{label}: input file is output file"));
    }
    if progress {
        let total = part.length_in(&mut file);
        printer.sink.progress = Progress::show(&label, total, io::stdout().is_terminal());
    }
    let printed = reader.copy(&mut file, part, printer);
    printer.sink.progress = None;
    let drained = printer.sink.drain().and_then(|waited| match waited {
        // Meanwhile, the rest of a page that was in the pipe may have become zeros that are not in the file.
        true => is_shorter_than_printed(&mut file),
        false => Ok(false),
    });
    let printed = printed.and(match drained {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::Output(Stop::Truncated)),
        Err(errno) => Err(Failure::Output(Stop::Output(errno))),
    });
    printed.map_err(|failure| match failure {
        Failure::Input(error) => anyhow::Error::from(error).context(label),
        Failure::Output(Stop::Truncated) => {
            anyhow!("{label}: truncated while it was printed")
        }
        Failure::Output(Stop::Output(errno)) => anyhow::Error::from(errno).context(STDOUT),
    })
}

/// Returns whether a regular file is shorter than what was printed of it.
fn is_shorter_than_printed(file: &mut File) -> nix::Result<bool> {
    let end = lseek(file.as_fd(), 0, Whence::SeekCur);
    let status = FileStatus::of(file)?;
    Ok(status.is_file() && end.is_ok_and(|end| status.size < end as u64))
}

/// Why printing an input stopped early although it can be read.
enum Stop {
    Truncated,
    Output(Errno),
}

/// Standard output as a sink of [`source::Reader`].
struct Printer {
    sink: Sink,
    /// The zeros that are printed for holes, mapped when the first hole is printed. The mapping is shared although no
    /// other process uses it: a shared mapping has pages of its own, while all pages of a private mapping that was
    /// never written to are the same zero page, and the kernel is slow to splice that.
    zeros: OnceCell<Option<Mapping>>,
}

impl source::Sink for Printer {
    type Error = Stop;

    fn start(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }

    fn put_mapped(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        left: u64,
    ) -> Result<usize, Stop> {
        match self.sink.splice_or_copy(mapping, offset, length, left) {
            Err(Errno::EFAULT) => Ok(0),
            result => result.map_err(Stop::Output),
        }
    }

    /// Returns 0 if there is no memory for the zeros. The hole is read from the file then.
    fn put_zeros(&mut self, length: u64) -> Result<u64, Stop> {
        match self
            .zeros
            .get_or_init(|| Mapping::shared_anonymous(ZEROS).ok())
        {
            Some(zeros) if length > 0 => {
                let count = length.min(zeros.len() as u64) as usize;
                Ok(self.sink.put_zeros(zeros, count).map_err(Stop::Output)? as u64)
            }
            _ => Ok(0),
        }
    }

    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> Result<(), Stop> {
        let mut written = 0;
        while written < length {
            written += self
                .sink
                .copy(buffer, written, length - written)
                .map_err(Stop::Output)?;
        }
        Ok(())
    }

    fn check_size(&mut self, end: u64, size: u64) -> Result<(), Stop> {
        match size < end {
            true => Err(Stop::Truncated),
            false => Ok(()),
        }
    }
}

/// Adds the hint `--shm` to the error of a missing file if an object of that name exists.
fn hint_at_shm(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let is_object = || {
        let name = ShmName::new(path.as_os_str());
        name.is_ok_and(|name| Directory::own().stat(&name).is_ok())
    };
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match error.downcast_ref().is_some_and(is_missing) && is_object() {
        true => with_hint(
            &error,
            "add --shm to print the shared memory object of that name",
        ),
        false => error,
    }
}

/// Opens an object. If there is none, but a file of that name, the error gets the hint to omit `--shm`.
fn open_object(directory: &Directory, name: &ShmName) -> anyhow::Result<Object> {
    Object::open(directory, name, Access::Read).map_err(|error| {
        let is_missing = matches!(error, Error::NotFound(_));
        let error = error.into();
        match is_missing && directory.is_own() && Path::new(name.file_name()).is_file() {
            true => with_hint(&error, "omit --shm to print the file of that name"),
            false => error,
        }
    })
}
