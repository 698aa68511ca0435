//! `--follow`: a line for every change that is seen.

mod endings;
mod lines;
mod objects;

use crate::common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Long enough to print a line that should not be printed. If it is not, the tests pass anyway.
const A_MOMENT: Duration = Duration::from_millis(150);

/// A running `read-int --follow`, whose lines are read as soon as it writes them. It is killed when it is dropped.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(args: &[&str], name: &Name) -> Follower {
        Self::spawn(shmtool(["read-int", "--follow"]).args(args).arg(name))
    }

    fn spawn(command: &mut Command) -> Follower {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Follower { child, lines }
    }

    /// Waits for the next line, and asserts that it is this one.
    #[track_caller]
    fn prints(&self, expected: &str) {
        assert_eq!(self.lines.recv_timeout(HANG).as_deref(), Ok(expected));
    }

    /// Waits for a line with this value. Values in between may or may not be printed.
    #[track_caller]
    fn reaches(&self, expected: &str) {
        while self.lines.recv_timeout(HANG).expect("another line") != expected {}
    }

    /// Asserts that nothing is printed for a moment.
    #[track_caller]
    fn stays_silent(&self) {
        let line = self.lines.recv_timeout(A_MOMENT);
        assert_eq!(line, Err(RecvTimeoutError::Timeout));
    }

    /// Waits until the process ends by itself. Returns its exit status, and the lines that nobody has received yet.
    fn ends(mut self) -> (Option<i32>, Vec<String>) {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(HANG) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
            }
        }
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // After `ends`, the process is gone.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn write(name: &Name, value: &str) {
    run(shmtool(["write-int"]).arg(name).arg(value)).prints("");
}

/// Replaces the object by a new one, without shmtool.
fn replace_object(name: &Name, value: i32) {
    let new = name.path().with_extension("new");
    fs::write(&new, value.to_ne_bytes()).unwrap();
    fs::rename(new, name.path()).unwrap();
}

fn set_len(name: &Name, size: u64) {
    let file = fs::File::options().write(true).open(name.path());
    file.unwrap().set_len(size).unwrap();
}
