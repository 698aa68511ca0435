//! A process in our process group that says which signals were sent to the whole group.
//!
//! The kernel does not tell the receiver of a signal whether others received it too. The witness blocks all
//! signals and takes each one as it comes (`signalfd(2)`). Asked about a signal, it says whether it has received a
//! copy: one that was sent in the same way, by the same user, at about the same time.

use super::child::{self, Helper};
use super::raw_signal::{FIRST_REAL_TIME, all, for_nix};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{ForkResult, fork};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the witness waits for its copy of a signal that it is asked about. A sender that goes through a list of
/// processes, as systemd does with those of a service, may reach the witness a little later than us.
const ARRIVAL: Duration = Duration::from_millis(10);

/// How long after a question was denied a copy can belong to it. If the next question follows the copy within
/// [`ARRIVAL`], the copy belongs to that.
const LATE: Duration = Duration::from_millis(20);

/// How close two standard signals must follow each other for the second to be merged with the first, which is still
/// pending, `signal(7)`. It may have been merged here, but not in our process.
const MERGED: Duration = Duration::from_millis(2);

/// How long to wait for an answer. Somebody may have stopped or killed the witness.
const ANSWER: Duration = Duration::from_millis(100);

/// The witness. It ends when this is dropped, or when our process ends.
#[derive(Debug)]
pub struct Witness {
    helper: Helper,
    channel: UnixStream,
    /// Both processes count time from here.
    epoch: Instant,
    /// Numbers the questions, to tell the answer to one that came too late from the answer to the next.
    question: u8,
}

impl Witness {
    /// Forks the witness. All signals must be blocked already.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)`, `socketpair(2)` and `pidfd_open(2)`.
    pub fn start() -> io::Result<Witness> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(ANSWER))?;
        let epoch = Instant::now();
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ours);
                // Without it, signals arrive twice; with it in an unknown state, they could be lost.
                let _ = testify(theirs, epoch);
                child::exit(0)
            }
            ForkResult::Parent { child } => Ok(Witness {
                helper: Helper::new(child)?,
                channel: ours,
                epoch,
                question: 0,
            }),
        }
    }

    /// Whether the witness received a copy of this signal after the time `since`. If the witness does not answer, the
    /// answer is no: a signal that arrives twice is better than one that is lost.
    pub fn received(&mut self, got: &siginfo, since: Instant) -> bool {
        self.question = self.question.wrapping_add(1);
        let since = since.saturating_duration_since(self.epoch);
        let question = Question {
            number: self.question,
            kind: Kind::of(got),
            since: since.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        let question = question.to_bytes();
        let deadline = Instant::now() + ANSWER;
        let mut answer = [0; 2];
        if self.channel.write_all(&question).is_ok() {
            while Instant::now() < deadline && self.channel.read_exact(&mut answer).is_ok() {
                if answer[0] == self.question {
                    return answer[1] == 1;
                }
            }
        }
        // It may have been stopped together with the whole group, of which only we were continued. If it has ended,
        // this changes nothing.
        let _ = self.helper.send(libc::SIGCONT);
        false
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It also ends by itself, but then nobody waits for it.
        let _ = self.helper.end();
    }
}

/// What copies of a signal have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    signal: u32,
    /// How it was sent, as in `siginfo_t` of `sigaction(2)`.
    code: i32,
    /// Who sent it. Not which process: `xargs kill` runs several.
    uid: u32,
}

impl Kind {
    fn of(got: &siginfo) -> Kind {
        Kind {
            signal: got.ssi_signo,
            code: got.ssi_code,
            uid: got.ssi_uid,
        }
    }
}

/// A question as it goes through the channel.
struct Question {
    number: u8,
    kind: Kind,
    /// The copy came after this time, in nanoseconds.
    since: u64,
}

impl Question {
    const LENGTH: usize = 21;

    fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.number; Self::LENGTH];
        bytes[1..5].copy_from_slice(&self.kind.signal.to_ne_bytes());
        bytes[5..9].copy_from_slice(&self.kind.code.to_ne_bytes());
        bytes[9..13].copy_from_slice(&self.kind.uid.to_ne_bytes());
        bytes[13..].copy_from_slice(&self.since.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; Self::LENGTH]) -> Question {
        let [number, a, b, c, d, e, f, g, h, i, j, k, l, since @ ..] = bytes;
        Question {
            number,
            kind: Kind {
                signal: u32::from_ne_bytes([a, b, c, d]),
                code: i32::from_ne_bytes([e, f, g, h]),
                uid: u32::from_ne_bytes([i, j, k, l]),
            },
            since: u64::from_ne_bytes(since),
        }
    }
}

/// Signals with the time at which they were noted.
#[derive(Default)]
struct Notes(Vec<(Kind, Instant)>);

impl Notes {
    fn add(&mut self, kind: Kind) {
        self.0.push((kind, Instant::now()));
    }

    /// Takes out a signal of this kind, if one was noted after this time. Returns when. Forgets what is older.
    fn take(&mut self, kind: Kind, since: Instant) -> Option<Instant> {
        self.0.retain(|(_, time)| *time > since);
        let found = self.0.iter().position(|(noted, _)| *noted == kind)?;
        Some(self.0.remove(found).1)
    }
}

/// What the witness knows.
struct Testimony {
    signals: SignalFd,
    /// What it has received and was not asked about yet.
    received: Notes,
    /// What it was asked about and had not received.
    denied: Notes,
    /// Copies of what was denied, which came later.
    late: Notes,
    /// The last signal that it has confirmed, and when it had received that.
    confirmed: Option<(Kind, Instant)>,
}

impl Testimony {
    fn note_arrivals(&mut self) -> nix::Result<()> {
        while let Some(got) = self.signals.read_signal()? {
            let kind = Kind::of(&got);
            match self.denied.take(kind, Instant::now() - LATE) {
                None => self.received.add(kind),
                Some(_) => self.late.add(kind),
            }
        }
        Ok(())
    }

    fn answer(&mut self, question: &Question, epoch: Instant) -> nix::Result<bool> {
        let asked = Instant::now();
        let deadline = asked + ARRIVAL;
        let since = epoch + Duration::from_nanos(question.since);
        loop {
            self.note_arrivals()?;
            let received = self.received.take(question.kind, since);
            let found = received.or_else(|| {
                let since = since.max(asked - ARRIVAL);
                self.late.take(question.kind, since)
            });
            if let Some(time) = found {
                self.confirmed = Some((question.kind, time));
                return Ok(true);
            }
            if self.is_merged(question.kind) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.denied.add(question.kind);
                return Ok(false);
            }
            let milliseconds = left.as_micros().div_ceil(1000).try_into();
            let timeout = PollTimeout::from(milliseconds.unwrap_or(u16::MAX));
            poll(
                &mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)],
                timeout,
            )?;
        }
    }

    /// Whether the copy of this signal may have been merged with the one that was confirmed last.
    fn is_merged(&self, kind: Kind) -> bool {
        let is_standard = kind.signal < FIRST_REAL_TIME;
        is_standard
            && self
                .confirmed
                .is_some_and(|(last, time)| last == kind && time.elapsed() < MERGED)
    }
}

/// Answers questions until there is nobody left to ask them.
fn testify(mut channel: UnixStream, epoch: Instant) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&for_nix(all()), flags)?;
    child::become_helper(
        c"shm-witness",
        vec![channel.as_raw_fd(), signals.as_raw_fd()],
    );
    let mut testimony = Testimony {
        signals,
        received: Notes::default(),
        denied: Notes::default(),
        late: Notes::default(),
        confirmed: None,
    };
    loop {
        let mut ready = [
            PollFd::new(channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(testimony.signals.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut ready, PollTimeout::NONE)?;
        let is_asked = ready[0].any().unwrap_or(true);
        testimony.note_arrivals()?;
        if is_asked {
            let mut question = [0; Question::LENGTH];
            channel.read_exact(&mut question)?;
            let question = Question::from_bytes(question);
            let answer = testimony.answer(&question, epoch)?;
            channel.write_all(&[question.number, answer.into()])?;
        }
    }
}
