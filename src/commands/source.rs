//! Reads a FILE for `cat` and `create --from`: through a mapping if possible, otherwise with `read(2)`.

use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::hole;
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// The number of bytes of a mapping that are passed on together. No more than these are resident at a time.
pub const STEP: u64 = 1 << 20;

/// The size of the buffer for files that cannot be mapped, the same as that of GNU `cat`.
const BUFFER_SIZE: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// The largest offset at which a whole buffer can be read.
const LAST_READ: u64 = i64::MAX as u64 - BUFFER_SIZE.get() as u64;

/// A part of a file. The offset is relative to the current position of the file.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub offset: u64,
    pub length: u64,
}

impl Part {
    /// From the current position to the end of the file.
    pub const ALL: Part = Part {
        offset: 0,
        length: u64::MAX,
    };

    /// Returns the number of bytes of the part in this file, if the size of the file is known.
    pub fn length_in(self, file: &mut File) -> Option<u64> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        let start = file.stream_position().ok()?.saturating_add(self.offset);
        let left = metadata.len().saturating_sub(start);
        (left > 0).then_some(left.min(self.length))
    }
}

/// The destination of the bytes.
pub trait Sink {
    /// Why bytes cannot be written to the sink.
    type Error;

    /// Called before the first byte of a mapping, with the number of bytes that will follow from it.
    fn start(&mut self, length: u64) -> Result<(), Self::Error>;

    /// Takes at least one of `length` bytes of a mapped file, and returns how many. Returns 0 if the bytes cannot be
    /// read through the mapping. `left` is the number of bytes up to the end of the part.
    fn put_mapped(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        left: u64,
    ) -> Result<usize, Self::Error>;

    /// Takes at least one of the `length` zeros of a hole, and returns how many. Returns 0 if the hole must be read
    /// like data instead.
    fn put_zeros(&mut self, length: u64) -> Result<u64, Self::Error>;

    /// Takes the first `length` bytes of a buffer.
    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> Result<(), Self::Error>;

    /// Called after the mapped part, which ends at `end`, with the current size of the file. An error stops the
    /// copying.
    fn check_size(&mut self, end: u64, size: u64) -> Result<(), Self::Error>;
}

/// Why a file was not copied completely.
#[derive(Debug)]
pub enum Failure<E> {
    Input(io::Error),
    Output(E),
}

impl<E> From<io::Error> for Failure<E> {
    fn from(error: io::Error) -> Failure<E> {
        Failure::Input(error)
    }
}

/// Reads files into a [`Sink`].
#[derive(Debug)]
pub struct Reader {
    buffer: Mapping,
}

impl Reader {
    /// Creates a reader with a buffer for files that cannot be mapped.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for the buffer.
    pub fn new() -> nix::Result<Reader> {
        Mapping::private_anonymous(BUFFER_SIZE).map(|buffer| Reader { buffer })
    }

    /// Copies a part of a file to the sink, and moves the position of the file to the end of the part. The bytes are
    /// the same as those that `cat` prints.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or if the sink fails.
    pub fn copy<S: Sink>(
        &mut self,
        file: &mut File,
        part: Part,
        sink: &mut S,
    ) -> Result<(), Failure<S::Error>> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Failure::Input(Errno::EISDIR.into()));
        }
        let mut left = part.length;
        if let Some((mapping, start, end)) = map_whole(file, &metadata, part) {
            sink.start(end - start).map_err(Failure::Output)?;
            let position = copy_mapped(file, &mapping, start, end, sink)?;
            // If the file was truncated, the rest of its last page read as zeros that are not in the file.
            let size = file.metadata()?.len();
            sink.check_size(end, size).map_err(Failure::Output)?;
            file.seek(SeekFrom::Start(position))?;
            left -= position - start;
        } else if !self.skip(file, part.offset)? {
            return Ok(());
        }
        // This reads all bytes of a file that cannot be mapped. Of a mapped file, it reads bytes that were added since,
        // bytes after the reported size, and bytes that could not be read through the mapping. If there was an I/O
        // error, read(2) reports it.
        self.copy_unmapped(file, left, sink)
    }

    /// Skips `length` bytes. Returns false if the file has fewer.
    fn skip(&mut self, file: &mut File, mut length: u64) -> io::Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        if let Some(has_bytes) = seek_forward(file, length) {
            return Ok(has_bytes);
        }
        while length > 0 {
            let count = self.read(file, length)?;
            if count == 0 {
                return Ok(false);
            }
            length -= count as u64;
        }
        Ok(true)
    }

    fn copy_unmapped<S: Sink>(
        &mut self,
        file: &File,
        mut length: u64,
        sink: &mut S,
    ) -> Result<(), Failure<S::Error>> {
        while length > 0 {
            let count = self.read(file, length)?;
            if count == 0 {
                break;
            }
            sink.put_buffer(&self.buffer, count)
                .map_err(Failure::Output)?;
            length -= count as u64;
        }
        Ok(())
    }

    /// Reads at most `length` bytes into the buffer. It never reads more bytes than are used, because the next program
    /// that reads from the same pipe would miss them.
    fn read(&mut self, file: &File, length: u64) -> io::Result<usize> {
        let length = length.min(self.buffer.len() as u64) as usize;
        Ok(stream::read_into(file.as_fd(), &mut self.buffer, length)?)
    }
}

