//! A command that runs as if it ran alone, though this process waits for its end: `fork(2)`, `execvp(3)`,
//! `waitpid(2)`, `signalfd(2)`.
//!
//! These rules keep this process invisible, to the command and to whoever started us:
//!
//! 1. From [`prepare`](Command::prepare) on all signals are blocked here. What arrives is either meant for the
//!    command and sent on, or says that a child has changed its state (SIGCHLD).
//! 2. A signal is sent on unless the command has it already. The command has it if it is in our process group
//!    and the [`Witness`] in that group received it too: then it was sent to the whole group, as by the terminal
//!    or by `kill -- -PGID`, or to each of the processes of a service.
//! 3. What the command sends to its parent is not sent back to it.
//! 4. A command that leads a process group of its own (`timeout(1)` does) misses what is sent to our group. Its group
//!    gets that, as it would have without us. A command in a session of its own gets nothing from our terminal, but
//!    what else the kernel sends, such as the SIGALRM of an `alarm(2)` that whoever started us has set.
//! 5. A signal that may not be sent (EPERM: the command is another user's by now) is not an error. Nobody could
//!    have sent it without us either.
//! 6. When the command stops, this process stops by the same signal, so that a shell sees a stopped job. When it
//!    is continued, so is the command. If it did not stop, because no shell could continue it (an orphaned process
//!    group), the command goes on at once.
//! 7. All children are waited for: as PID 1 of a container we inherit orphans.
//! 8. This process ends as the command ended, without a second core dump.

use super::arrivals::{OF_TERMINAL, arrived, is_among, is_canceled};
use super::child::{self, pidfd};
use super::execute::execute;
use super::raw_signal::{
    FIRST_REAL_TIME, all, change_mask, deliver, discard_pending, for_nix, is_pending,
    raise_default, send, send_queued,
};
use super::signal;
use super::witness::Witness;
use crate::sys::error::describe_errno;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, getpgid, getpgrp, getsid, pipe2, read, tcgetpgrp, write};
use std::ffi::CString;
use std::io::{self, Write};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How `sigqueue(3)` sends a signal, with a value. The C library's crate lacks it.
const SI_QUEUE: i32 = -1;

/// How long before its arrival here a copy of a signal can have reached the witness, if nothing has delayed it here. A
/// copy that came earlier is one of another signal of the same kind.
const SAME_TIME: Duration = Duration::from_millis(100);

/// A process that is going to run a command.
#[derive(Debug)]
pub struct Command {
    pid: Pid,
    pidfd: OwnedFd,
    /// A byte into it lets the process go; closed without one, it ends.
    go: OwnedFd,
    signals: SignalFd,
    witness: Witness,
    /// What came before the process of the command was there.
    early: Vec<siginfo>,
    /// When we last began to collect what has arrived. What comes later is new.
    collected: Instant,
    /// When we last waited for signals, so that none can have come long before.
    waited: Instant,
}

/// How a command ended.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal, which may be a real-time one, and so none that nix knows.
    Killed(i32),
}

/// A change of a child's state, `waitpid(2)`.
enum Change {
    Ended(Ending),
    Stopped(i32),
}

