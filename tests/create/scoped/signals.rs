//! Which signals COMMAND receives. `signals.c` counts them.

use super::*;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

/// Every signal that can be caught, but SIGCHLD, which is never meant for COMMAND.
fn signals() -> impl Iterator<Item = i32> {
    let not_caught = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    (1..=libc::SIGRTMAX()).filter(move |signal| !not_caught.contains(signal))
}

/// `create -- signals`, as the leader of a process group of its own.
struct Counter(Peer);

impl Counter {
    fn start() -> Option<Counter> {
        let program = signal_counter()?;
        let mut command = create(&["-s", "4", "j", "--", program.to_str().unwrap()]);
        let mut peer = Peer::start(command.process_group(0));
        assert_eq!(peer.line(), "ready");
        Some(Counter(peer))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// The processes of shmtool's group by the name that they show: shmtool, the witness, and COMMAND.
    fn group(&self) -> BTreeMap<String, i32> {
        let own = self.pid().to_string();
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (name, rest) = stat.rsplit_once(") ")?;
            let name = name.split_once('(')?.1;
            (rest.split(' ').nth(2)? == own).then(|| (name.to_owned(), pid))
        });
        processes.collect()
    }

    /// What COMMAND has received, once all that was sent has had the time to arrive.
    fn count(&mut self) -> String {
        sleep(Duration::from_millis(30));
        self.0.ask("count")
    }
}

fn send(id: i32, signal: i32) {
    // SAFETY: the call takes no memory. nix knows no real-time signals.
    Errno::result(unsafe { libc::kill(id, signal) }).unwrap();
}

#[test]
fn every_signal_sent_to_shmtool_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in signals() {
            send(counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
        assert_eq!(there(), ["j"]);
    });
}

#[test]
fn every_signal_sent_to_the_process_group_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in signals().chain([libc::SIGTERM; 30]) {
            send(-counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
        // What the witness received is not held against the next signal to shmtool alone.
        send(counter.pid(), libc::SIGTERM);
        assert_eq!(counter.count(), "15:1");
    });
}

#[test]
fn a_signal_sent_to_one_process_after_the_other_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        let group = counter.group();
        assert_eq!(group.len(), 3, "{group:?}");
        // As systemd does with the processes of a service, in any order.
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]] {
            let pids: Vec<i32> = group.values().copied().collect();
            for index in order {
                send(pids[index], libc::SIGTERM);
                sleep(Duration::from_micros(300));
            }
            assert_eq!(counter.count(), "15:1", "{order:?}");
        }
    });
}

#[test]
fn the_helpers_are_not_found_by_the_program_s_name() {
    in_private_shm("size=4m", || {
        let Some(counter) = Counter::start() else {
            return;
        };
        // So that `killall shmtool` and `pkill -f shmtool` reach shmtool alone, and COMMAND through it.
        let children = format!("/proc/{0}/task/{0}/children", counter.pid());
        let children = fs::read_to_string(children).unwrap();
        let shown: Vec<_> = children
            .split_whitespace()
            .flat_map(|pid| ["comm", "cmdline"].map(|file| format!("/proc/{pid}/{file}")))
            .map(|path| String::from_utf8(fs::read(path).unwrap()).unwrap())
            .collect();
        assert_eq!(shown.len(), 6);
        let of_others = |text: &&String| !text.contains("signals");
        for text in shown.iter().filter(of_others) {
            assert!(
                text.starts_with("shm-") && !text.contains("shmtool"),
                "{shown:?}"
            );
        }
    });
}

#[test]
fn what_the_command_sends_to_its_parent_is_not_sent_back() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in [libc::SIGUSR1, libc::SIGTERM] {
            assert_eq!(counter.0.ask(&format!("parent {signal}")), "sent");
            assert_eq!(counter.count(), "-");
        }
    });
}

#[test]
fn a_command_with_a_process_group_of_its_own_receives_what_is_sent_to_ours() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        assert_eq!(counter.0.ask("leave"), "left");
        for signal in signals() {
            send(-counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
            send(counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
    });
}

