//! Holes in files: ranges of zeros that take no memory, `SEEK_DATA` and `SEEK_HOLE` of `lseek(2)`.
//!
//! A page of a hole that is only read through a mapping is allocated where the file is in memory (tmpfs),
//! so holes are asked for, and not touched. Memory that is reserved and was never stored into counts as
//! a hole there.

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::os::fd::AsFd;

/// Where the hole ends that the byte at `start` lies in; `start` itself when it lies in data.
///
/// Past the end of the file all is hole, up to `u64::MAX`. A kernel that cannot tell says data. The file's
/// offset is moved.
pub fn end(file: impl AsFd, start: u64) -> u64 {
    match seek(file, start, Whence::SeekData) {
        Ok(data) => data,
        Err(Errno::ENXIO) => u64::MAX,
        Err(_) => start,
    }
}

/// Where the data end that the byte at `start` lies in: at the next hole, or at the end of the file. A
/// kernel that cannot tell says `u64::MAX`. The file's offset is moved.
pub fn next(file: impl AsFd, start: u64) -> u64 {
    seek(file, start, Whence::SeekHole).unwrap_or(u64::MAX)
}

fn seek(file: impl AsFd, start: u64, whence: Whence) -> nix::Result<u64> {
    let start = start.try_into().map_err(|_| Errno::ENXIO)?;
    lseek(file, start, whence)?
        .try_into()
        .map_err(|_| Errno::EOVERFLOW)
}
