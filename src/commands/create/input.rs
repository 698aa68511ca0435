//! FILE of `create --from`.

use crate::commands::source;
use crate::sys::escape;
use crate::sys::file::error::FileError;
use crate::sys::file::source::FileSource;
use anyhow::Context;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// A FILE that need not be open yet.
#[derive(Debug)]
pub struct Input {
    /// The name of FILE in messages.
    label: String,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Stdin,
    Source(FileSource),
    /// It is open already.
    File(File),
}

impl Input {
    /// Interprets FILE, but does not open it. Call this before the process opens anything, because FILE can mean a
    /// descriptor that the process inherited: `/dev/fd/3`.
    ///
    /// # Errors
    ///
    /// Fails if there is no such descriptor.
    pub fn new(from: &OsStr) -> Result<Input, FileError> {
        let origin = match from == "-" {
            true => Origin::Stdin,
            false => Origin::Source(FileSource::new(from)?),
        };
        let label = escape::operand(from);
        Ok(Input { label, origin })
    }

    /// The name of FILE in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns whether FILE can be read only once: standard input, and a FIFO.
    pub fn is_read_once(&self) -> bool {
        let metadata = match &self.origin {
            Origin::Stdin => return true,
            Origin::Source(source) => fs::metadata(source.path()),
            Origin::File(file) => file.metadata(),
        };
        metadata.is_ok_and(|metadata: Metadata| metadata.file_type().is_fifo())
    }

    /// Opens FILE, so that this process can give up its rights.
    ///
    /// # Errors
    ///
    /// Fails if FILE cannot be opened.
    pub fn open_early(&mut self) -> anyhow::Result<()> {
        if let Origin::Source(_) = self.origin {
            self.origin = Origin::File(self.open()?);
        }
        Ok(())
    }

    /// Opens FILE, or returns the file that is open already, at its start if it is one that can be read several times.
    ///
    /// # Errors
    ///
    /// Fails if FILE cannot be opened.
    pub fn open(&self) -> anyhow::Result<File> {
        let file = match &self.origin {
            Origin::Stdin => source::stdin(),
            Origin::Source(source) => File::open(source.path()),
            Origin::File(file) => restart(file),
        };
        file.with_context(|| self.label.clone())
    }

    /// Uses another file, with the contents of FILE, in its place.
    pub fn replace_with(&mut self, file: impl Into<OwnedFd>) {
        self.origin = Origin::File(file.into().into());
    }

    /// Returns the descriptor of a FILE that is open.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.origin {
            Origin::File(file) => Some(file.as_fd()),
            _ => None,
        }
    }
}

fn restart(file: &File) -> io::Result<File> {
    let mut file = file.try_clone()?;
    if file.metadata()?.is_file() {
        file.rewind()?;
    }
    Ok(file)
}
