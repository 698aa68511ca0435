//! A private `/dev/shm`, for tests that list, sweep or fill it, and a private `/proc`, for tests that list all processes.

use super::report_missing;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getegid, geteuid};
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

/// Like [`in_private_shm`], and with new PID and IPC namespaces and a `/proc` of its own: the test sees only the processes
/// and System V segments that it creates. All of them end with the test.
pub fn in_private_system<F: FnOnce()>(options: &'static str, body: F) {
    run_test_in_private_system(test_of::<F>(), options, body);
}

/// Like [`in_private_shm`], for a caller that passes the path of the test.
pub fn run_test_privately(test: &str, options: &'static str, body: impl FnOnce()) {
    run_test(test, body, move || mount_private_shm(options));
}

/// Like [`in_private_system`], for a caller that passes the path of the test.
pub fn run_test_in_private_system(test: &str, options: &'static str, body: impl FnOnce()) {
    run_test(test, body, move || {
        mount_private_shm(options)?;
        enter_new_system()
    });
}

/// Runs `body`, which belongs to this test, in a process that `prepare` has prepared.
fn run_test(
    test: &str,
    body: impl FnOnce(),
    prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) {
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
    // SAFETY: between fork and exec the closures only make system calls, and open, write and close files.
    unsafe { test_process.pre_exec(prepare) };
    let Ok(child) = test_process.spawn() else {
        report_missing("private namespaces");
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

/// Makes a child of this process the first one in new PID and IPC namespaces, and returns in that child. This process
/// ends when the child does, with the same result.
fn enter_new_system() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)?;
    // SAFETY: there is one thread after the fork that came before this, and both processes only make system calls.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            // Otherwise the process that started us would wait for these copies of its pipes.
            // SAFETY: this process uses none of the closed descriptors again.
            unsafe { nix::libc::syscall(nix::libc::SYS_close_range, 0, u32::MAX, 0) };
            let succeeded = matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)));
            // SAFETY: the call takes no memory and does not return.
            unsafe { nix::libc::_exit(i32::from(!succeeded)) }
        }
        ForkResult::Child => {
            set_pdeathsig(Signal::SIGKILL)?;
            let (none, proc) = (None::<&str>, Some("proc"));
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            Ok(mount(proc, "/proc", proc, flags, none)?)
        }
    }
}
