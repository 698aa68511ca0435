//! A process in our process group that says which signals were sent to the whole group.
//!
//! The kernel does not tell the receiver of a signal whether others received it too. The witness blocks all
//! signals, so that each one that is sent to it stays pending until it is asked for: `sigtimedwait(2)`.

use super::child;
use super::raw_signal::only;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::{Duration, Instant};

/// How long the witness waits for a signal that it is asked about. A sender that goes through a list of
/// processes, as systemd does with those of a service, may reach the witness a little later than us.
const ARRIVAL: Duration = Duration::from_millis(5);

/// How long to wait for an answer. Somebody may have stopped or killed the witness.
const ANSWER: Duration = Duration::from_millis(100);

/// The witness. It ends when this is dropped, or when our process ends.
#[derive(Debug)]
pub struct Witness {
    channel: UnixStream,
    /// Numbers the questions, to tell the answer to one that came too late from the answer to the next.
    question: u8,
}

impl Witness {
    /// Forks the witness.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)` and `socketpair(2)`.
    pub fn start() -> std::io::Result<Witness> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ours);
                testify(theirs);
                child::exit(0)
            }
            ForkResult::Parent { .. } => {
                ours.set_read_timeout(Some(ANSWER))?;
                Ok(Witness {
                    channel: ours,
                    question: 0,
                })
            }
        }
    }

    /// Whether this signal was sent to the witness too since it was last asked about it. If the witness does
    /// not answer, the answer is no: a signal that arrives twice is better than one that is lost.
    pub fn received(&mut self, signal: i32) -> bool {
        self.ask(signal, true)
    }

    /// Makes the witness forget a signal that it may have received.
    pub fn forget(&mut self, signal: i32) {
        self.ask(signal, false);
    }

    fn ask(&mut self, signal: i32, wait: bool) -> bool {
        self.question = self.question.wrapping_add(1);
        // There are at most 128 signals, on any machine.
        let question = [self.question, signal as u8, wait.into()];
        if self.channel.write_all(&question).is_err() {
            return false;
        }
        let deadline = Instant::now() + ANSWER;
        let mut answer = [0; 2];
        while Instant::now() < deadline && self.channel.read_exact(&mut answer).is_ok() {
            if answer[0] == self.question {
                return answer[1] == 1;
            }
        }
        false
    }
}

/// Answers questions until there is nobody left to ask them.
fn testify(mut channel: UnixStream) {
    // Everything below goes on without it: the end of the channel ends the witness too.
    let _ = set_pdeathsig(Signal::SIGKILL);
    child::become_helper(c"shm-witness", vec![channel.as_raw_fd()]);
    let mut question = [0; 3];
    while channel.read_exact(&mut question).is_ok() {
        let [number, signal, wait] = question;
        let received = take_pending(
            signal.into(),
            if wait == 1 { ARRIVAL } else { Duration::ZERO },
        );
        if channel.write_all(&[number, received.into()]).is_err() {
            return;
        }
    }
}

/// Takes a pending signal, `sigtimedwait(2)`, which nix does not wrap. Whether there was one in time.
fn take_pending(signal: i32, timeout: Duration) -> bool {
    let set = only(signal);
    let timeout = libc::timespec {
        tv_sec: 0,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the set and the time are memory of our own, and no information about the signal is asked for.
    unsafe { libc::sigtimedwait(&set, ptr::null_mut(), &timeout) == signal }
}
