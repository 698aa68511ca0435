//! Children that work at the same time and send their results over a socket: `fork(2)`, `socketpair(2)`, `unix(7)`.
//!
//! A child may get stuck for ever in a system call that a hostile file server does not answer, and then not even
//! SIGKILL ends it. So the parent never waits for a child without a limit.

use super::child::{self, Helper, become_helper};
use super::signal;
use super::socket::{MAX_MESSAGE, Message, Socket};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::MsgFlags;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use serde::Serialize;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

/// The number of children that work at the same time, so that one that is stuck does not delay the others.
const CREW: usize = 8;

/// The number of jobs that one child does, if they may share it.
const SHARE: usize = 8;

/// How long a child may work without sending anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last message of a job that was done. All others are longer.
const DONE: &[u8] = b".";

/// The start of the last message of a job that failed. The number of the error follows.
const FAILED: char = '!';

/// The work of a child. It runs in the child, where it cannot change anything in the parent.
pub type Work<'a> = Box<dyn FnOnce(&Channel) -> nix::Result<()> + 'a>;

/// Work for a child.
pub struct Job<'a> {
    /// The descriptors that the work needs. All others are closed in the child.
    pub kept: Vec<RawFd>,
    /// The work.
    pub work: Work<'a>,
    /// Whether a child can do other jobs before and after it, because the rights of the child are the same for all of
    /// them. That is faster than a child for each.
    pub may_share: bool,
}

/// The socket by which a child sends messages to its parent.
#[derive(Debug)]
pub struct Channel {
    socket: Socket,
    parent: Pid,
}

impl Channel {
    /// Has the kernel kill this child when its parent ends (`PR_SET_PDEATHSIG`, `prctl(2)`). A change of user IDs undoes
    /// this.
    ///
    /// # Errors
    ///
    /// Those of `prctl(2)`; `ESRCH` if the parent has ended already.
    pub fn die_with_parent(&self) -> nix::Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        match getppid() == self.parent {
            true => Ok(()),
            false => Err(Errno::ESRCH),
        }
    }

    /// Sends a message of at least two bytes, optionally with a descriptor.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub fn send(&self, bytes: &[u8], descriptor: Option<BorrowedFd>) -> nix::Result<()> {
        self.socket.send(bytes, descriptor)
    }

    /// Sends a value, as JSON that is at least two bytes long.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub fn send_value(&self, value: &impl Serialize) -> nix::Result<()> {
        let mut bytes = serde_json::to_vec(value).map_err(|_| Errno::EINVAL)?;
        // A number could have one digit only, like the last message.
        bytes.push(b' ');
        self.send(&bytes, None)
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Done,
    /// Its child sent nothing for [`PATIENCE`], and was killed.
    Stuck,
    /// It failed with this error, or its child could not be started. `ECHILD`: something killed the child.
    Failed(Errno),
}

/// Runs all jobs in children, some at the same time. A job is taken when its child starts. Each message goes to
/// `receive`, with the index of the job. Returns how each job ended.
///
/// If a child gets stuck with one of several jobs, those after it get a child each.
///
/// # Errors
///
/// The first error of `receive`. The children that are still at work are killed.
pub fn run<'a, E>(
    jobs: impl IntoIterator<Item = Job<'a>>,
    mut receive: impl FnMut(usize, Message) -> Result<(), E>,
) -> Result<Vec<End>, E> {
    // Otherwise a child that ends early could be gone before there is a descriptor for it. If this fails, such a child
    // counts as failed.
    let _ = signal::notice_children();
    let mut ends = Vec::new();
    let mut waiting = jobs.into_iter().enumerate().peekable();
    // The jobs that a child has left undone.
    let mut left: Queue = VecDeque::new();
    let mut members: Vec<Member> = Vec::new();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        while members.len() < CREW {
            let mut queue: Queue = left.pop_front().into_iter().collect();
            if queue.is_empty() {
                queue.extend(waiting.next());
                let may_share = |job: &Job| job.may_share;
                while queue.len() < SHARE
                    && queue.iter().all(|(_, job)| may_share(job))
                    && let Some(next) = waiting.next_if(|(_, job)| may_share(job))
                {
                    queue.push_back(next);
                }
                ends.extend(queue.iter().map(|_| End::Failed(Errno::ECHILD)));
            }
            if queue.is_empty() {
                break;
            }
            match Member::start(queue) {
                Ok(member) => members.push(member),
                // There may be too many processes or descriptors. Each job gets another chance, and if a child is at
                // work, only when one has ended.
                Err((queue, _)) if !members.is_empty() || queue.len() > 1 => {
                    left.extend(queue);
                    if !members.is_empty() {
                        break;
                    }
                }
                Err((queue, errno)) => queue
                    .into_iter()
                    .for_each(|(index, _)| ends[index] = End::Failed(errno)),
            }
        }
        if members.is_empty() {
            return Ok(ends);
        }
        wait_for_any(&members);
        let mut next = 0;
        while next < members.len() {
            let member = &mut members[next];
            let job = member.job();
            let end = match member.socket.receive(&mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(Some(message)) => {
                    member.deadline = Instant::now() + PATIENCE;
                    match last_message(message.bytes) {
                        Some(end) => end,
                        None => {
                            receive(job, message)?;
                            // Read on: there may be more.
                            continue;
                        }
                    }
                }
                Err(Errno::EAGAIN) if Instant::now() < member.deadline => {
                    next += 1;
                    continue;
                }
                Err(Errno::EAGAIN) => End::Stuck,
                // The socket is closed: the child has ended.
                Ok(None) => End::Failed(Errno::ECHILD),
                Err(errno) => End::Failed(errno),
            };
            ends[job] = end;
            member.queue.pop_front();
            let is_done = end == End::Done;
            if !is_done || member.queue.is_empty() {
                // A child that has done its work ends at once, unless the machine is busy.
                let milliseconds = if is_done { 1000 } else { 50 };
                left.extend(members.remove(next).end(milliseconds));
            }
        }
    }
}

