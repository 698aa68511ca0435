//! The signals that have arrived at a process that blocks them, `signalfd(2)`.

use super::raw_signal::is_pending;
use nix::libc;
use nix::sys::signalfd::{SignalFd, siginfo};

/// The signals that come from a terminal, or from the kernel on its behalf.
pub const OF_TERMINAL: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
];

/// The signals that have arrived, but for those that tell of children.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn arrived(signals: &SignalFd) -> nix::Result<Vec<siginfo>> {
    let mut arrived = Vec::new();
    while let Some(got) = signals.read_signal()? {
        if got.ssi_signo as i32 != libc::SIGCHLD {
            arrived.push(got);
        }
    }
    Ok(arrived)
}

/// Whether this signal is one of them.
pub fn is_among(arrived: &[siginfo], signal: i32) -> bool {
    arrived.iter().any(|got| got.ssi_signo as i32 == signal)
}

/// Whether a signal that stops or continues has come too late, because its opposite came after it: it is among the
/// `later` ones, or pending.
///
/// # Errors
///
/// Those of `sigpending(2)`.
pub fn is_canceled(signal: i32, later: &[siginfo]) -> nix::Result<bool> {
    const STOPPING: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let opposites = match signal {
        libc::SIGCONT => &STOPPING[..],
        _ if STOPPING.contains(&signal) => &[libc::SIGCONT],
        _ => &[],
    };
    for opposite in opposites {
        if is_among(later, *opposite) || is_pending(*opposite)? {
            return Ok(true);
        }
    }
    Ok(false)
}