impl Command {
    /// Makes the process, which waits to be let go. It has our standard streams, environment, terminal and
    /// process group. From here on all signals are kept for it.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)`, and of the calls that prepare for it.
    pub fn prepare(words: &[CString]) -> io::Result<Command> {
        signal::notice_children()?;
        change_mask(libc::SIG_BLOCK, &all())?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&for_nix(all()), flags)?;
        let collected = Instant::now();
        // The witness comes first: whoever goes through a list of processes reaches it right after us.
        let witness = Witness::start()?;
        let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
        // Whoever started us may have asked that we get a signal at its end. Then the command gets it at ours. (A
        // real-time signal is none to nix.)
        let death_signal = prctl::get_pdeathsig().unwrap_or(None);
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                // The witness is the parent's to end.
                mem::forget(witness);
                drop(go);
                let prepared = prctl::set_pdeathsig(death_signal);
                become_command(&wait, words, prepared)
            }
            ForkResult::Parent { child } => Ok(Command {
                pid: child,
                pidfd: pidfd(child)?,
                go,
                early: arrived(&signals)?,
                signals,
                witness,
                collected,
                waited: collected,
            }),
        }
    }

    /// A descriptor that becomes readable when the command ends.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The ID of the process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    ///
    /// The command cannot be waited for, and may still run.
    pub fn run(mut self) -> nix::Result<Ending> {
        // What was sent to the group before the process of the command was in it has reached the witness, but not the
        // command. So all that came so far is sent on. The command has all signals blocked still, and a standard signal
        // that is pending is not added a second time.
        let since = self.collected;
        for got in mem::take(&mut self.early) {
            self.witness.received(&got, since);
            self.pass(self.pid, &got);
        }
        self.collected = Instant::now();
        for got in arrived(&self.signals)? {
            let has_copy = self.witness.received(&got, since);
            if !has_copy || got.ssi_signo < FIRST_REAL_TIME {
                self.pass(self.pid, &got);
            }
        }
        match write(&self.go, b"!") {
            // It was killed before it started, and is waited for as if it had.
            Ok(_) | Err(Errno::EPIPE) => {}
            Err(errno) => return Err(errno),
        }
        let ending = loop {
            let has_arrived = self.send_on_arrived()?;
            match self.next_change()? {
                Some(Change::Ended(ending)) => break ending,
                Some(Change::Stopped(signal)) => {
                    // What stopped the command may have been sent to us too.
                    self.send_on_arrived()?;
                    self.stop(signal)?;
                }
                // Look again, so that what the witness has noted up to now is known to be old.
                None if has_arrived => {}
                None => {
                    let mut readable = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut readable, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.waited = Instant::now();
                }
            }
        };
        Ok(ending)
    }

    /// The process group that the command leads, if it is not in ours. (None too if it joined somebody else's: its
    /// signals are not ours to give.)
    fn own_group(&self) -> Option<Pid> {
        let group = getpgid(Some(self.pid)).ok()?;
        (group == self.pid && group != getpgrp()).then_some(group)
    }

    fn is_in_our_group(&self) -> bool {
        getpgid(Some(self.pid)) == Ok(getpgrp())
    }

    /// Sends the signals on to the command that have arrived for it, until it has ended. Not those that arrive
    /// meanwhile, of which there may always be more. Returns whether there were any.
    fn send_on_arrived(&mut self) -> nix::Result<bool> {
        let since = mem::replace(&mut self.collected, Instant::now());
        let arrived = arrived(&self.signals)?;
        for index in 0..arrived.len() {
            let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ended, PollTimeout::ZERO)? > 0 {
                break;
            }
            self.send_on(&arrived, index, since)?;
        }
        Ok(!arrived.is_empty())
    }

    /// Sends one of the signals that have arrived after the time `since` on to the command, if the command has not got
    /// it.
    fn send_on(&mut self, arrived: &[siginfo], index: usize, since: Instant) -> nix::Result<()> {
        let got = &arrived[index];
        let signal = got.ssi_signo as i32;
        let was_stopped = is_among(arrived, libc::SIGCONT) || is_pending(libc::SIGCONT)?;
        let since = match was_stopped {
            true => since,
            false => since.max(self.waited - SAME_TIME),
        };
        // The witness is always asked, so that it does not keep this signal for the next of its kind.
        let is_for_group = self.witness.received(got, since);
        // `sigaction(2)`: a process sent it, SI_USER and below; the kernel did, above.
        let is_by_process = got.ssi_code <= libc::SI_USER;
        let is_from_command = is_by_process && got.ssi_pid == self.pid.as_raw() as u32;
        // The terminal of our session sends nothing to other sessions.
        let is_of_terminal = !is_by_process && OF_TERMINAL.contains(&signal);
        let is_from_elsewhere = is_of_terminal && getsid(Some(self.pid)) != getsid(None);
        if is_from_command || is_from_elsewhere || (is_for_group && self.is_in_our_group()) {
            return Ok(());
        }
        // A signal that stops a process cancels one that continues it, and the other way round, wherever it is still
        // pending. The witness may have lost its copy in this way.
        if is_canceled(signal, &arrived[index + 1..])? {
            return Ok(());
        }
        match self.own_group() {
            Some(group) if is_for_group => self.pass(Pid::from_raw(-group.as_raw()), got),
            _ => self.pass(self.pid, got),
        }
        Ok(())
    }

    /// Passes a signal to a process, with the value that came with it, or to a group.
    fn pass(&self, target: Pid, got: &siginfo) {
        // Rule 5. The command has not been waited for yet, so that its id is not another's.
        let _ = match got.ssi_code == SI_QUEUE && target.as_raw() > 0 {
            true => send_queued(target.as_raw(), got),
            false => send(target.as_raw(), got.ssi_signo as i32),
        };
    }

    /// Stops this process, for the command has stopped, and returns when both go on.
    fn stop(&mut self, signal: i32) -> nix::Result<()> {
        // Whoever stops just the command by SIGSTOP, as cpulimit(1) does, continues just the command, and nobody would
        // continue us. A shell that suspends itself waits for the shell around us, at the terminal.
        if signal == libc::SIGSTOP && !self.has_terminal() {
            return Ok(());
        }
        raise_default(signal)?;
        // Raising the signal has dropped a SIGCONT that came since the command stopped. The command has had that.
        if self.goes_on()? {
            discard_pending(signal);
            return Ok(());
        }
        deliver(signal)?;
        // What continues a process is pending until it is sent on as any other signal.
        if signal != libc::SIGSTOP && !is_pending(libc::SIGCONT)? {
            self.continue_command();
        }
        Ok(())
    }

    /// Whether the command was continued since it stopped, or has ended, `waitid(2)`.
    fn goes_on(&self) -> nix::Result<bool> {
        let mut information = MaybeUninit::<libc::siginfo_t>::zeroed();
        let flags = libc::WCONTINUED | libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the information is memory of our own. If there is nothing to report, its process id stays 0.
        unsafe {
            let pid = self.pid.as_raw() as libc::id_t;
            Errno::result(libc::waitid(
                libc::P_PID,
                pid,
                information.as_mut_ptr(),
                flags,
            ))?;
            Ok(information.assume_init().si_pid() != 0)
        }
    }

    /// Whether the terminal listens to us or to the command.
    fn has_terminal(&self) -> bool {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let foreground = open("/dev/tty", flags, Mode::empty()).and_then(tcgetpgrp);
        foreground.is_ok_and(|group| group == getpgrp() || Ok(group) == getpgid(Some(self.pid)))
    }

    fn continue_command(&self) {
        let target = self
            .own_group()
            .map_or(self.pid, |group| Pid::from_raw(-group.as_raw()));
        // Rule 5.
        let _ = send(target.as_raw(), libc::SIGCONT);
    }

    /// The next change of the command's state, if there is one. Waits for all children, orphans too.
    fn next_change(&self) -> nix::Result<Option<Change>> {
        loop {
            let mut status = 0;
            let options = libc::WNOHANG | libc::WUNTRACED;
            // SAFETY: the status is memory of our own. nix refuses one that tells of a real-time signal.
            let pid = match Errno::result(unsafe { libc::waitpid(-1, &mut status, options) }) {
                Ok(0) => return Ok(None),
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            if pid != self.pid.as_raw() {
                continue;
            }
            if libc::WIFEXITED(status) {
                return Ok(Some(Change::Ended(Ending::Exited(libc::WEXITSTATUS(
                    status,
                )))));
            }
            if libc::WIFSIGNALED(status) {
                return Ok(Some(Change::Ended(Ending::Killed(libc::WTERMSIG(status)))));
            }
            if libc::WIFSTOPPED(status) {
                return Ok(Some(Change::Stopped(libc::WSTOPSIG(status))));
            }
        }
    }

    /// Lets the process end without running the command.
    ///
    /// # Errors
    ///
    /// Those of `waitpid(2)`.
    pub fn cancel(self) -> nix::Result<()> {
        drop(self.go);
        nix::sys::wait::waitpid(self.pid, None).map(drop)
    }
}

