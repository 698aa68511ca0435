//! What the tests of all verbs need: the binary, names of their own, a private `/dev/shm`, and the
//! programs on the other side.

// Each test file uses its own part of it.
#![allow(dead_code, unused_imports)]

mod c;
pub mod cgroup;
pub mod disk;
pub mod fuse;

pub use c::{c_program, signal_counter};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Pid, getegid, geteuid};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, on any machine: what is not done by then hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// The binary under test, with these arguments.
pub fn shmtool<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmtool"));
    command.args(args).stdin(Stdio::null());
    command
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs a command to its end, and fails if it hangs.
pub fn run(command: &mut Command) -> Ended {
    finish(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts"),
    )
}

/// Waits for the end of a process, and fails if it hangs.
pub fn finish(child: Child) -> Ended {
    let pid = Pid::from_raw(child.id() as i32);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(HANG) else {
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).unwrap();
        panic!("process {pid} hangs");
    };
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).expect("messages are text");
    Ended {
        status: output.status,
        stdout: output.stdout,
        stderr,
    }
}

impl Ended {
    /// It ended with this status (and by no signal), and said nothing on standard output.
    #[track_caller]
    pub fn fails(&self, status: i32) -> &Self {
        assert_eq!(
            (self.status.code(), &self.stdout[..]),
            (Some(status), &b""[..]),
            "{self:?}"
        );
        self
    }

    /// The one line on standard error is this, after the program's name.
    #[track_caller]
    pub fn says(&self, message: impl AsRef<str>) -> &Self {
        assert_eq!(self.stderr, format!("shmtool: {}\n", message.as_ref()));
        self
    }

    /// It was done, said nothing on standard error, and printed this.
    #[track_caller]
    pub fn prints(&self, stdout: impl AsRef<[u8]>) -> &Self {
        assert!(self.stderr.is_empty() && self.status.success(), "{self:?}");
        let (printed, expected) = (&self.stdout, stdout.as_ref());
        assert!(
            printed == expected,
            "{} and not {}",
            brief(printed),
            brief(expected)
        );
        self
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

fn brief(bytes: &[u8]) -> String {
    format!(
        "{} bytes, {:?}",
        bytes.len(),
        String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
    )
}

/// The name of an object that no other test has. The object is removed in the end, if it is still there.
#[derive(Debug)]
pub struct Name(String);

impl Name {
    pub fn new() -> Name {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Name(format!("/shmtool-test-{}-{count}", std::process::id()))
    }

    /// Where the object is in the file system.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }

    /// Makes the object of these bytes, not by the binary under test.
    pub fn holding(bytes: impl AsRef<[u8]>) -> Name {
        let name = Name::new();
        fs::write(name.path(), bytes).unwrap();
        name
    }
}

impl AsRef<OsStr> for Name {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path()).or_else(|_| fs::remove_dir(self.path()));
    }
}

/// Not by eprintln!, which is kept from whoever runs a test that passes.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Whether a test goes on without what it needs: it says that it does not, and in CI it fails.
fn missing(what: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "no {what}"
    );
    skipped(&format!("no {what}"));
    false
}

/// Whether this runs as root, and so can be another user too. Not a matter for CI, which may be anybody.
pub fn is_root() -> bool {
    geteuid().is_root() || {
        skipped("not root");
        false
    }
}

/// Makes a command run as a user that is not root and owns nothing.
pub fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(65534).gid(65534)
}

/// Runs the test that calls this again, as a process of its own that has a tmpfs of its own on `/dev/shm`, mounted
/// with these options; there, runs `body`, which must be a closure of the test itself.
pub fn in_private_shm<F: FnOnce()>(options: &'static str, body: F) {
    run_test_privately(test_of::<F>(), options, body);
}

/// The path of the test that a closure is written in, as `cargo test` takes it.
pub fn test_of<F>() -> &'static str {
    // As in `create::scoped::the_test::{{closure}}`.
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    name.split_once("::").expect("it is in a crate").1
}

