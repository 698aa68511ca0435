//! `create --target PID NAME -- COMMAND`: COMMAND runs here, while the objects are in the container.

use crate::common::*;
use crate::*;
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use std::process::Command;

/// Returns a command that creates an object in the container while a script runs here.
fn create_while(container: &Container, script: &str) -> Command {
    let mut create = shmtool(["create", "--target", &container.target(), "-s", "4K"]);
    create.args(["--exist-ok", "a", "b", "--", "sh", "-c", script]);
    create.env("directory", container.path(""));
    create
}

/// The containers in which everything must work in the same way.
fn containers() -> impl Iterator<Item = Container> {
    let mapped = Container::start_mapped("0 100000 1000", "");
    [Some(Container::start("")), mapped].into_iter().flatten()
}

/// The IDs of the processes with this name.
fn processes(name: &str) -> Vec<Pid> {
    let pids = names("/proc");
    let pids = pids.iter().filter_map(|pid| pid.parse::<i32>().ok());
    let is_named = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.contains(&format!("({name})")) && !stat.contains(") Z"))
    };
    pids.filter(is_named).map(Pid::from_raw).collect()
}

#[test]
fn the_command_runs_here_while_the_objects_are_in_the_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for container in containers() {
            let script = "ls $directory; ls /dev/shm; exit 7";
            let ended = run(&mut create_while(&container, script));
            assert_eq!(
                (ended.status.code(), &ended.stdout[..], &ended.stderr[..]),
                (Some(7), &b"a\nb\n"[..], "")
            );
            assert_eq!(container.names(), [""; 0]);
            // shmtool waits for its helper only for a moment.
            wait_until(|| processes("shm-place").is_empty());
            let ended = run(&mut create_while(&container, "kill -TERM $$"));
            assert_eq!((ended.signal(), container.names()), (Some(15), vec![]));
        }
    });
}

#[test]
fn the_command_has_the_rights_and_descriptors_that_it_would_have_on_its_own() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for container in containers() {
            let script = "id; grep -E '^(Groups|Cap|NoNewPrivs|SigBlk|SigIgn)' /proc/self/status; \
                          readlink /proc/self/ns/user /proc/self/ns/mnt; ls /proc/self/fd; \
                          cat /proc/self/oom_score_adj; ulimit -n";
            let own = |command: &mut Command| {
                let mut setpriv = Command::new("setpriv");
                setpriv.args(["--groups", "0,4,65534"]);
                setpriv.arg(command.get_program()).args(command.get_args());
                run(setpriv.stdin(std::process::Stdio::null()))
            };
            let alone = own(Command::new("sh").args(["-c", script]));
            assert!(alone.status.success());
            let ended = own(&mut create_while(&container, script));
            ended.prints(&alone.stdout);
        }
    });
}

#[test]
fn objects_that_existed_before_stay() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for container in containers() {
            let target = ["--target", &container.target()];
            run(shmtool(["create", "-s", "4K", "a"]).args(target)).prints("");
            run(&mut create_while(&container, "ls $directory")).prints("a\nb\n");
            assert_eq!(container.names(), ["a"]);
            // COMMAND does not run if an object cannot be created, and the others are removed.
            let names = ["c", "a", "--", "echo", "ran"];
            let failed = run(shmtool(["create"]).args(target).args(names));
            failed
                .fails(125)
                .says("/a: already exists\nhint: --replace replaces what an earlier run left");
            assert_eq!(container.names(), ["a"]);
            let missing = ["c", "--", "no-such-command"];
            run(shmtool(["create"]).args(target).args(missing)).fails(127);
            assert_eq!(container.names(), ["a"]);
        }
    });
}

#[test]
fn the_objects_are_removed_after_the_command_whoever_is_killed() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for container in containers() {
            for (kills_shmtool, kills_helper) in [(true, false), (false, true), (true, true)] {
                let mut create = create_while(&container, "echo $$; exec sleep 1000");
                let mut create = Peer::start(&mut create);
                let command = Pid::from_raw(create.line().parse().unwrap());
                let helpers = processes("shm-place");
                assert_eq!(helpers.len(), 1);
                if kills_shmtool {
                    kill(Pid::from_raw(create.id() as i32), SIGKILL).unwrap();
                }
                if kills_helper {
                    kill(helpers[0], SIGKILL).unwrap();
                    wait_until(|| processes("shm-place").is_empty());
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                // COMMAND still uses them, and a sweep keeps them.
                assert!(processes("sleep").contains(&command));
                let (swept, _) = sweep_all(&[]);
                assert_eq!(
                    (swept, container.names()),
                    (vec![], vec!["a".into(), "b".into()])
                );
                kill(command, SIGKILL).unwrap();
                wait_until(|| container.names().is_empty());
                wait_until(|| {
                    processes("shm-place").is_empty() && processes("shm-guard").is_empty()
                });
            }
        }
    });
}

#[test]
fn nothing_in_the_container_can_inspect_the_helper() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let Some(container) = Container::start_mapped("0 100000 1000", "") else {
            return;
        };
        let mut create = create_while(&container, "echo; exec sleep 1000");
        let mut create = Peer::start(&mut create);
        create.line();
        for name in ["shm-place", "shm-guard"] {
            for helper in processes(name) {
                let mut spy = Command::new("nsenter");
                spy.args(["-U", "-t", &container.target(), "ls", "-l"]);
                spy.arg(format!("/proc/{helper}/fd/"));
                let spy = spy.output().unwrap();
                assert!(!spy.status.success() && spy.stdout.is_empty(), "{spy:?}");
            }
        }
    });
}