impl Ending {
    /// Ends this process in the same way: a shell that runs us in a loop is to see that Ctrl-C ended the command.
    /// Returns the exit status if the command was not ended by a signal.
    pub fn follow(self) -> u8 {
        let signal = match self {
            // The low eight bits are all that `wait(2)` gives.
            Ending::Exited(status) => return status as u8,
            Ending::Killed(signal) => signal,
        };
        // The command has left its memory already, if that was wanted. A limit alone does not keep a kernel that
        // pipes core dumps to a program from a second one (`core(5)`).
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let _ = prctl::set_dumpable(false);
        // If it fails, the status below says the same.
        let _ = raise_default(signal).and_then(|()| deliver(signal));
        // The status that shells use, where the signal did not end us: PID 1 ignores what it sends to itself.
        128 + signal as u8
    }
}

/// The other process: waits to be let go, and becomes the command.
fn become_command(wait: &OwnedFd, command: &[CString], prepared: nix::Result<()>) -> ! {
    let may_go = loop {
        match read(wait, &mut [0]) {
            Err(Errno::EINTR) => {}
            result => break result == Ok(1),
        }
    };
    if !may_go {
        child::exit(0);
    }
    // There is nobody else to tell.
    let (message, status) = match prepared {
        Ok(()) => {
            let error = execute(command);
            (error.to_string(), error.status())
        }
        Err(errno) => (describe_errno(errno), 126),
    };
    let _ = writeln!(io::stderr(), "shmtool: {message}");
    child::exit(status.into())
}
