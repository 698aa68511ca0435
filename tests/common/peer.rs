//! Other programs that use the same objects.

use super::report_missing;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that answers each line of input with a line of output: a C program or a Python script.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(command: &mut Command) -> Peer {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Peer {
            child,
            stdin,
            stdout,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the next line of output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a line, and returns the answer.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").unwrap();
        self.line()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs a Python script, or None if Python or `multiprocessing.shared_memory` is missing.
pub fn python(script: &str, args: &[&str]) -> Option<Command> {
    let mut probe = Command::new("python3");
    probe
        .args(["-c", "import multiprocessing.shared_memory"])
        .stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        report_missing("python3");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script]).args(args);
    Some(command)
}
