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
//! 4. A command that leads a process group of its own (`timeout(1)` does) misses what the terminal sends to our
//!    group. Its group gets that, and the signals of job control, as it would have without us.
//! 5. A signal that may not be sent (EPERM: the command is another user's by now) is not an error. Nobody could
//!    have sent it without us either.
//! 6. When the command stops, this process stops by the same signal, so that a shell sees a stopped job. When it
//!    is continued, so is the command. If it did not stop, because no shell could continue it (an orphaned process
//!    group), the command goes on at once.
//! 7. All children are waited for: as PID 1 of a container we inherit orphans.
//! 8. This process ends as the command ended, without a second core dump.

use super::child::{self, pidfd};
use super::raw_signal::{block_all, is_pending, raise_default, send};
use super::signal;
use super::witness::Witness;
use crate::sys::error::describe_errno;
use crate::sys::escape::Escaped;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{ForkResult, Pid, execvp, fork, getpgid, getpgrp, pipe2, read, write};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The signals that stop a process and can be caught.
const STOPPING: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// A process that is going to run a command.
#[derive(Debug)]
pub struct Command {
    pid: Pid,
    pidfd: OwnedFd,
    /// A byte into it lets the process go; closed without one, it ends.
    go: OwnedFd,
    signals: SignalFd,
    witness: Witness,
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
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&block_all()?, flags)?;
        let witness = Witness::start()?;
        let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
        // Whoever started us may have asked that we get a signal at its end. Then the command gets it at ours. (A
        // real-time signal is none to nix.)
        let death_signal = prctl::get_pdeathsig().unwrap_or(None);
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop((go, witness));
                let prepared = prctl::set_pdeathsig(death_signal);
                become_command(&wait, words, prepared)
            }
            ForkResult::Parent { child } => Ok(Command {
                pid: child,
                pidfd: pidfd(child)?,
                go,
                signals,
                witness,
            }),
        }
    }

    /// A descriptor that becomes readable when the command ends.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    ///
    /// The command cannot be waited for, and may still run.
    pub fn run(mut self) -> nix::Result<Ending> {
        match write(&self.go, b"!") {
            // It was killed before it started, and is waited for as if it had.
            Ok(_) | Err(Errno::EPIPE) => {}
            Err(errno) => return Err(errno),
        }
        let ending = loop {
            // Signals first: what stopped the command may have been sent to us too.
            while let Some(got) = self.signals.read_signal()? {
                self.send_on(&got);
            }
            match self.next_change()? {
                Some(Change::Ended(ending)) => break ending,
                Some(Change::Stopped(signal)) => self.stop(signal)?,
                None => {
                    let mut readable = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut readable, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno),
                    }
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

    /// Sends a signal on to the command, if the command has not got it.
    fn send_on(&mut self, got: &siginfo) {
        let signal = got.ssi_signo as i32;
        if signal == libc::SIGCHLD {
            return;
        }
        // The witness is always asked, so that it does not remember this signal when the next of its kind comes.
        let is_for_group = self.witness.received(signal);
        // `sigaction(2)`: a process sent it, SI_USER and below; the kernel did, above.
        let is_from_command =
            got.ssi_code <= libc::SI_USER && got.ssi_pid == self.pid.as_raw() as u32;
        if is_from_command || (is_for_group && self.is_in_our_group()) {
            return;
        }
        let target = match self.own_group() {
            Some(group) if is_for_group => -group.as_raw(),
            _ => self.pid.as_raw(),
        };
        // Rule 5. The command has not been waited for yet, so that its id is not another's.
        let _ = send(target, signal);
    }

    /// Stops this process, for the command has stopped, and returns when both go on.
    ///
    /// What SIGSTOP stopped is left alone: whoever stops just the command continues just the command, and nobody
    /// would continue us.
    fn stop(&mut self, signal: i32) -> nix::Result<()> {
        if !STOPPING.contains(&signal) {
            return Ok(());
        }
        raise_default(signal)?;
        for signal in STOPPING {
            self.witness.forget(signal);
        }
        // What continues a process is pending until it is sent on as any other signal.
        if !is_pending(libc::SIGCONT)? {
            self.continue_command();
        }
        Ok(())
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
        let _ = raise_default(signal);
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
    let prepared = prepared.and_then(|()| signal::restore_inherited());
    let errno = match prepared.and_then(|()| execvp(&command[0], command)) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    let name = Escaped(command[0].to_bytes());
    // There is nobody else to tell. The statuses are those of `env(1)`.
    let _ = writeln!(io::stderr(), "shmtool: {name}: {}", describe_errno(errno));
    child::exit(if errno == Errno::ENOENT { 127 } else { 126 })
}
