//! How shmtool ends when COMMAND ends or is killed, also as PID 1.

use super::*;

#[test]
fn shmtool_ends_with_the_status_or_signal_of_the_command() {
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
            assert_eq!(object_names(), [""; 0]);
        }
    });
}

#[test]
fn if_waiting_fails_the_objects_stay_until_the_command_ends() {
    in_private_shm("size=4m", || {
        let options = ["-e", "inject=wait4:error=ENOMEM"];
        let script = "sleep 0.5; ls /dev/shm > \"$0\"";
        let seen = tempfile::NamedTempFile::new().unwrap();
        let seen = seen.path().to_str().unwrap();
        let args = ["create", "-s", "4", "j", "--", "sh", "-c", script, seen];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        run(&mut strace)
            .fails(125)
            .says("cannot wait for COMMAND: Cannot allocate memory");
        wait_until(|| fs::read_to_string(seen).unwrap() == "j\n");
        wait_until(|| object_names().is_empty());
    });
}

#[test]
fn killing_the_command_before_exec_ends_shmtool_with_the_same_signal() {
    in_private_shm("size=4m", || {
        let options = ["-e", "inject=linkat:delay_enter=400000"];
        let args = ["create", "-s", "4", "j", "--", "echo", "started"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        let strace = spawn(&mut strace);
        // The child that will execute COMMAND is the only child that still has the name of shmtool.
        let waiting = || {
            let children = |pid: &str| {
                let path = format!("/proc/{pid}/task/{pid}/children");
                let text = fs::read_to_string(path).unwrap_or_default();
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let shmtool = children(&strace.id().to_string());
            let waiting = shmtool.iter().flat_map(|pid| children(pid)).find(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name == "shmtool\n")
            });
            waiting.map(|pid| pid.parse::<i32>().unwrap())
        };
        wait_until(|| waiting().is_some());
        sleep(Duration::from_millis(100));
        kill(Pid::from_raw(waiting().unwrap()), Signal::SIGKILL).unwrap();
        let ended = finish(strace);
        // strace ends with the signal of the program that it traces.
        assert_eq!(
            (ended.signal(), &ended.stdout[..]),
            (Some(libc::SIGKILL), &b""[..]),
            "{ended:?}"
        );
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn shmtool_writes_no_core_dump_of_its_own() {
    in_private_shm("size=4m", || {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let trace = trace.path().to_str().unwrap();
        let options = ["-e", "trace=prctl,kill", "-o", trace];
        let args = [
            "create",
            "j",
            "--",
            "sh",
            "-c",
            "ulimit -c 0; kill -SEGV $$",
        ];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        assert_eq!(run(&mut strace).signal(), Some(libc::SIGSEGV));
        let calls = fs::read_to_string(trace).unwrap();
        let position = |call: &str| {
            calls
                .find(call)
                .unwrap_or_else(|| panic!("{call}: {calls}"))
        };
        // RLIMIT_CORE is not enough: the kernel ignores a limit of 0 if it pipes core dumps to a program (core(5)).
        assert!(
            position("PR_SET_DUMPABLE, SUID_DUMP_DISABLE") < position("SIGSEGV"),
            "{calls}"
        );
    });
}

#[test]
fn an_object_that_could_not_be_removed_before_the_command_is_reported_and_removed_by_the_guard() {
    in_private_shm("size=4m", || {
        // The first linkat of each object only finds out whether its name is free.
        let fail = ["linkat:error=EIO:when=4", "unlink:error=EIO:when=1"];
        let options = fail.map(|fault| format!("inject={fault}"));
        let options = ["-e", &options[0], "-e", &options[1]];
        let args = ["create", "a", "b", "--", "true"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        run(&mut strace)
            .fails(125)
            .says("/a: cannot remove it: Input/output error\nshmtool: /b: cannot name it: Input/output error");
        wait_until(|| object_names().is_empty());
    });
}

/// `create j -- sh -c SCRIPT` as PID 1 of a PID namespace.
fn as_pid_1(script: &str) -> Command {
    let mut unshare = Command::new("unshare");
    let options = ["--pid", "--fork", "--mount-proc"];
    unshare.args(options).arg(env!("CARGO_BIN_EXE_shmtool"));
    unshare.args(["create", "j", "--", "sh", "-c", script]);
    unshare
}

#[test]
fn as_pid_1_shmtool_reaps_orphans() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let script = "for i in 1 2 3; do (sleep 0.05 &); done; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ' Z '";
        assert_eq!(run(&mut as_pid_1(script)).stdout, b"0\n");
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn as_pid_1_shmtool_exits_with_128_plus_the_signal() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        run(&mut as_pid_1("kill -TERM $$")).fails(128 + libc::SIGTERM);
    });
}

#[test]
fn no_zombie_is_left_to_a_parent_that_waits_only_for_shmtool() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let script = "for i in 1 2 3; do $shmtool create j -- true; done; grep -c ' Z ' /proc/[0-9]*/stat | grep -c ':1'";
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--pid", "--fork", "--mount-proc", "sh", "-c", script])
            .env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
        assert_eq!(run(&mut unshare).stdout, b"0\n");
    });
}
