//! A private `/dev/shm`, for tests that list, sweep or fill it.

use super::report_missing;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs `body` in a separate process that has a new tmpfs on `/dev/shm`, mounted with these options.
///
/// That process is the test binary, told to run the calling test only. The name of the test is taken from the type of
/// `body`, so `body` must be a closure written in the test function itself.
pub fn in_private_shm<F: FnOnce()>(options: &'static str, body: F) {
    run_test_privately(test_of::<F>(), options, body);
}

/// Returns the path of the test that contains a closure, in the form that `cargo test` accepts.
pub fn test_of<F>() -> &'static str {
    // The type name looks like `create::scoped::some_test::{{closure}}`.
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    name.split_once("::")
        .expect("the type name starts with the crate")
        .1
}

/// Like [`in_private_shm`], for a caller that passes the path of the test.
pub fn run_test_privately(test: &str, options: &'static str, body: impl FnOnce()) {
    const IN_PRIVATE_SHM: &str = "SHMTOOL_TEST_PRIVATE_SHM";
    if std::env::var_os(IN_PRIVATE_SHM).is_some() {
        return body();
    }
    let mut test_process = Command::new(std::env::current_exe().unwrap());
    test_process
        .args([
            test,
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ])
        .env(IN_PRIVATE_SHM, "1");
    test_process.stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: between fork and exec the closure only makes system calls, and opens, writes and closes files.
    unsafe { test_process.pre_exec(move || mount_private_shm(options)) };
    let Ok(child) = test_process.spawn() else {
        report_missing("private mount namespace");
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
    // Root needs no user namespace. Without one, tests can still switch to other users.
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