#[test]
fn a_command_that_may_not_be_signaled_keeps_its_objects() {
    in_private_shm("size=4m,mode=1777", || {
        if !is_root() {
            return;
        }
        // Set-user-id root, as sudo and su are, started by somebody else.
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join("setpriv");
        fs::copy("/usr/bin/setpriv", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        let program = program.to_str().unwrap();
        let mut command = create(&["-s", "4", "j", "--", program, "--reuid=0", "sleep", "1"]);
        let child = spawn(as_nobody(&mut command));
        until(|| there() == ["j"]);
        sleep(Duration::from_millis(200));
        let shmtool = child.id() as i32;
        let command = || {
            let children = format!("/proc/{shmtool}/task/{shmtool}/children");
            fs::read_to_string(children).unwrap_or_default()
        };
        let before = command();
        send(shmtool, libc::SIGTERM);
        sleep(Duration::from_millis(200));
        assert_eq!((command(), there()), (before, vec!["j".to_owned()]));
        finish(child).prints("");
        assert_eq!(there(), [""; 0]);
    });
}

#[test]
fn if_waiting_fails_the_objects_stay_until_the_command_has_ended() {
    in_private_shm("size=4m", || {
        let options = ["-e", "inject=wait4:error=ENOMEM"];
        let script =
            "sleep 0.5; ls /dev/shm > /tmp/shmtool-test-there; mv /tmp/shmtool-test-there \"$0\"";
        let seen = tempfile::NamedTempFile::new().unwrap();
        let seen = seen.path().to_str().unwrap();
        let args = ["create", "-s", "4", "j", "--", "sh", "-c", script, seen];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        run(&mut strace)
            .fails(125)
            .says("cannot wait for COMMAND: Cannot allocate memory");
        until(|| fs::read_to_string(seen).unwrap() == "j\n");
        until(|| there().is_empty());
    });
}

#[test]
fn a_command_killed_before_it_starts_ends_shmtool_in_the_same_way() {
    in_private_shm("size=4m", || {
        let options = ["-e", "inject=linkat:delay_enter=400000"];
        let args = ["create", "-s", "4", "j", "--", "echo", "started"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        let strace = spawn(&mut strace);
        // The process that waits to become COMMAND is the only child that still has the program's name.
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
        until(|| waiting().is_some());
        sleep(Duration::from_millis(100));
        send(waiting().unwrap(), libc::SIGKILL);
        let ended = finish(strace);
        // strace ends as the program that it traces.
        assert_eq!(
            (ended.signal(), &ended.stdout[..]),
            (Some(libc::SIGKILL), &b""[..]),
            "{ended:?}"
        );
        assert_eq!(there(), [""; 0]);
    });
}

#[test]
fn there_is_no_second_core_dump() {
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
        let at = |call: &str| {
            calls
                .find(call)
                .unwrap_or_else(|| panic!("{call}: {calls}"))
        };
        // A kernel that pipes core dumps to a program does not look at RLIMIT_CORE.
        assert!(
            at("PR_SET_DUMPABLE, SUID_DUMP_DISABLE") < at("SIGSEGV"),
            "{calls}"
        );
    });
}

#[test]
fn as_pid_1_it_waits_for_orphans() {
    in_private_shm("size=4m", || {
        let script = "for i in 1 2 3; do (sleep 0.05 &); done; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ' Z '";
        let mut unshare = Command::new("unshare");
        unshare
            .args([
                "--pid",
                "--fork",
                "--mount-proc",
                env!("CARGO_BIN_EXE_shmtool"),
            ])
            .args(["create", "j", "--", "sh", "-c", script]);
        if !is_root() {
            return;
        }
        assert_eq!(run(&mut unshare).stdout, b"0\n");
        assert_eq!(there(), [""; 0]);
    });
}

#[test]
fn as_pid_1_it_ends_with_128_plus_the_signal() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let mut unshare = Command::new("unshare");
        unshare
            .args([
                "--pid",
                "--fork",
                "--mount-proc",
                env!("CARGO_BIN_EXE_shmtool"),
            ])
            .args(["create", "j", "--", "sh", "-c", "kill -TERM $$"]);
        run(&mut unshare).fails(128 + libc::SIGTERM);
    });
}

#[test]
fn a_signal_sent_to_it_alone_reaches_the_command_once() {
    in_private_shm("size=4m", || {
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
    });
}

#[test]
fn signals_are_for_the_command_as_they_were() {
    in_private_shm("size=4m", || {
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
    });
}
