//! Changes in a directory, `inotify(7)`.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Sees files get a name, grow, and get memory, but not what is stored through mappings.
#[derive(Debug)]
pub struct Watch(Inotify);

impl Watch {
    /// Watches a directory from now on.
    ///
    /// # Errors
    ///
    /// `EMFILE` when the user watches too much already, `EACCES` when the directory may not be listed.
    pub fn new(directory: &Path) -> nix::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(directory, events | AddWatchFlags::IN_ONLYDIR)?;
        Ok(Watch(inotify))
    }

    /// Sleeps until something has changed since the last time, but at most for `timeout`.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)` and `read(2)`.
    pub fn sleep(&self, timeout: Duration) -> nix::Result<()> {
        // Not less than it says: a timeout of 0 would not sleep at all.
        let milliseconds = timeout.as_micros().div_ceil(1000).try_into();
        let timeout = PollTimeout::from(milliseconds.unwrap_or(u16::MAX));
        match poll(
            &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            result => result?,
        };
        // What the events say does not matter: whoever waits looks for itself. Those left over end the
        // next sleep.
        match read(self.0.as_fd(), &mut [0; 4096]) {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
