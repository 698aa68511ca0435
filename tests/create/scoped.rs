//! `-- COMMAND`: objects that live as long as a command. All in a private `/dev/shm`, to see that nothing is left.

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
    in_private_shm(
        "scoped::the_object_is_there_for_the_command_and_gone_with_it",
        "size=4m",
        || {
            let script = "$shmtool write-int /j 7; $shmtool read-int /j; $shmtool ls -q; exit 3";
            let ended = run(&mut create(&[
                "-s", "4K", "/j", "/k", "--", "sh", "-c", script,
            ]));
            assert_eq!(
                (ended.status.code(), &ended.stdout[..]),
                (Some(3), &b"7\n/j\n/k\n"[..])
            );
            assert_eq!((ended.stderr.as_str(), there()), ("", vec![]));
        },
    );
}

#[test]
fn it_ends_as_the_command_ended() {
    in_private_shm("scoped::it_ends_as_the_command_ended", "size=4m", || {
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
    in_private_shm(
        "scoped::a_command_that_cannot_be_run_is_told_as_env_tells_it",
        "size=4m",
        || {
            // A directory of PATH that may not be searched makes it EACCES, and 126, as with env.
            run(create(&["j", "--", "no-such-command"]).env("PATH", "/usr/bin:/bin"))
                .fails(127)
                .says("no-such-command: No such file or directory");
            run(&mut create(&["j", "--", "/etc/passwd"]))
                .fails(126)
                .says("/etc/passwd: Permission denied");
            assert_eq!(there(), [""; 0]);
        },
    );
}

#[test]
fn if_one_cannot_be_made_none_stays_and_the_command_does_not_run() {
    in_private_shm(
        "scoped::if_one_cannot_be_made_none_stays_and_the_command_does_not_run",
        "size=1m",
        || {
            fs::write("/dev/shm/taken", "12").unwrap();
            run(&mut create(&["a", "taken", "--", "echo", "ran"]))
                .fails(125)
                .says("/taken: the object exists already");
            run(&mut create(&["a", "a", "--", "echo", "ran"]))
                .fails(125)
                .says("/a: the object exists already");
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
        },
    );
}

#[test]
fn only_what_this_run_made_is_removed() {
    in_private_shm(
        "scoped::only_what_this_run_made_is_removed",
        "size=4m",
        || {
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
        },
    );
}

#[test]
fn a_signal_sent_to_it_alone_reaches_the_command_once() {
    in_private_shm(
        "scoped::a_signal_sent_to_it_alone_reaches_the_command_once",
        "size=4m",
        || {
            for signal in [
                Signal::SIGTERM,
                Signal::SIGHUP,
                Signal::SIGINT,
                Signal::SIGQUIT,
            ] {
                let name = &signal.as_str()[3..];
                let script = format!(
                    "trap 'echo {name}' {name}; : > /dev/shm/ready; i=0; while [ $i -lt 30 ]; do sleep 0.01; i=$((i+1)); done"
                );
                let mut child = create(&["j", "--", "sh", "-c", &script]);
                let child = spawn(&mut child);
                until(|| fs::exists("/dev/shm/ready").unwrap());
                kill(Pid::from_raw(child.id() as i32), signal).unwrap();
                finish(child).prints(format!("{name}\n"));
                fs::remove_file("/dev/shm/ready").unwrap();
                assert_eq!(there(), [""; 0]);

                let child = spawn(&mut create(&["j", "--", "sleep", "1000"]));
                until(|| there() == ["j"]);
                sleep(Duration::from_millis(50));
                kill(Pid::from_raw(child.id() as i32), signal).unwrap();
                assert_eq!(finish(child).signal(), Some(signal as i32));
                assert_eq!(there(), [""; 0]);
            }
        },
    );
}

#[test]
fn signals_are_for_the_command_as_they_were() {
    in_private_shm(
        "scoped::signals_are_for_the_command_as_they_were",
        "size=4m",
        || {
            let status = |command: &mut Command| {
                let text = String::from_utf8(run(command).stdout).unwrap();
                let signals = text
                    .lines()
                    .filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"));
                signals.map(str::to_owned).collect::<Vec<_>>()
            };
            for ignored in ["", "HUP", "PIPE XFSZ CHLD", "INT TERM"] {
                let traps: String = ignored
                    .split_whitespace()
                    .map(|name| format!("trap '' {name}; "))
                    .collect();
                let sh = |script: &str| {
                    let mut sh = Command::new("bash");
                    sh.args(["-c", &format!("{traps}{script}")])
                        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
                    status(&mut sh)
                };
                let alone = sh("exec cat /proc/self/status");
                assert_eq!(
                    sh("exec $shmtool create j -- cat /proc/self/status"),
                    alone,
                    "{ignored}"
                );
            }
        },
    );
}

#[test]
fn the_command_has_our_streams_and_nothing_else_of_ours() {
    in_private_shm(
        "scoped::the_command_has_our_streams_and_nothing_else_of_ours",
        "size=4m",
        || {
            let fds = "ls /proc/self/fd";
            let alone = run(Command::new("sh").args(["-c", fds]).stdin(Stdio::null())).stdout;
            assert_eq!(
                run(&mut create(&["-s", "4", "a", "b", "--", "sh", "-c", fds])).stdout,
                alone
            );
            let mut closed = Command::new("sh");
            let script = "exec $shmtool create j -- sh -c 'ls -l /proc/$$/fd/0 2>/dev/null || echo closed' <&-";
            closed
                .args(["-c", script])
                .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
            run(&mut closed).prints("closed\n");
            let mut child = create(&["j", "--", "cat"]);
            let mut child = spawn(child.stdin(Stdio::piped()));
            child.stdin.take().unwrap().write_all(b"through").unwrap();
            finish(child).prints("through");
        },
    );
}

#[test]
fn what_goes_on_in_the_background_keeps_nobody_waiting() {
    in_private_shm(
        "scoped::what_goes_on_in_the_background_keeps_nobody_waiting",
        "size=4m",
        || {
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
        },
    );
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_once_the_command_has_ended() {
    let test = "scoped::killed_at_any_moment_it_leaves_nothing_once_the_command_has_ended";
    in_private_shm(test, "size=16m", || {
        for round in 0..100_u64 {
            let mut child = create(&["-s", "64K", "a", "b", "--", "sleep", "0.05"]);
            let mut child = child.spawn().unwrap();
            sleep(Duration::from_micros(round * 100));
            child.kill().unwrap();
            child.wait().unwrap();
            until(|| there().is_empty());
        }
    });
}

#[test]
fn killed_with_its_whole_process_group_it_leaves_nothing() {
    let test = "scoped::killed_with_its_whole_process_group_it_leaves_nothing";
    in_private_shm(test, "size=16m", || {
        // The guard takes its time to leave the group.
        let options = ["-f", "-e", "inject=setsid:delay_enter=300000"];
        let args = ["create", "-s", "64K", "a", "b", "--", "sleep", "1000"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        let mut strace = strace.process_group(0).spawn().unwrap();
        until(|| there().len() == 2);
        killpg(Pid::from_raw(strace.id() as i32), Signal::SIGKILL).unwrap();
        strace.wait().unwrap();
        until(|| there().is_empty());
    });
}

#[test]
fn killed_at_a_replacement_it_leaves_the_old_object_alone() {
    let test = "scoped::killed_at_a_replacement_it_leaves_the_old_object_alone";
    in_private_shm(test, "size=16m", || {
        fs::write("/dev/shm/x", "old").unwrap();
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let args = ["create", "--replace", "-s", "8K", "x", "--", "true"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        // The signal comes before the call or after it.
        until(|| there().iter().all(|name| name == "x"));
    });
}

#[test]
fn a_sweep_takes_nothing_of_it() {
    in_private_shm("scoped::a_sweep_takes_nothing_of_it", "size=4m", || {
        let script = "i=0; while [ $i -lt 20 ]; do $shmtool unlink --glob '*'; $shmtool read-int j > /dev/null || echo gone; i=$((i+1)); done";
        run(&mut create(&["-s", "4", "j", "--", "sh", "-c", script])).prints("");
    });
}

/// Runs a shell in a terminal of its own, and gives what the terminal shows, and how the shell ended.
fn in_terminal(
    script: &str,
    type_into: impl FnOnce(&mut File),
) -> (String, std::process::ExitStatus) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", script])
        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    bash.stdin(slave()).stdout(slave()).stderr(slave());
    // SAFETY: two system calls.
    unsafe {
        bash.pre_exec(|| {
            nix::unistd::setsid()?;
            nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
            Ok(())
        })
    };
    let mut child = bash.spawn().unwrap();
    drop((bash, pty.slave));
    let mut master = File::from(pty.master);
    type_into(&mut master);
    let mut shown = Vec::new();
    // EIO is how a terminal says that nobody is left at the other end.
    let _ = master.read_to_end(&mut shown);
    (
        String::from_utf8_lossy(&shown).into_owned(),
        child.wait().unwrap(),
    )
}

#[test]
fn ctrl_c_ends_the_command_and_the_loop_around_it() {
    in_private_shm(
        "scoped::ctrl_c_ends_the_command_and_the_loop_around_it",
        "size=4m",
        || {
            let count = tempfile::NamedTempFile::new().unwrap();
            let path = count.path().to_str().unwrap();
            // It counts what comes for a while, and then ends as it would have.
            let command = format!(
                "import os, signal, time
def count(*_): open('{path}', 'a').write('INT\\n')
signal.signal(signal.SIGINT, count)
open('/dev/shm/ready', 'w')
end = time.time() + 1
while time.time() < end: time.sleep(0.1)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGINT)"
            );
            if python("", &[]).is_none() {
                return;
            }
            let script =
                format!("while :; do $shmtool create j -- python3 -c \"{command}\"; done; echo on");
            let (shown, status) = in_terminal(&script, |terminal| {
                until(|| fs::exists("/dev/shm/ready").unwrap());
                terminal.write_all(b"\x03").unwrap();
            });
            assert_eq!(
                fs::read_to_string(count.path()).unwrap(),
                "INT\n",
                "{shown}"
            );
            assert!(!status.success() && !shown.contains("on\r\n"), "{shown}");
            assert_eq!(there(), ["ready"]);
        },
    );
}

#[test]
fn a_job_is_stopped_and_continued() {
    in_private_shm("scoped::a_job_is_stopped_and_continued", "size=4m", || {
        let script = "set -m
$shmtool create j -- sh -c 'echo > /dev/shm/ready; sleep 0.7; echo awake'
echo stopped $?
ls -1 /dev/shm
fg
echo ended $?";
        let (shown, _) = in_terminal(script, |terminal| {
            until(|| fs::exists("/dev/shm/ready").unwrap());
            sleep(Duration::from_millis(100));
            terminal.write_all(b"\x1a").unwrap();
        });
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        let at = |text: &str| {
            lines
                .iter()
                .position(|line| *line == text)
                .unwrap_or_else(|| panic!("{text}: {shown}"))
        };
        assert!(
            at("stopped 148") < at("j") && at("j") < at("awake") && at("awake") < at("ended 0"),
            "{shown}"
        );
        assert_eq!(there(), ["ready"]);
    });
}
