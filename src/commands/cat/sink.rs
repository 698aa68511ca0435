//! Where `cat` puts its bytes: without copying them where that is safe.

use crate::commands::progress::Progress;
use crate::sys::io::pipe::Pipe;
use crate::sys::io::stream::Output;
use crate::sys::memory::mapping::Mapping;
use nix::errno::Errno;
use std::cell::OnceCell;

/// Fewer bytes than this are just copied: to splice them, or to populate their pages, costs more.
const WORTH_A_CALL: u64 = 64 << 10;

/// Standard output, and what it still holds of files that others can change.
pub(super) struct Sink {
    pub(super) output: Output,
    is_file: bool,
    /// The pipe that the output is, if it is one. Looked at once there is enough to splice.
    pipe: OnceCell<Option<Pipe>>,
    /// The kernel would not splice.
    refused: bool,
    /// What is told of each byte that is put.
    pub(super) progress: Option<Progress>,
    /// The bytes that were put behind the last page of a file that was spliced, if one was.
    covered: Option<u64>,
}

impl Sink {
    pub(super) fn new(output: Output) -> nix::Result<Sink> {
        let (pipe, progress) = (OnceCell::new(), None);
        Ok(Sink {
            output,
            is_file: output.is_file()?,
            pipe,
            refused: false,
            progress,
            covered: None,
        })
    }

    /// Puts some of `length` bytes of a file, the first of `left`, and says how many. Into a pipe they are
    /// not copied, but for the last ones, as many as it holds: so no page of the file is left in it.
    pub(super) fn hand_over(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
        left: u64,
    ) -> nix::Result<usize> {
        if left > WORTH_A_CALL
            && !self.refused
            && let Some(pipe) = self.pipe.get_or_init(|| Pipe::from_output(self.output))
            && let length @ 1.. = left.saturating_sub(pipe.capacity()).min(length as u64) as usize
        {
            mapping.populate(offset, length);
            match pipe.splice_from(mapping, offset, length) {
                Err(errno) if is_refusal(errno) => self.refused = true,
                result => {
                    let count = result?;
                    self.covered = Some(0);
                    self.advance(count);
                    return Ok(count);
                }
            }
        }
        // Pages for a device such as /dev/null may not be looked at at all.
        if self.is_file && length as u64 > WORTH_A_CALL {
            mapping.populate(offset, length);
        }
        self.copy(mapping, offset, length)
    }

    /// Puts some of `length` zeros, and says how many. Nobody can change those, so they may be spliced.
    pub(super) fn put_zeros(&mut self, zeros: &Mapping, length: usize) -> nix::Result<usize> {
        if length as u64 > WORTH_A_CALL
            && !self.refused
            && let Some(pipe) = self.pipe.get_or_init(|| Pipe::from_output(self.output))
        {
            match pipe.splice_from(zeros, 0, length) {
                Err(errno) if is_refusal(errno) => self.refused = true,
                result => return result.inspect(|&count| self.cover(count)),
            }
        }
        self.copy(zeros, 0, length)
    }

    /// Puts a copy of some of `length` bytes, and says how many.
    pub(super) fn copy(
        &mut self,
        mapping: &Mapping,
        offset: usize,
        length: usize,
    ) -> nix::Result<usize> {
        let count = self.output.write_from(mapping, offset, length)?;
        self.cover(count);
        Ok(count)
    }

    /// Notes bytes that nobody can change.
    fn cover(&mut self, count: usize) {
        self.covered = self.covered.map(|covered| covered + count as u64);
        self.advance(count);
    }

    fn advance(&self, count: usize) {
        if let Some(progress) = &self.progress {
            progress.advance(count);
        }
    }

    /// Sees to it that no page of a file is left in the pipe: nobody shall change it once we have ended.
    /// There is one only where printing ended early, so that not enough was put behind it.
    pub(super) fn settle(&mut self) -> nix::Result<()> {
        if let Some(covered) = self.covered.take()
            && let Some(Some(pipe)) = self.pipe.get()
            && covered < pipe.capacity()
        {
            pipe.wait_until_empty()?;
        }
        Ok(())
    }
}

/// Whether the kernel has no `vmsplice(2)`, or not for this pipe, or a sandbox does not let us have it.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EACCES
    )
}
