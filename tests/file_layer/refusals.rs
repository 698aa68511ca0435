//! Files that cannot be used, and the words that say why.

use super::*;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn files_of_other_types_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let suffix = "; only regular files and devices contain integers";
    for (path, what) in [(directory.path(), "a directory"), (&socket, "a socket")] {
        assert_eq!(refusal(path, Access::Read), format!("it is {what}{suffix}"));
    }
}

#[test]
fn a_fifo_is_rejected_without_opening_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let writer = thread::spawn({
        let path = path.clone();
        move || File::options().write(true).open(path).unwrap()
    });
    for access in [Access::Read, Access::ReadWrite] {
        thread::sleep(Duration::from_millis(50));
        assert!(refusal(&path, access).starts_with("it is a pipe or FIFO"));
    }
    thread::sleep(Duration::from_millis(50));
    assert!(!writer.is_finished(), "the writer still waits for a reader");
    let _reader = File::open(&path).unwrap();
    writer.join().unwrap();
}

#[test]
fn missing_files_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for path in [&directory.path().join("missing"), &link, Path::new("")] {
        let error = open(path, Access::Read).unwrap_err();
        assert!(error.is_missing(), "{error}");
        assert!(error.to_string().ends_with(": No such file or directory"));
    }
    let file = file_on_disk();
    let message = refusal(file.path().join("x"), Access::Read);
    assert_eq!(message, "cannot open it: Not a directory");
}

#[test]
fn missing_permission_is_reported() {
    let test = "refusals::missing_permission_is_reported";
    const FILE: &str = "SHMTOOL_TEST_FILE";
    let Some(mut again) = run_again(test) else {
        let path = std::env::var_os(FILE).unwrap();
        open(&path, Access::Read).unwrap();
        assert_eq!(refusal(&path, Access::ReadWrite), "permission denied");
        return;
    };
    if is_root() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))
            .unwrap();
        passes(as_nobody(again.env(FILE, file.path())));
    }
}

#[test]
fn a_running_program_is_not_changed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("program");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut running = Command::new(&program)
        .arg("60")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    open(&program, Access::Read).unwrap();
    let opened = open(&program, Access::ReadWrite);
    running.kill().unwrap();
    running.wait().unwrap();
    match opened {
        Err(error) => assert!(matches!(error, FileError::RunningProgram(_)), "{error}"),
        Ok(_) => skipped("this kernel lets running programs be changed"),
    }
}

#[test]
fn immutable_and_append_only_files_are_not_changed() {
    for (flag, message) in [
        ("i", "it is immutable (chattr -i)"),
        ("a", "it is append-only (chattr -a)"),
    ] {
        let file = file_on_disk();
        let chattr = |change: String| {
            let mut chattr = Command::new("chattr");
            chattr.arg(change).arg(file.path()).stderr(Stdio::null());
            chattr.status().is_ok_and(|status| status.success())
        };
        let earlier = open(&file, Access::ReadWrite).unwrap();
        let mapping = earlier.map(0, INT, Access::ReadWrite).unwrap();
        if !chattr(format!("+{flag}")) {
            return skipped("no chattr");
        }
        let refused = open(&file, Access::ReadWrite).unwrap_err();
        let readable = open(&file, Access::Read).map(|opened| load(&opened, 0));
        // Some file systems refuse stores through descriptors that were opened before, too.
        let prepared = earlier.prepare_store(&mapping, 0, 4);
        let descriptor = format!("/dev/fd/{}", file.as_file().as_raw_fd());
        let mapped = open(&descriptor, Access::ReadWrite)
            .and_then(|opened| opened.map(0, INT, Access::ReadWrite).map(drop));
        assert!(chattr(format!("-{flag}")));
        assert_eq!(
            refused.to_string(),
            format!("{}: {message}", file.path().display())
        );
        assert_eq!(readable.unwrap(), 0);
        if let Err(error) = prepared {
            assert_eq!(error.to_string(), refused.to_string());
        }
        if flag == "a" {
            assert_eq!(
                mapped.unwrap_err().to_string(),
                format!("{descriptor}: {message}")
            );
        }
    }
}

#[test]
fn a_lease_is_waited_for() {
    // The kernel sends SIGIO to the holder of the lease.
    // SAFETY: ignoring a signal runs no code.
    unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) }.unwrap();
    let path = file_on_disk().into_temp_path();
    let take_lease = || {
        let holder = File::options().read(true).write(true).open(&path).unwrap();
        let (fd, kind) = (holder.as_raw_fd(), nix::libc::F_WRLCK);
        // SAFETY: the call accesses no memory.
        let result = unsafe { nix::libc::fcntl(fd, nix::libc::F_SETLEASE, kind) };
        nix::errno::Errno::result(result).map(|_| holder)
    };
    let Ok(holder) = take_lease() else {
        return skipped("no leases");
    };
    let start = Instant::now();
    let message = "another process holds a lease on it and did not release it in time";
    assert_eq!(refusal(&path, Access::Read), message);
    assert!(start.elapsed() >= Duration::from_secs(2));
    drop(holder);
    let holder = take_lease().unwrap();
    let release = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(holder);
    });
    open(&path, Access::ReadWrite).unwrap();
    release.join().unwrap();
}

#[test]
#[ignore = "activates swap space for a moment"]
fn swap_space_is_not_changed() {
    let file = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(&file, vec![0; 64 << 10]).unwrap();
    file.as_file().sync_all().unwrap();
    let system = |program: &str| {
        let mut command = Command::new(program);
        let command = command
            .arg(file.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !is_root() || !system("mkswap") || !system("swapon") {
        return skipped("no swap space");
    }
    let opened = open(&file, Access::ReadWrite);
    let stored = opened.as_ref().map(|opened| store(opened, 0, 1));
    let written = opened.as_ref().map(|opened| opened.pwrite(0, int(1)));
    assert!(system("swapoff"));
    let message = "it cannot be changed, because the system swaps to it (see swapon --show)";
    let message = format!("{}: {message}", file.path().display());
    for result in [stored, written] {
        assert_eq!(result.unwrap().unwrap_err().to_string(), message);
    }
}
