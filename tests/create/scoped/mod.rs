//! `-- COMMAND`: objects that exist while a command runs. Each test uses a private `/dev/shm`, to check that nothing is
//! left behind.

mod ending;
mod killed;
mod signals;
mod terminal;
mod timing;

use crate::common::*;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns a command that runs `create`. Scripts find the binary in `$shmtool`.
fn create(args: &[&str]) -> Command {
    let mut create = shmtool(["create"]);
    create
        .args(args)
        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
    create
}

fn object_names() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits until a condition holds, and panics if that takes too long.
#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "the condition never holds");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn objects_exist_while_the_command_runs_and_are_removed_when_it_ends() {
    in_private_shm("size=4m", || {
        let script = "$shmtool write-int /j 7; $shmtool read-int /j; $shmtool ls -q; exit 3";
        let ended = run(&mut create(&[
            "-s", "4K", "/j", "/k", "--", "sh", "-c", script,
        ]));
        assert_eq!(
            (ended.status.code(), &ended.stdout[..]),
            (Some(3), &b"7\n/j\n/k\n"[..])
        );
        assert_eq!((ended.stderr.as_str(), object_names()), ("", vec![]));
    });
}

#[test]
fn a_command_that_cannot_be_run_is_126_or_127_as_with_env() {
    in_private_shm("size=4m", || {
        // PATH is set because a directory in it without search permission leads to EACCES, and so to 126, as with env.
        run(create(&["j", "--", "no-such-command"]).env("PATH", "/usr/bin:/bin"))
            .fails(127)
            .says("no-such-command: No such file or directory");
        run(&mut create(&["j", "--", "/etc/passwd"]))
            .fails(126)
            .says("/etc/passwd: Permission denied");
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn if_one_object_cannot_be_created_the_others_are_removed_and_the_command_does_not_run() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/taken", "12").unwrap();
        run(&mut create(&["a", "taken", "--", "echo", "ran"]))
            .fails(125)
            .says("/taken: already exists\nhint: --replace replaces what an earlier run left");
        run(&mut create(&["a", "a", "--", "echo", "ran"]))
            .fails(125)
            .says("/a: already exists");
        run(&mut create(&["-s", "2M", "a", "--", "echo", "ran"])).fails(125);
        run(&mut create(&[
            "--from",
            "/nonexistent",
            "a",
            "--",
            "echo",
            "ran",
        ]))
        .fails(125);
        assert_eq!(object_names(), ["taken"]);
    });
}

#[test]
fn only_objects_that_this_run_created_are_removed() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/old", "12").unwrap();
        run(&mut create(&["--exist-ok", "old", "new", "--", "true"])).prints("");
        assert_eq!(object_names(), ["old"]);
        run(&mut create(&["--resize", "-s", "8K", "old", "--", "true"])).prints("");
        assert_eq!(fs::metadata("/dev/shm/old").unwrap().len(), 8192);
        // An object that took over the name while the command ran belongs to somebody else.
        run(&mut create(&[
            "new",
            "--",
            "sh",
            "-c",
            "$shmtool unlink new; echo theirs > /dev/shm/new",
        ]))
        .prints("");
        assert_eq!(fs::read("/dev/shm/new").unwrap(), b"theirs\n");
        run(&mut create(&["--replace", "new", "--", "true"])).prints("");
        assert_eq!(object_names(), ["old"]);
    });
}

#[test]
fn the_command_inherits_the_standard_streams_and_no_other_descriptor() {
    in_private_shm("size=4m", || {
        let fds = "ls /proc/self/fd";
        let alone = run(Command::new("sh").args(["-c", fds]).stdin(Stdio::null())).stdout;
        assert_eq!(
            run(&mut create(&["-s", "4", "a", "b", "--", "sh", "-c", fds])).stdout,
            alone
        );
        let mut closed = Command::new("sh");
        let script =
            "exec $shmtool create j -- sh -c 'ls -l /proc/$$/fd/0 2>/dev/null || echo closed' <&-";
        closed
            .args(["-c", script])
            .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
        run(&mut closed).prints("closed\n");
        let mut child = create(&["j", "--", "cat"]);
        let mut child = spawn(child.stdin(Stdio::piped()));
        child.stdin.take().unwrap().write_all(b"through").unwrap();
        finish(child).prints("through");
    });
}

