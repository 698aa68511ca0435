//! Waiting for changes in a directory: `inotify(7)`.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Notices when files in a directory get a name, grow, are written, or get memory allocated, but not stores through
/// mappings.
#[derive(Debug)]
pub struct Watch(Inotify);

impl Watch {
    /// Starts to watch a directory. Earlier changes are not noticed.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the user has too many inotify instances, `EACCES` if the directory may not be listed; otherwise
    /// those of `inotify_init1(2)` and `inotify_add_watch(2)`.
    pub fn new(directory: &Path) -> nix::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(directory, events | AddWatchFlags::IN_ONLYDIR)?;
        Ok(Watch(inotify))
    }

    /// Sleeps until something changes, at most for `timeout`. Returns immediately if something has changed since the
    /// last call.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)` and `read(2)`.
    pub fn sleep(&self, timeout: Duration) -> nix::Result<()> {
        // Round up: poll with a timeout of 0 would not sleep at all.
        let milliseconds = timeout.as_micros().div_ceil(1000).try_into();
        let timeout = PollTimeout::from(milliseconds.unwrap_or(u16::MAX));
        match poll(
            &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            result => result?,
        };
        // Discard the events, because the caller checks the directory itself. If they do not fit into the buffer, the
        // rest ends the next sleep immediately.
        match read(self.0.as_fd(), &mut [0; 4096]) {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
