//! Reading a FILE, as `cat` and `create --from` do it: mapped where that is possible, read where not.

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

/// The bytes of a mapping that are handled at once. No more than these are resident.
const STEP: u64 = 1 << 20;

/// The bytes that are read at once from what cannot be mapped, as many as GNU `cat` reads.
const BUFFER: NonZero<usize> = NonZero::new(128 << 10).unwrap();

/// The largest offset at which a whole buffer can be read.
const LAST_READ: u64 = i64::MAX as u64 - BUFFER.get() as u64;

/// Which bytes of a file are meant. The offset counts from where the file is now.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub offset: u64,
    pub length: u64,
}

impl Part {
    /// From where the file is to its end.
    pub const ALL: Part = Part {
        offset: 0,
        length: u64::MAX,
    };

    /// How many bytes of a file that is, if the file says.
    pub fn length_in(self, file: &mut File) -> Option<u64> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        let start = file.stream_position().ok()?.saturating_add(self.offset);
        let left = metadata.len().saturating_sub(start);
        (left > 0).then_some(left.min(self.length))
    }
}

/// Where the bytes go.
pub trait Sink {
    /// Why they cannot go there.
    type Error;

    /// Is told how many bytes come from a mapping, before the first of them.
    fn start(&mut self, length: u64) -> Result<(), Self::Error>;

    /// Takes some of `length` bytes of a file that is mapped, the first of `left`, and returns how many. Returns 0
    /// if they cannot be had through the mapping.
    fn put_mapped(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        left: u64,
    ) -> Result<usize, Self::Error>;

    /// Takes some of the `length` zeros of a hole, and returns how many. Returns 0 if it has to get them otherwise.
    fn put_zeros(&mut self, length: u64) -> Result<u64, Self::Error>;

    /// Takes all bytes of a buffer up to `length`.
    fn put_buffer(&mut self, buffer: &Mapping, length: usize) -> Result<(), Self::Error>;

    /// Decides whether to go on with a file that ended at `end` and has `size` bytes now that it was printed or copied
    /// that far.
    fn check_size(&mut self, end: u64, size: u64) -> Result<(), Self::Error>;
}

/// Why a file was not read to its end.
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
    /// Gets a buffer for what cannot be mapped.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn new() -> nix::Result<Reader> {
        Mapping::private_anonymous(BUFFER).map(|buffer| Reader { buffer })
    }

    /// Puts a part of a file into the sink, byte for byte what `cat` prints, and leaves the file's offset behind it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the sink failed.
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
            // The rest of a page that the file ends in now is zeros, which nobody wrote.
            let size = file.metadata()?.len();
            sink.check_size(end, size).map_err(Failure::Output)?;
            file.seek(SeekFrom::Start(position))?;
            left -= position - start;
        } else if !self.skip(file, part.offset)? {
            return Ok(());
        }
        // All of what cannot be mapped. Of a file that was mapped: what it has grown by, what it has beyond the size
        // that it claims, and what could not be had through the mapping; if that was an I/O error, read(2) says so.
        self.copy_read(file, left, sink)
    }

    /// Moves on by `length` bytes. Returns false if the file ends before.
    fn skip(&mut self, file: &mut File, mut length: u64) -> io::Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        if let Some(is_there) = seek_forward(file, length) {
            return Ok(is_there);
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

    fn copy_read<S: Sink>(
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

    /// Reads at most `length` bytes into the buffer: no more than will be used, for what is read from a pipe is gone
    /// for whoever reads on after us.
    fn read(&mut self, file: &File, length: u64) -> io::Result<usize> {
        let length = length.min(self.buffer.len() as u64) as usize;
        Ok(stream::read_into(file.as_fd(), &mut self.buffer, length)?)
    }
}

/// Standard input. A duplicate shares its offset: what is read counts as read for whoever reads on after us.
///
/// # Errors
///
/// It is closed.
pub fn stdin() -> io::Result<File> {
    Ok(stream::stdin()?.try_clone_to_owned()?.into())
}

/// Moves the offset, and returns whether the file can have bytes there. Returns `None` if the bytes before have to be
/// read instead, as from a pipe, and from a device that takes the call and does not move (`/dev/zero`).
fn seek_forward(file: &mut File, length: u64) -> Option<bool> {
    let start = file.stream_position().ok()?;
    let target = start.saturating_add(length);
    match file.seek(SeekFrom::Start(target)) {
        // Near the largest offset there is nothing, and read(2) fails rather than say so.
        Ok(position) if position == target => return Some(target <= LAST_READ),
        Ok(_) => return None,
        Err(_) => {}
    }
    // A disk refuses an offset past its end, and a file system one that no file can have.
    match file.seek(SeekFrom::End(0)) {
        Ok(end) if end <= target => Some(false),
        _ => {
            // If the offset cannot be set back, reading goes on from where it is, which can only fail.
            let _ = file.seek(SeekFrom::Start(start));
            None
        }
    }
}

/// Maps a regular file, and returns the range that is wanted of it, if the kernel makes such a mapping: not for a
/// device, nor for some FUSE files, nor where the address space is full.
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
    // The whole file even for a part of it: hugetlbfs makes no mapping that starts in the middle of a page of its own.
    let length = NonZero::new(usize::try_from(size).ok()?)?;
    let mapping = Mapping::shared_file(file, 0, length, Access::Read).ok()?;
    Some((mapping, start, end))
}

/// Whether there really is a last byte where a file's size says so: some file systems make sizes up.
fn has_size(file: &File, size: u64) -> bool {
    size > 0 && file.read_at(&mut [0], size - 1).is_ok_and(|read| read == 1)
}

/// Puts a range of a mapped file into the sink, and returns the offset that it got to: less than `end` if bytes are
/// gone, or cannot be had.
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
                // Behind the end of a file that was truncated there is no hole either.
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
        // Both fit: they are within the mapping.
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
