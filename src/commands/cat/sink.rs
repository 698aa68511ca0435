//! Standard output of `cat`, written without copying bytes if that is safe.

use crate::commands::progress::Progress;
use crate::commands::source::STEP;
use crate::sys::io::pipe::Pipe;
use crate::sys::io::stream::Output;
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use std::cell::{Cell, OnceCell};

/// Up to this number of bytes are copied, because an additional system call to splice them or to populate their pages
/// costs more than that.
const MAX_COPIED: u64 = 64 << 10;

/// Standard output, and how many pages of files a pipe may still hold. Other processes can change those pages.
pub(super) struct Sink {
    pub(super) output: Output,
    is_file: bool,
    /// The output as a pipe, or None if it is not a pipe. Checked when there is enough to splice for the first time.
    pipe: OnceCell<Option<Pipe>>,
    /// The capacity of the pipe when it was last asked for.
    capacity: Cell<u64>,
    /// Whether the kernel refused to splice.
    splice_refused: bool,
    /// The progress bar, if there is one.
    pub(super) progress: Option<Progress>,
    /// The number of bytes that were written after the last page of a file that was spliced. None if no page was
    /// spliced.
    written_after: Option<u64>,
}

impl Sink {
    pub(super) fn new(output: Output) -> nix::Result<Sink> {
        Ok(Sink {
            output,
            is_file: output.is_file()?,
            pipe: OnceCell::new(),
            capacity: Cell::new(u64::MAX),
            splice_refused: false,
            progress: None,
            written_after: None,
        })
    }

    /// Writes at least one of `length` bytes of a file, and returns how many. `left` is the number of bytes up to the
    /// end.
    ///
    /// If the output is a pipe, bytes are spliced instead of copied, except the last ones: as many as fit into the pipe
    /// are copied, so that at the end the pipe no longer contains pages of the file.
    pub(super) fn splice_or_copy(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        left: u64,
    ) -> nix::Result<usize> {
        if left > MAX_COPIED
            && !self.splice_refused
            && let Some(pipe) = self.pipe.get_or_init(|| Pipe::from_output(self.output))
            && let length @ 1.. = self.splice_length(pipe, length as u64, left) as usize
        {
            mapping.populate(offset, length);
            // If it fails, some bytes may have been spliced.
            let before = self.written_after.replace(0);
            match pipe.splice_from(mapping, offset, length) {
                Err(errno) if is_refusal(errno) => {
                    self.splice_refused = true;
                    self.written_after = before;
                }
                result => {
                    let count = result?;
                    self.advance(count);
                    return Ok(count);
                }
            }
        }
        // A device such as /dev/null may not read the pages at all, and populating them would be wasted.
        if self.is_file && length as u64 > MAX_COPIED {
            mapping.populate(offset, length);
        }
        self.copy(mapping, offset, length)
    }

    /// Returns how many of the next `length` bytes may be spliced, if `left` bytes are left.
    ///
    /// To ask for the capacity takes the lock of the pipe, which the reader holds while it copies. So nobody asks as long
    /// as there is more left than fits into the pipe. If the pipe was enlarged meanwhile, [`drain`](Self::drain) waits.
    fn splice_length(&self, pipe: &Pipe, length: u64, left: u64) -> u64 {
        if left.saturating_sub(STEP) <= self.capacity.get() {
            self.capacity.set(pipe.capacity());
        }
        left.saturating_sub(self.capacity.get()).min(length)
    }

    /// Writes at least one of `length` zeros, and returns how many. They are spliced even at the end, because no other
    /// process can change them.
    pub(super) fn put_zeros(&mut self, zeros: &Mapping, length: usize) -> nix::Result<usize> {
        if length as u64 > MAX_COPIED
            && !self.splice_refused
            && let Some(pipe) = self.pipe.get_or_init(|| Pipe::from_output(self.output))
        {
            match pipe.splice_from(zeros, 0, length) {
                Err(errno) if is_refusal(errno) => self.splice_refused = true,
                result => return result.inspect(|&count| self.count_unchangeable(count)),
            }
        }
        self.copy(zeros, 0, length)
    }

    /// Copies at least one of `length` bytes to the output, and returns how many.
    pub(super) fn copy(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
    ) -> nix::Result<usize> {
        let count = self.output.write_from(mapping, offset, length)?;
        self.count_unchangeable(count);
        Ok(count)
    }

    /// Counts bytes that no other process can change.
    fn count_unchangeable(&mut self, count: usize) {
        self.written_after = self.written_after.map(|bytes| bytes + count as u64);
        self.advance(count);
    }

    fn advance(&self, count: usize) {
        if let Some(progress) = &self.progress {
            progress.advance(count as u64);
        }
    }

    /// Waits until the pipe contains no pages of files: what is in the pipe must not change after shmtool has exited.
    /// Returns whether it was necessary to wait.
    ///
    /// There is such a page only if printing stopped early, because otherwise enough bytes were written after it.
    pub(super) fn drain(&mut self) -> nix::Result<bool> {
        if let Some(bytes) = self.written_after.take()
            && let Some(Some(pipe)) = self.pipe.get()
            && bytes < pipe.capacity()
        {
            return pipe.wait_until_empty().map(|()| true);
        }
        Ok(false)
    }
}

/// Returns whether the error means that `vmsplice(2)` does not exist, does not work for this pipe, or is blocked by a
/// sandbox.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EACCES
    )
}
