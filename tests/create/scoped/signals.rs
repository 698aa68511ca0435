//! Which signals COMMAND receives. `signals.c` counts them.

use super::*;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

/// Every signal that can be caught, except SIGCHLD, which is never forwarded to COMMAND.
fn forwarded_signals() -> impl Iterator<Item = i32> {
    let excluded = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    (1..=libc::SIGRTMAX()).filter(move |signal| !excluded.contains(signal))
}

/// `create -- signals`, in a new process group.
pub struct Counter(pub Peer);

impl Counter {
    pub fn start() -> Option<Counter> {
        let program = signal_counter()?;
        // A replacement blocks signals for a moment, and must not leave any in another state.
        let program = program.to_str().unwrap();
        let mut command = create(&["--replace", "-s", "4", "j", "--", program]);
        let mut peer = Peer::start(command.process_group(0));
        assert_eq!(peer.line(), "ready");
        Some(Counter(peer))
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// The processes in the process group of shmtool, by name: shmtool, the witness, and COMMAND.
    pub fn group_members(&self) -> BTreeMap<String, i32> {
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

    /// The signals that COMMAND has received, as `15:1`: waits until there is one, and then for more copies of it.
    pub fn count(&mut self) -> String {
        let start = Instant::now();
        let mut first = self.0.ask("count");
        while first == "-" && start.elapsed() < HANG {
            sleep(Duration::from_millis(2));
            first = self.0.ask("count");
        }
        match self.count_late() {
            late if late == "-" => first,
            late => format!("{first} and later {late}"),
        }
    }

    /// The signals that COMMAND receives within the time that a signal takes at most to arrive twice.
    fn count_late(&mut self) -> String {
        sleep(Duration::from_millis(20));
        self.0.ask("count")
    }
}

pub fn send(id: i32, signal: i32) {
    // SAFETY: kill(2) accesses no memory. libc is used because nix does not know real-time signals.
    Errno::result(unsafe { libc::kill(id, signal) }).unwrap();
}

#[test]
fn every_signal_sent_to_shmtool_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in forwarded_signals() {
            send(counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
        assert_eq!(object_names(), ["j"]);
    });
}

#[test]
fn every_signal_sent_to_the_process_group_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in forwarded_signals().chain([libc::SIGTERM; 30]) {
            send(-counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
        // The signals that the witness received do not suppress the next one, which is sent to shmtool alone.
        send(counter.pid(), libc::SIGTERM);
        assert_eq!(counter.count(), "15:1");
    });
}

#[test]
fn a_signal_sent_to_the_processes_one_by_one_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        let group = counter.group_members();
        assert_eq!(group.len(), 3, "{group:?}");
        // systemd signals the processes of a service like this, in any order.
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
fn helper_processes_do_not_have_the_name_of_shmtool() {
    in_private_shm("size=4m", || {
        let Some(counter) = Counter::start() else {
            return;
        };
        // Thus `killall shmtool` and `pkill -f shmtool` signal only shmtool, which forwards the signal to COMMAND.
        let children = format!("/proc/{0}/task/{0}/children", counter.pid());
        let children = fs::read_to_string(children).unwrap();
        let shown = || -> Vec<_> {
            let pids = children.split_whitespace();
            pids.flat_map(|pid| ["comm", "cmdline"].map(|file| format!("/proc/{pid}/{file}")))
                .map(|path| String::from_utf8(fs::read(path).unwrap()).unwrap())
                .collect()
        };
        let is_well_named = |text: &String| {
            text.contains("signals") || text.starts_with("shm-") && !text.contains("shmtool")
        };
        // On a busy machine, a helper may not have begun to run yet.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !shown().iter().all(is_well_named) && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
        let shown = shown();
        assert_eq!(shown.len(), 6);
        assert!(shown.iter().all(is_well_named), "{shown:?}");
    });
}

#[test]
fn a_signal_from_the_command_is_not_sent_back() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for signal in [libc::SIGUSR1, libc::SIGTERM] {
            assert_eq!(counter.0.ask(&format!("parent {signal}")), "sent");
            assert_eq!(counter.count_late(), "-");
        }
    });
}

#[test]
fn a_command_in_its_own_process_group_receives_signals_sent_to_shmtool_s_group() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        assert_eq!(counter.0.ask("leave"), "left");
        for signal in forwarded_signals() {
            send(-counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
            send(counter.pid(), signal);
            assert_eq!(counter.count(), format!("{signal}:1"));
        }
    });
}

#[test]
fn the_objects_stay_if_the_command_may_not_be_signaled() {
    in_private_shm("size=4m,mode=1777", || {
        if !is_root() {
            return;
        }
        // A set-user-ID root program like sudo or su, started by another user.
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join("setpriv");
        fs::copy("/usr/bin/setpriv", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        let program = program.to_str().unwrap();
        let mut command = create(&["-s", "4", "j", "--", program, "--reuid=0", "sleep", "1"]);
        let child = spawn(as_nobody(&mut command));
        wait_until(|| object_names() == ["j"]);
        sleep(Duration::from_millis(200));
        let shmtool = child.id() as i32;
        let children = || {
            let path = format!("/proc/{shmtool}/task/{shmtool}/children");
            fs::read_to_string(path).unwrap_or_default()
        };
        let before = children();
        send(shmtool, libc::SIGTERM);
        sleep(Duration::from_millis(200));
        assert_eq!((children(), object_names()), (before, vec!["j".to_owned()]));
        finish(child).prints("");
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn terminating_signals_reach_the_command_once_and_end_shmtool() {
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
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            finish(child).prints(format!("{name}\n"));
            fs::remove_file("/dev/shm/ready").unwrap();
            assert_eq!(object_names(), [""; 0]);

            let child = spawn(&mut create(&["j", "--", "sleep", "1000"]));
            wait_until(|| object_names() == ["j"]);
            sleep(Duration::from_millis(50));
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            assert_eq!(finish(child).signal(), Some(signal as i32));
            assert_eq!(object_names(), [""; 0]);
        }
    });
}

#[test]
fn the_command_inherits_blocked_and_ignored_signals_unchanged() {
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

#[test]
fn a_value_that_comes_with_a_signal_is_passed_on() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        let value = libc::sigval {
            sival_ptr: std::ptr::without_provenance_mut(4711),
        };
        // SAFETY: the value is not used as an address.
        Errno::result(unsafe { libc::sigqueue(counter.pid(), 40, value) }).unwrap();
        assert_eq!(counter.count(), "40:1=4711");
    });
}

#[test]
fn a_timer_that_shmtool_inherits_reaches_a_command_in_its_own_session() {
    in_private_shm("size=4m", || {
        let mut command = create(&["-s", "4", "j", "--", "setsid", "sleep", "1000"]);
        let set_timer = || {
            let time = libc::timeval {
                tv_sec: 0,
                tv_usec: 300_000,
            };
            let timer = libc::itimerval {
                it_interval: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 0,
                },
                it_value: time,
            };
            let old = std::ptr::null_mut();
            // SAFETY: both structures are memory of our own.
            Errno::result(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, old) })?;
            Ok(())
        };
        // SAFETY: only a system call is made between fork and exec.
        unsafe { command.pre_exec(set_timer) };
        assert_eq!(finish(spawn(&mut command)).signal(), Some(libc::SIGALRM));
        assert!(object_names().is_empty());
    });
}
