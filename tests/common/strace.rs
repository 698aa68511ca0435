//! Faults and delays that strace injects into system calls.

use super::{HANG, Name, skipped};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Returns a command that runs the binary under strace, or None if strace does not work. The options usually contain
/// `inject=`, to make a system call fail or wait.
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

/// Waits until the binary, running under [`strace`], has opened or mapped the object.
pub fn wait_until_open(strace: &Child, name: &Name) {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let is_open = || {
        let child = fs::read_to_string(&children).unwrap().trim().to_owned();
        let open = fs::read_dir(format!("/proc/{child}/fd"))
            .into_iter()
            .flatten();
        let is_name = |path: &Path| path == name.path();
        let maps = fs::read_to_string(format!("/proc/{child}/maps")).unwrap_or_default();
        maps.contains(name.path().to_str().unwrap())
            || open
                .flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|path| is_name(&path)))
    };
    let start = Instant::now();
    while !is_open() {
        assert!(start.elapsed() < HANG, "{name} was not opened");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the binary, running under [`strace`], has opened the object, and then truncates the object to `size`.
pub fn truncate_when_open(strace: &Child, name: &Name, size: u64) {
    wait_until_open(strace, name);
    // The truncation must happen during the delay that strace injects.
    thread::sleep(Duration::from_millis(500));
    fs::File::options()
        .write(true)
        .open(name.path())
        .unwrap()
        .set_len(size)
        .unwrap();
}