/// Returns how a job ended, if this is its last message.
fn last_message(bytes: &[u8]) -> Option<End> {
    if bytes == DONE {
        return Some(End::Done);
    }
    let number = bytes.strip_prefix(&[FAILED as u8])?;
    let number = str::from_utf8(number)
        .ok()
        .and_then(|text| text.parse().ok());
    Some(End::Failed(Errno::from_raw(number.unwrap_or_default())))
}

/// Sleeps until a child has sent something or ended, or until the first of them counts as stuck.
fn wait_for_any(members: &[Member]) {
    let mut sockets: Vec<_> = members
        .iter()
        .map(|member| PollFd::new(member.socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let deadline = members.iter().map(|member| member.deadline).min();
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let milliseconds = left.unwrap_or_default().as_millis() + 1;
    let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
    // Whatever it returns, the caller looks at all sockets.
    let _ = poll(&mut sockets, timeout);
}

/// Jobs, each with its index.
type Queue<'a> = VecDeque<(usize, Job<'a>)>;

/// A child at work.
struct Member<'a> {
    /// The jobs that it has not finished. It works on the first one.
    queue: Queue<'a>,
    child: Helper,
    socket: Socket,
    deadline: Instant,
}

impl<'a> Member<'a> {
    /// Starts the child. If that fails, returns the jobs with the error.
    fn start(queue: Queue<'a>) -> Result<Member<'a>, (Queue<'a>, Errno)> {
        let (ours, theirs) = match Socket::pair() {
            Ok(pair) => pair,
            Err(errno) => return Err((queue, errno)),
        };
        let parent = getpid();
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() } {
            Err(errno) => Err((queue, errno)),
            Ok(ForkResult::Child) => {
                let kept = queue.iter().flat_map(|(_, job)| job.kept.iter().copied());
                let kept = kept.chain([theirs.as_fd().as_raw_fd()]).collect();
                // Without our standard streams, whoever waits for their end does not wait for a child that is stuck.
                become_helper(c"shm-place", kept);
                let channel = Channel {
                    socket: theirs,
                    parent,
                };
                for (_, job) in queue {
                    let done = channel
                        .die_with_parent()
                        .and_then(|()| (job.work)(&channel));
                    let sent = match done {
                        Ok(()) => channel.send(DONE, None),
                        Err(errno) => {
                            channel.send(format!("{FAILED}{}", errno as i32).as_bytes(), None)
                        }
                    };
                    if done.is_err() || sent.is_err() {
                        child::exit(1);
                    }
                }
                child::exit(0)
            }
            Ok(ForkResult::Parent { child }) => match Helper::new(child) {
                Ok(child) => Ok(Member {
                    queue,
                    child,
                    socket: ours,
                    deadline: Instant::now() + PATIENCE,
                }),
                Err(errno) => {
                    // Nobody has waited for it, so that its ID is still its own. It ends when nobody reads its messages,
                    // if not at once.
                    let _ = kill(child, Signal::SIGKILL);
                    Err((queue, errno))
                }
            },
        }
    }

    /// The index of the job that it works on.
    fn job(&self) -> usize {
        self.queue[0].0
    }

    /// Kills the child if it has not ended by itself, waits for its end for some milliseconds at most, and returns the jobs
    /// that it has not begun.
    fn end(self, milliseconds: u16) -> Queue<'a> {
        self.child.abandon(milliseconds);
        self.queue
    }
}
