//! Runs the binary under test, and checks how it ended.

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than any step of a test takes, even on a slow machine. A process that runs longer hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Returns a command that runs the binary under test.
pub fn shmtool<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmtool"));
    command.args(args).stdin(Stdio::null());
    command
}

/// The exit status and output of a process.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs a command and waits for it. Panics if it hangs.
pub fn run(command: &mut Command) -> Ended {
    finish(spawn(command))
}

/// Starts a command with its output and messages in pipes.
pub fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

/// Waits for a process. Kills it and panics if it hangs.
pub fn finish(child: Child) -> Ended {
    let pid = Pid::from_raw(child.id() as i32);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(HANG) else {
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).unwrap();
        panic!("process {pid} hangs");
    };
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).expect("messages are valid UTF-8");
    Ended {
        status: output.status,
        stdout: output.stdout,
        stderr,
    }
}

impl Ended {
    /// Asserts that the process exited with `status` and printed nothing on standard output.
    #[track_caller]
    pub fn fails(&self, status: i32) -> &Self {
        assert_eq!(
            (self.status.code(), &self.stdout[..]),
            (Some(status), &b""[..]),
            "{self:?}"
        );
        self
    }

    /// Asserts that standard error is exactly `message` after the program's name.
    #[track_caller]
    pub fn says(&self, message: impl AsRef<str>) -> &Self {
        assert_eq!(self.stderr, format!("shmtool: {}\n", message.as_ref()));
        self
    }

    /// Asserts that the process succeeded, printed `stdout`, and printed nothing on standard error.
    #[track_caller]
    pub fn prints(&self, stdout: impl AsRef<[u8]>) -> &Self {
        assert!(self.stderr.is_empty() && self.status.success(), "{self:?}");
        let (actual, expected) = (&self.stdout, stdout.as_ref());
        assert!(
            actual == expected,
            "got {}, expected {}",
            summarize(actual),
            summarize(expected)
        );
        self
    }

    /// The signal that killed the process.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// Describes output that may be too long for an assertion message.
fn summarize(bytes: &[u8]) -> String {
    format!(
        "{} bytes, {:?}",
        bytes.len(),
        String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
    )
}

/// Runs a command with a resource limit.
pub fn limited(command: &mut Command, resource: Resource, limit: u64) -> &mut Command {
    // SAFETY: between fork and exec the closure makes one system call, setrlimit(2).
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limit, limit)?)) }
}

/// Asserts that a command reports an error when its standard output is `/dev/full`.
pub fn output_fails(command: &mut Command) {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    finish(child)
        .fails(1)
        .says("standard output: No space left on device");
}

/// The message for an object of `bytes` bytes when only `free` bytes are free in `/dev/shm`.
pub fn does_not_fit(name: &str, asked: &str, free: &str) -> String {
    format!(
        "{name}: {asked} do not fit into /dev/shm, where {free} are free\nhint: shmtool ls shows what takes the memory; a container gets more \
         with --shm-size=1g, a machine with mount -o remount,size=1g /dev/shm"
    )
}