/// The same for the test of this path.
pub fn run_test_privately(test: &str, options: &'static str, body: impl FnOnce()) {
    const INSIDE: &str = "SHMTOOL_TEST_PRIVATE_SHM";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args([
            test,
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ])
        .env(INSIDE, "1");
    again.stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: between fork and exec only system calls, and files that are opened, written and closed.
    unsafe { again.pre_exec(move || mount_private_shm(options)) };
    let Ok(child) = again.spawn() else {
        missing("mount namespace of our own");
        return;
    };
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "in the private /dev/shm: {stdout}"
    );
}

fn mount_private_shm(options: &str) -> std::io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    // Root needs no user namespace, and without one there are other users to be.
    if !uid.is_root() || unshare(CloneFlags::CLONE_NEWNS).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(
        Some("tmpfs"),
        "/dev/shm",
        Some("tmpfs"),
        flags,
        Some(options),
    )?)
}

/// A process that answers lines: the counterpart in C or Python.
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

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Says something to it, and returns the line that it answers.
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

/// A Python that has `multiprocessing.shared_memory`, running this script with these arguments.
pub fn python(script: &str, args: &[&str]) -> Option<Command> {
    let mut probe = Command::new("python3");
    probe
        .args(["-c", "import multiprocessing.shared_memory"])
        .stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        missing("python3");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script]).args(args);
    Some(command)
}

/// The binary under strace, which makes what `inject` says happen; none where strace cannot be had.
pub fn strace<I: IntoIterator<Item: AsRef<OsStr>>>(options: &[&str], args: I) -> Option<Command> {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if !works.is_ok_and(|status| status.success()) {
        skipped("no strace");
        return None;
    }
    let mut command = Command::new("strace");
    command
        .args(["-o", "/dev/null", "-qq"])
        .args(options)
        .arg(env!("CARGO_BIN_EXE_shmtool"))
        .args(args);
    command.stdin(Stdio::null());
    Some(command)
}

/// Truncates the object to `size` once the binary, running under [`strace`], has it open.
pub fn truncate_when_open(strace: &Child, name: &Name, size: u64) {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let is_open = || {
        let child = fs::read_to_string(&children).unwrap().trim().to_owned();
        let open = fs::read_dir(format!("/proc/{child}/fd"))
            .into_iter()
            .flatten();
        open.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|path| path == name.path()))
    };
    let start = Instant::now();
    while !is_open() {
        assert!(start.elapsed() < HANG, "it never opened {name}");
        thread::sleep(Duration::from_millis(1));
    }
    // Into the delay that strace makes.
    thread::sleep(Duration::from_millis(500));
    fs::File::options()
        .write(true)
        .open(name.path())
        .unwrap()
        .set_len(size)
        .unwrap();
}

/// What is said where `/dev/shm` is as small as here.
pub fn does_not_fit(name: &str, asked: &str, free: &str) -> String {
    format!(
        "{name}: {asked} do not fit into /dev/shm, where {free} are free\nhint: a container gets more \
         with --shm-size=1g, a machine with mount -o remount,size=1g /dev/shm"
    )
}

/// Makes a command run with this limit.
pub fn limited(command: &mut Command, resource: Resource, limit: u64) -> &mut Command {
    // SAFETY: setrlimit is one system call.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limit, limit)?)) }
}

/// Runs a command whose standard output is always full, which it must say.
pub fn output_fails(command: &mut Command) {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    finish(child)
        .fails(1)
        .says("standard output: No space left on device");
}

/// What a command prints on a terminal that passes bytes through as they are.
pub fn on_terminal(command: &mut Command) -> Vec<u8> {
    // A size of 0 is not known.
    on_terminal_of_width(0, command)
}

/// The same on a terminal with so many columns.
pub fn on_terminal_of_width(columns: u16, command: &mut Command) -> Vec<u8> {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let size = nix::pty::Winsize {
        ws_row: columns,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = nix::pty::openpty(&size, None).unwrap();
    let mut raw = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).unwrap();
    let mut child = command
        .stdout(pty.slave)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command keeps the other end of the terminal open, and with it the last copy must go.
    command.stdout(Stdio::null());
    let mut printed = Vec::new();
    // EIO is how a terminal says that nobody is left at the other end.
    match fs::File::from(pty.master).read_to_end(&mut printed) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}"),
    }
    assert!(child.wait().unwrap().success());
    printed
}
