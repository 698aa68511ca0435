//! What others plant under the name that `--replace` uses between its two steps.

use crate::common::*;
use nix::sys::stat::Mode;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Stdio;

/// The other name of `/x`, as a kill between the two steps would leave it.
fn other_name() -> Option<std::path::PathBuf> {
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

/// Replaces `/x`, and returns the system calls that were made for it.
fn replace() -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let calls = "trace=open,openat,nanosleep,clock_nanosleep,rt_sigprocmask";
    let options = ["-o", log.path().to_str().unwrap(), "-e", calls];
    run(&mut strace(&options, ["create", "--replace", "-s", "4K", "x"]).unwrap()).prints("");
    assert_eq!(fs::metadata("/dev/shm/x").unwrap().len(), 4096);
    fs::remove_file("/dev/shm/x").unwrap();
    fs::read_to_string(log.path()).unwrap()
}

#[test]
fn what_is_planted_delays_nothing_and_is_not_opened() {
    in_private_shm("size=1m", || {
        let Some(path) = other_name() else { return };
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
            ("a hard link to an object of ours", |path| {
                fs::write("/dev/shm/ours", "").unwrap();
                fs::set_permissions("/dev/shm/ours", Permissions::from_mode(0o666)).unwrap();
                fs::hard_link("/dev/shm/ours", path).unwrap();
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
            let calls = replace();
            assert!(!calls.contains("nanosleep"), "{what}: {calls}");
            assert!(!calls.contains(path.to_str().unwrap()), "{what}: {calls}");
            // It is still there.
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
            let _ = fs::remove_file("/dev/shm/ours");
            assert!(fs::read_dir("/dev/shm").unwrap().next().is_none(), "{what}");
        }
    });
}

#[test]
fn signals_get_through_while_a_file_of_ours_is_waited_for() {
    in_private_shm("size=1m", || {
        let Some(path) = other_name() else { return };
        let _held = File::create(&path).unwrap();
        let calls = replace();
        let mut blocked = false;
        let mut slept = 0;
        for line in calls.lines() {
            if line.contains("SIG_SETMASK") {
                blocked = line.contains("~[");
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
fn a_rename_that_fails_leaves_no_other_name() {
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
