//! A child that goes on in the place of this process: `fork(2)`, `waitpid(2)`.

use super::child;
use super::command::Ending;
use super::signal;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

/// The process that waits.
#[derive(Debug)]
pub struct Parent(Pid);

/// Returns in a child. This process waits for the child, and ends as the child ended. If this process is killed, the
/// kernel kills the child.
///
/// # Errors
///
/// Those of `fork(2)`.
pub fn continue_in_child() -> nix::Result<Parent> {
    signal::notice_children()?;
    let parent = Parent(getpid());
    // SAFETY: there is one thread, so that the child has everything that we have.
    match unsafe { fork() }? {
        ForkResult::Child => {
            parent.die_with()?;
            Ok(parent)
        }
        ForkResult::Parent { child } => loop {
            let ending = match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, status)) => Ending::Exited(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => Ending::Killed(signal as i32),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => Ending::Exited(1),
            };
            child::exit(ending.follow().into());
        },
    }
}

impl Parent {
    /// Has the kernel kill this process when the parent ends (`PR_SET_PDEATHSIG`, `prctl(2)`). A change of user IDs undoes
    /// this.
    ///
    /// # Errors
    ///
    /// Those of `prctl(2)`; `ESRCH` if the parent has ended already.
    pub fn die_with(&self) -> nix::Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        match getppid() == self.0 {
            true => Ok(()),
            false => Err(Errno::ESRCH),
        }
    }
}
