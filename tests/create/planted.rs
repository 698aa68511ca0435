//! Files planted under the temporary name that `--replace` uses.

use crate::common::*;
use nix::sys::stat::Mode;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Stdio;

/// Returns the path of the temporary name for `/x`. To learn it, kills shmtool between the two steps of `--replace`.
fn temporary_name() -> Option<std::path::PathBuf> {
    let inject = "inject=rename,renameat,renameat2:signal=KILL";
    let mut strace = strace(&["-e", inject], ["create", "--replace", "x"])?;
    strace.stderr(Stdio::null()).status().unwrap();
    let left = fs::read_dir("/dev/shm").unwrap().next().unwrap().unwrap();
    if left.file_name() == "x" {
        return None;
    }
    fs::remove_file(left.path()).unwrap();
    Some(left.path())
}

/// Replaces `/x`, and returns the system calls that strace recorded.
fn trace_replace() -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let calls = "trace=open,openat,nanosleep,clock_nanosleep,rt_sigprocmask";
    let options = ["-o", log.path().to_str().unwrap(), "-e", calls];
    run(&mut strace(&options, ["create", "--replace", "-s", "4K", "x"]).unwrap()).prints("");
    assert_eq!(fs::metadata("/dev/shm/x").unwrap().len(), 4096);
    fs::remove_file("/dev/shm/x").unwrap();
    fs::read_to_string(log.path()).unwrap()
}

#[test]
fn planted_files_neither_delay_replace_nor_are_opened() {
    in_private_shm("size=1m", || {
        let Some(path) = temporary_name() else { return };
        type Plant = fn(&Path) -> Option<File>;
        let plants: [(&str, Plant); 5] = [
            ("a directory", |path| {
                fs::create_dir(path).map(|()| None).unwrap()
            }),
            ("a symbolic link", |path| {
                symlink("/etc/passwd", path).map(|()| None).unwrap()
            }),
            ("a FIFO", |path| {
                nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap();
                None
            }),
            ("a hard link to an object of the same user", |path| {
                fs::write("/dev/shm/own", "").unwrap();
                fs::set_permissions("/dev/shm/own", Permissions::from_mode(0o666)).unwrap();
                fs::hard_link("/dev/shm/own", path).unwrap();
                File::open(path).ok()
            }),
            ("a file of another user", |path| {
                fs::write(path, "").unwrap();
                chown(path, Some(65534), None).ok()?;
                File::open(path).ok()
            }),
        ];
        for (what, plant) in plants {
            if what == "a file of another user" && !is_root() {
                continue;
            }
            let _held = plant(&path);
            let calls = trace_replace();
            assert!(!calls.contains("nanosleep"), "{what}: {calls}");
            assert!(!calls.contains(path.to_str().unwrap()), "{what}: {calls}");
            // The planted file still exists.
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
            let _ = fs::remove_file("/dev/shm/own");
            assert!(fs::read_dir("/dev/shm").unwrap().next().is_none(), "{what}");
        }
    });
}

#[test]
fn signals_are_not_blocked_while_replace_waits_for_a_file_of_the_same_user() {
    in_private_shm("size=1m", || {
        let Some(path) = temporary_name() else { return };
        let _held = File::create(&path).unwrap();
        let calls = trace_replace();
        let mut blocked = false;
        let mut slept = 0;
        for line in calls.lines() {
            if line.contains("SIG_SETMASK, ") {
                blocked = line.contains("SIG_SETMASK, ~[");
            } else if line.contains("nanosleep") {
                assert!(!blocked, "{calls}");
                slept += 1;
            }
        }
        assert!(slept > 0, "{calls}");
        assert!(fs::exists(&path).unwrap());
    });
}

#[test]
fn a_failed_rename_leaves_no_temporary_name() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/x", "old").unwrap();
        let inject = "inject=rename,renameat,renameat2:error=EIO";
        let args = ["create", "--replace", "-s", "4K", "x"];
        let Some(mut replace) = strace(&["-e", inject], args) else {
            return;
        };
        run(&mut replace)
            .fails(1)
            .says("/x: cannot replace it: Input/output error");
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
        assert_eq!(fs::read("/dev/shm/x").unwrap(), b"old");
    });
}