#[test]
fn background_processes_do_not_delay_the_end() {
    in_private_shm("size=4m", || {
        let script = "sleep 1000 > /dev/null 2>&1 & echo $!";
        let ended = run(&mut create(&["j", "--", "sh", "-c", script]));
        assert!(ended.status.success() && object_names().is_empty());
        let pid: i32 = String::from_utf8(ended.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        // The same if shmtool is killed: standard output is closed although the guard still runs.
        let mut child = spawn(&mut create(&[
            "j",
            "--",
            "sh",
            "-c",
            "exec > /dev/null 2>&1; sleep 0.5",
        ]));
        wait_until(|| object_names() == ["j"]);
        sleep(Duration::from_millis(100));
        child.kill().unwrap();
        finish(child);
        wait_until(|| object_names().is_empty());
    });
}

#[test]
fn a_sweep_does_not_remove_the_objects() {
    in_private_shm("size=4m", || {
        let script = "i=0; while [ $i -lt 20 ]; do $shmtool unlink --glob '*'; $shmtool read-int j > /dev/null || echo gone; i=$((i+1)); done";
        run(&mut create(&["-s", "4", "j", "--", "sh", "-c", script])).prints("");
    });
}

#[test]
fn an_object_that_somebody_else_creates_meanwhile_is_checked_too() {
    in_private_shm("size=4m", || {
        for (options, size, status) in [("--exist-ok", "10", 125), ("--resize", "8192", 0)] {
            // The first call only tries whether unnamed files can be named.
            let inject = "inject=linkat:delay_enter=500000:when=2";
            let args = [
                "create",
                options,
                "-s",
                "8K",
                "j",
                "--",
                "stat",
                "-c",
                "%s",
                "/dev/shm/j",
            ];
            let Some(mut strace) = strace(&["-e", inject], args) else {
                return;
            };
            let strace = spawn(&mut strace);
            sleep(Duration::from_millis(250));
            fs::write("/dev/shm/j", [1; 10]).unwrap();
            let ended = finish(strace);
            assert_eq!(ended.status.code(), Some(status), "{ended:?}");
            match status {
                0 => assert_eq!(ended.stdout, format!("{size}\n").as_bytes()),
                _ => assert!(
                    ended.stderr.contains("exists and has 10B, less than 8KiB"),
                    "{ended:?}"
                ),
            }
            assert_eq!(object_names(), ["j"]);
            fs::remove_file("/dev/shm/j").unwrap();
        }
    });
}

#[test]
fn an_existing_object_that_may_not_be_read_is_left_to_the_command() {
    in_private_shm("size=4m,mode=1777", || {
        if !is_root() {
            return;
        }
        fs::write("/dev/shm/theirs", "12").unwrap();
        fs::set_permissions("/dev/shm/theirs", fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = create(&["--exist-ok", "theirs", "--", "echo", "ran"]);
        run(as_nobody(&mut command)).prints("ran\n");
        assert_eq!(object_names(), ["theirs"]);
    });
}

#[test]
fn the_hint_at_replace_appears_only_if_nobody_uses_the_object() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/j", "").unwrap();
        let user = File::open("/dev/shm/j").unwrap();
        run(&mut create(&["j", "--", "true"]))
            .fails(125)
            .says("/j: already exists\nhint: it is in use, perhaps by another run");
        drop(user);
        run(&mut create(&["j", "--", "true"]))
            .fails(125)
            .says("/j: already exists\nhint: --replace replaces what an earlier run left");
    });
}
