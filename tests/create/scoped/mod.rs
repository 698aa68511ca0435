//! `-- COMMAND`: objects that live as long as a command. All in a private `/dev/shm`, to see that nothing is left.

mod killed;
mod signals;
mod terminal;

use crate::common::*;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `create` with these arguments, and the binary as `$shmtool` for what the command says.
fn create(args: &[&str]) -> Command {
    let mut create = shmtool(["create"]);
    create
        .args(args)
        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
    create
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn there() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits until something is so, and fails if it never is.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < HANG, "it never comes");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_object_is_there_for_the_command_and_gone_with_it() {
    in_private_shm("size=4m", || {
        let script = "$shmtool write-int /j 7; $shmtool read-int /j; $shmtool ls -q; exit 3";
        let ended = run(&mut create(&[
            "-s", "4K", "/j", "/k", "--", "sh", "-c", script,
        ]));
        assert_eq!(
            (ended.status.code(), &ended.stdout[..]),
            (Some(3), &b"7\n/j\n/k\n"[..])
        );
        assert_eq!((ended.stderr.as_str(), there()), ("", vec![]));
    });
}

#[test]
fn it_ends_as_the_command_ended() {
    in_private_shm("size=4m", || {
        for (script, code, signal) in [
            ("exit 0", Some(0), None),
            ("exit 255", Some(255), None),
            ("kill -TERM $$", None, Some(libc::SIGTERM)),
            ("kill -KILL $$", None, Some(libc::SIGKILL)),
            ("kill -SEGV $$", None, Some(libc::SIGSEGV)),
            ("kill -PIPE $$", None, Some(libc::SIGPIPE)),
            ("kill -40 $$", None, Some(40)),
        ] {
            let ended = run(&mut create(&["j", "--", "sh", "-c", script]));
            assert_eq!(
                (ended.status.code(), ended.signal()),
                (code, signal),
                "{script}"
            );
            assert_eq!(there(), [""; 0]);
        }
    });
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_env_tells_it() {
    in_private_shm("size=4m", || {
        // A directory of PATH that may not be searched makes it EACCES, and 126, as with env.
        run(create(&["j", "--", "no-such-command"]).env("PATH", "/usr/bin:/bin"))
            .fails(127)
            .says("no-such-command: No such file or directory");
        run(&mut create(&["j", "--", "/etc/passwd"]))
            .fails(126)
            .says("/etc/passwd: Permission denied");
        assert_eq!(there(), [""; 0]);
    });
}

#[test]
fn if_one_cannot_be_made_none_stays_and_the_command_does_not_run() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/taken", "12").unwrap();
        run(&mut create(&["a", "taken", "--", "echo", "ran"]))
            .fails(125)
            .says("/taken: already exists\nhint: --replace replaces what an earlier run left");
        run(&mut create(&["a", "a", "--", "echo", "ran"]))
            .fails(125)
            .says("/a: already exists\nhint: --replace replaces what an earlier run left");
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
        assert_eq!(there(), ["taken"]);
    });
}

#[test]
fn only_what_this_run_made_is_removed() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/old", "12").unwrap();
        run(&mut create(&["--exist-ok", "old", "new", "--", "true"])).prints("");
        assert_eq!(there(), ["old"]);
        run(&mut create(&["--resize", "-s", "8K", "old", "--", "true"])).prints("");
        assert_eq!(fs::metadata("/dev/shm/old").unwrap().len(), 8192);
        // What takes the name meanwhile is somebody else's.
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
        assert_eq!(there(), ["old"]);
    });
}

#[test]
fn the_command_has_our_streams_and_nothing_else_of_ours() {
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
fn what_goes_on_in_the_background_keeps_nobody_waiting() {
    in_private_shm("size=4m", || {
        let script = "sleep 1000 > /dev/null 2>&1 & echo $!";
        let ended = run(&mut create(&["j", "--", "sh", "-c", script]));
        assert!(ended.status.success() && there().is_empty());
        let pid: i32 = String::from_utf8(ended.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        // The same where shmtool is killed: standard output is closed though the guard goes on.
        let mut child = spawn(&mut create(&[
            "j",
            "--",
            "sh",
            "-c",
            "exec > /dev/null 2>&1; sleep 0.5",
        ]));
        until(|| there() == ["j"]);
        sleep(Duration::from_millis(100));
        child.kill().unwrap();
        finish(child);
        until(|| there().is_empty());
    });
}

#[test]
fn a_sweep_takes_nothing_of_it() {
    in_private_shm("size=4m", || {
        let script = "i=0; while [ $i -lt 20 ]; do $shmtool unlink --glob '*'; $shmtool read-int j > /dev/null || echo gone; i=$((i+1)); done";
        run(&mut create(&["-s", "4", "j", "--", "sh", "-c", script])).prints("");
    });
}
