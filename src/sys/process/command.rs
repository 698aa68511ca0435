//! A command that runs as if it ran alone: `fork(2)`, `execvp(3)`, `waitpid(2)`, `signalfd(2)`.

use super::signal;
use crate::sys::error::words;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execvp, fork, pipe2, read, write};
use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Those that end a process, and that somebody may send to us and mean the command.
const FORWARDED: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
];

/// A process that is going to run a command.
#[derive(Debug)]
pub struct Command {
    pid: Pid,
    pidfd: OwnedFd,
    /// A byte into it lets the process go; closed without one, it ends.
    go: OwnedFd,
    signals: SignalFd,
}

/// How a command ended.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal, which may be a real-time one, and so none that nix knows.
    Killed(i32),
}

impl Command {
    /// Makes the process, which waits to be let go. It has our standard streams, environment, terminal and
    /// process group. From here on signals that are meant for the command are kept for it.
    ///
    /// # Errors
    ///
    /// Those of `fork(2)`, and of the calls that prepare for it.
    pub fn prepare(words: &[CString]) -> nix::Result<Command> {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no handler. Ignored, our children would end without a word to us.
        let children = unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let mut mask = SigSet::from_iter(FORWARDED);
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC)?;
        let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(go);
                run(&wait, words, &children)
            }
            ForkResult::Parent { child } => Ok(Command {
                pid: child,
                pidfd: pidfd(child)?,
                go,
                signals,
            }),
        }
    }

    /// A descriptor that becomes readable when the command ends.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Runs the command to its end.
    ///
    /// Signals that were sent to this process alone go on to it. What the terminal sends (Ctrl-C), it sends to
    /// the whole process group: the command has it already.
    ///
    /// # Errors
    ///
    /// Those of `waitpid(2)`.
    pub fn run(self) -> nix::Result<Ending> {
        write(&self.go, b"!")?;
        loop {
            if let Some(ending) = Ending::of(self.pid)? {
                return Ok(ending);
            }
            let Some(got) = self.signals.read_signal()? else {
                continue;
            };
            // `sigaction(2)`: sent by a process, SI_USER and below; by the kernel, above.
            let signal = Signal::try_from(got.ssi_signo as i32)?;
            if signal != Signal::SIGCHLD && got.ssi_code <= libc::SI_USER {
                // It may have ended meanwhile, and is not waited for yet, so that the id is still its own.
                kill(self.pid, signal)?;
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
        waitpid(self.pid, None).map(drop)
    }
}

impl Ending {
    /// How a child ended, `waitpid(2)`, if it did.
    fn of(pid: Pid) -> nix::Result<Option<Ending>> {
        let mut status = 0;
        // SAFETY: the status is memory of our own. nix refuses one that tells of a real-time signal.
        match Errno::result(unsafe { libc::waitpid(pid.as_raw(), &mut status, libc::WNOHANG) }) {
            Ok(0) | Err(Errno::EINTR) => Ok(None),
            Ok(_) if libc::WIFEXITED(status) => Ok(Some(Ending::Exited(libc::WEXITSTATUS(status)))),
            Ok(_) if libc::WIFSIGNALED(status) => Ok(Some(Ending::Killed(libc::WTERMSIG(status)))),
            Ok(_) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Ends this process in the same way: a shell that runs us in a loop is to see that Ctrl-C ended the command. The
    /// status that is left to end with, if it was no signal.
    pub fn follow(self) -> u8 {
        let signal = match self {
            // The low eight bits are all that `wait(2)` gives.
            Ending::Exited(status) => return status as u8,
            Ending::Killed(signal) => signal,
        };
        // The command has left its memory already, if that was wanted.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        // SAFETY: the default action runs no handler, and the empty set, which is what zeros are, is our own. What
        // fails is for SIGKILL, which has no other action and cannot be blocked.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            let mut set = std::mem::zeroed();
            libc::sigaddset(&mut set, signal);
            libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
            libc::raise(signal);
        }
        // As a shell says it, where the signal did not end us.
        128 + signal as u8
    }
}

/// A descriptor for a process, `pidfd_open(2)`, which nix does not wrap.
pub(in crate::sys) fn pidfd(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no memory, and gives a new descriptor that nobody else has.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// The other process: waits to be let go, and becomes the command.
fn run(wait: &OwnedFd, command: &[CString], children: &SigAction) -> ! {
    let may_go = loop {
        match read(wait, &mut [0]) {
            Err(Errno::EINTR) => {}
            result => break result == Ok(1),
        }
    };
    if !may_go {
        exit(0);
    }
    // SAFETY: it is what it was before; there are no handlers.
    let prepared = unsafe { sigaction(Signal::SIGCHLD, children) }
        .map(drop)
        .and_then(|()| signal::give_back());
    let errno = match prepared.and_then(|()| execvp(&command[0], command)) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    let name = crate::sys::escape::Escaped(command[0].to_bytes());
    // There is nobody else to tell. As `env` has it.
    let _ = writeln!(std::io::stderr(), "shmtool: {name}: {}", words(errno));
    exit(if errno == Errno::ENOENT { 127 } else { 126 })
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process without running what belongs to the other one.
    unsafe { libc::_exit(status) }
}