/// Returns whether the bytes from the current position to the end of the file can be read through a mapping, and again
/// later. Their number is then known: the file ends where its reported size says.
pub fn is_repeatable(file: &mut File) -> bool {
    let is_mappable = |file: &mut File, metadata: &Metadata| {
        let ends = file.read_at(&mut [0], metadata.len());
        ends.is_ok_and(|count| count == 0) && map_whole(file, metadata, Part::ALL).is_some()
    };
    file.metadata()
        .is_ok_and(|metadata| is_mappable(file, &metadata))
}

/// Returns a duplicate of standard input. It shares the file offset, so the next program that reads from standard input
/// continues where we stopped.
///
/// # Errors
///
/// Fails if standard input is closed.
pub fn stdin() -> io::Result<File> {
    Ok(stream::stdin()?.try_clone_to_owned()?.into())
}

/// Moves the file offset forward, and returns whether there can be bytes at the new offset. Returns None if the bytes
/// in between must be read instead: from a pipe, and from a device on which `lseek(2)` succeeds without effect
/// (`/dev/zero`).
fn seek_forward(file: &mut File, length: u64) -> Option<bool> {
    let start = file.stream_position().ok()?;
    let target = start.saturating_add(length);
    match file.seek(SeekFrom::Start(target)) {
        // No file has bytes near the largest offset, but read(2) fails there instead of returning 0.
        Ok(position) if position == target => return Some(target <= LAST_READ),
        Ok(_) => return None,
        Err(_) => {}
    }
    // A disk rejects an offset past its end, and a file system rejects one past its maximum file size.
    match file.seek(SeekFrom::End(0)) {
        Ok(end) if end <= target => Some(false),
        _ => {
            // If the offset cannot be restored, reading continues at the wrong place, and will fail too.
            let _ = file.seek(SeekFrom::Start(start));
            None
        }
    }
}

/// Maps a regular file, and returns the mapping with the start and end of the part. Returns None if the kernel refuses,
/// as for some FUSE files, or if the address space is full.
fn map_whole(file: &mut File, metadata: &Metadata, part: Part) -> Option<(Mapping, u64, u64)> {
    let size = metadata.len();
    if !metadata.is_file() || !has_size(file, size) {
        return None;
    }
    let start = file.stream_position().ok()?.saturating_add(part.offset);
    let end = start.saturating_add(part.length).min(size);
    if start >= end {
        return None;
    }
    // Map the whole file even for a part of it: a mapping on hugetlbfs must start at a huge page.
    let length = NonZero::new(usize::try_from(size).ok()?)?;
    let mapping = Mapping::shared_file(file, 0, length, Access::Read).ok()?;
    if end - start > STEP {
        mapping.will_be_read_in_order();
    }
    Some((mapping, start, end))
}

/// Returns whether the last byte according to the size can be read. Some file systems report a wrong size.
fn has_size(file: &File, size: u64) -> bool {
    size > 0 && file.read_at(&mut [0], size - 1).is_ok_and(|read| read == 1)
}

/// Copies a range of a mapped file to the sink, and returns the offset after the last byte that was copied. It is less
/// than `end` if the file was truncated or cannot be read through the mapping.
fn copy_mapped<S: Sink>(
    file: &File,
    mapping: &Mapping,
    start: u64,
    end: u64,
    sink: &mut S,
) -> Result<u64, Failure<S::Error>> {
    let (mut position, mut data_end) = (start, start);
    while position < end {
        if position == data_end {
            let hole_end = hole::end(file, position).min(end);
            if hole_end > position {
                // The file may have been truncated: there is no hole after its end.
                let zeros = hole_end
                    .min(file.metadata()?.len())
                    .saturating_sub(position);
                let count = sink.put_zeros(zeros).map_err(Failure::Output)?;
                if count == 0 {
                    break;
                }
                position += count;
                data_end = position;
                continue;
            }
            data_end = hole::next(file, position).clamp(position, end);
        }
        let step = (data_end - position).min(STEP);
        // These fit into usize because they are within the mapping.
        let (first, length) = (position as usize, step as usize);
        let mut done = 0;
        while done < length {
            let left = end - position - done as u64;
            match sink
                .put_mapped(mapping, first + done, length - done, left)
                .map_err(Failure::Output)?
            {
                0 => break,
                count => done += count,
            }
        }
        mapping.drop_pages(first, length);
        position += done as u64;
        if done < length {
            break;
        }
    }
    Ok(position)
}
