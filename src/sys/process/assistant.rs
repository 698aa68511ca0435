//! A child that does one thing after another for this process, with other rights: `fork(2)`, `setsid(2)`.

use super::child::{self, Helper, become_helper};
use super::socket::{MAX_MESSAGE, Socket};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::socket::MsgFlags;
use nix::unistd::{ForkResult, fork, setsid};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// The child, as its parent sees it.
#[derive(Debug)]
pub struct Assistant {
    child: Helper,
    socket: Socket,
}

/// How long the child may take for a request that is not about much memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parent, as the child sees it.
#[derive(Debug)]
pub struct Superior(Socket);

impl Assistant {
    /// Starts the child. It ends when `work` returns.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)` and `socketpair(2)`.
    pub fn start(work: impl FnOnce(&Superior)) -> nix::Result<Assistant> {
        let (ours, theirs) = Socket::pair()?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ours);
                work(&Superior(theirs));
                child::exit(0)
            }
            ForkResult::Parent { child } => Ok(Assistant {
                child: Helper::new(child)?,
                socket: ours,
            }),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// `EPIPE` if the child has ended; otherwise those of `sendmsg(2)`.
    pub fn request(&self, bytes: &[u8]) -> nix::Result<()> {
        self.socket.send(bytes, None)
    }

    /// Waits for the answer to the first request, which may take long: the child fills the objects.
    ///
    /// # Errors
    ///
    /// `ECHILD` if the child has ended; otherwise those of `recvmsg(2)`.
    pub fn answer(&self) -> nix::Result<Vec<u8>> {
        receive(&self.socket)?.ok_or(Errno::ECHILD)
    }

    /// Waits for the answer to a request for some seconds. The child runs as a user of the container, so others there
    /// could stop it. If there is no answer, the child is killed.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if there is no answer; otherwise those of [`answer`](Self::answer).
    pub fn answer_soon(&self) -> nix::Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::ZERO);
            let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut socket, timeout) {
                Err(Errno::EINTR) => {}
                Ok(0) => {
                    // It may have ended meanwhile.
                    let _ = self.child.send(libc::SIGKILL);
                    return Err(Errno::ETIMEDOUT);
                }
                result => {
                    result?;
                    return self.answer();
                }
            }
        }
    }
}

impl Superior {
    /// Waits for the next request. Returns `None` when the parent has ended.
    pub fn next_request(&self) -> Option<Vec<u8>> {
        receive(&self.0).ok().flatten()
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub fn answer(&self, bytes: &[u8]) -> nix::Result<()> {
        self.0.send(bytes, None)
    }

    /// Moves to the background: from now on, nothing that is sent to the parent or to its process group ends this
    /// process, and it keeps only these descriptors.
    ///
    /// # Errors
    ///
    /// Those of `setsid(2)` and `sigprocmask(2)`.
    pub fn move_to_background(&self, mut kept: Vec<i32>) -> nix::Result<()> {
        SigSet::all().thread_block()?;
        setsid()?;
        kept.push(self.0.as_fd().as_raw_fd());
        become_helper(c"shm-place", kept);
        Ok(())
    }
}

fn receive(socket: &Socket) -> nix::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let message = socket.receive(&mut buffer, MsgFlags::empty())?;
    Ok(message.map(|message| message.bytes.to_vec()))
}
