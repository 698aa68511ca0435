//! Holes in files, that is, ranges of zeros without allocated memory: `SEEK_DATA` and `SEEK_HOLE` of `lseek(2)`.
//!
//! On tmpfs, merely reading a page of a hole through a mapping allocates it. So find the holes first, and do not touch
//! them. tmpfs also reports memory as a hole if it was reserved but never stored into.

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::os::fd::AsFd;

/// Returns the end of the hole that contains the byte at `start`, or `start` itself if that byte is data.
///
/// The range after the last data is a hole that ends at `u64::MAX`. If the file system cannot tell, everything counts
/// as data. This moves the offset of the file.
pub fn end(file: impl AsFd, start: u64) -> u64 {
    match seek(file, start, Whence::SeekData) {
        Ok(data) => data,
        Err(Errno::ENXIO) => u64::MAX,
        Err(_) => start,
    }
}

/// Returns the start of the next hole at or after `start`, which is at most the end of the file. If the file system
/// cannot tell, or if `start` is past the end of the file, this is `u64::MAX`. This moves the offset of the file.
pub fn next(file: impl AsFd, start: u64) -> u64 {
    seek(file, start, Whence::SeekHole).unwrap_or(u64::MAX)
}

/// Returns how many of the bytes from `start` to `end` are in holes. If the file system cannot tell, this is 0 for bytes
/// before the end of the file. This moves the offset of the file.
pub fn count_bytes(file: impl AsFd, start: u64, end: u64) -> u64 {
    let (mut position, mut count) = (start, 0);
    while position < end {
        let data = self::end(&file, position).min(end);
        count += data - position;
        position = next(&file, data);
    }
    count
}

fn seek(file: impl AsFd, start: u64, whence: Whence) -> nix::Result<u64> {
    let start = start.try_into().map_err(|_| Errno::ENXIO)?;
    lseek(file, start, whence)?
        .try_into()
        .map_err(|_| Errno::EOVERFLOW)
}
