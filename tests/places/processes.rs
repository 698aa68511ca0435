//! Processes that are about to end, or that cannot be seen.

use crate::common::*;
use crate::*;
use std::process::Command;

#[test]
fn a_process_that_has_ended_is_no_target() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("echo >/dev/shm/x\n");
        let target = container.target();
        drop(container);
        run(&mut shmtool(["ls", "--target", &target]))
            .fails(1)
            .says(format!("process {target}: no such process"));
    });
}

#[test]
fn a_zombie_is_neither_a_target_nor_a_place() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let mut unshare = Command::new("unshare");
        let mut zombie = unshare.args(["--mount", "true"]).spawn().unwrap();
        let pid = zombie.id();
        wait_until(|| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .unwrap()
                .contains(") Z ")
        });
        let (swept, ended) = sweep_all(&[]);
        assert_eq!(
            (swept, ended.stderr.as_str()),
            (vec![], "shmtool: removed nothing\n")
        );
        run(&mut shmtool(["ls", "--target", &pid.to_string()]))
            .fails(1)
            .says(format!("process {pid}: no such process"));
        zombie.wait().unwrap();
    });
}

#[test]
fn a_process_whose_first_thread_has_ended_is_found_by_its_other_threads() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let Some(c) = c_program() else { return };
        let script = [
            Container::TMPFS,
            "echo 0000 >/dev/shm/used; echo >/dev/shm/x; echo ready\n",
            "exec \"$program\" leaderless /used\n",
        ]
        .concat();
        let setup = Setup::new(&["--mount"]).env("program", c);
        let container = setup.start(&script).unwrap();
        let stat = format!("/proc/{}/stat", container.pid());
        wait_until(|| fs::read_to_string(&stat).unwrap().contains(") Z "));
        run(&mut shmtool(["ls", "-q", "--target", &container.target()])).prints("/used\n/x\n");
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", container.place())]);
    });
}

#[test]
fn processes_that_proc_hides_are_not_listed_and_no_error() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let mut remount = Command::new("mount");
        remount.args(["-o", "remount,hidepid=2", "/proc"]);
        if !remount.status().is_ok_and(|status| status.success()) {
            return skipped("no hidepid");
        }
        let hidden = Container::start("echo >/dev/shm/x\n");
        let script = [Container::TMPFS, "echo >/dev/shm/y\n"].concat();
        let Some(theirs) = Container::start_rootless(NOBODY, &script) else {
            return;
        };
        let ls = ["ls", "--everywhere", "--no-header", "-o", "name,place"];
        let listed = run(as_nobody(&mut shmtool(ls)));
        assert_eq!(listed.stderr, "");
        assert_eq!(lines(&listed), [format!("/y  {}", theirs.place())]);
        let mut ls = shmtool(["ls", "--target", &hidden.target()]);
        run(as_nobody(&mut ls))
            .fails(1)
            .says(format!("process {}: no such process", hidden.pid()));
        // Root sees all of them.
        assert_eq!(rows("name", &[]), ["/x", "/y"]);
    });
}

#[test]
fn containers_that_come_and_go_are_no_error() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "while true; do unshare --mount true; unshare --user --mount true; done";
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", script]).spawn().unwrap();
        let stays = Container::start("echo >/dev/shm/x\n");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(700) {
            let listed = run(&mut shmtool([
                "ls",
                "--everywhere",
                "--no-header",
                "-o",
                "place",
            ]));
            assert!(listed.status.success(), "{listed:?}");
            assert_eq!(lines(&listed), [stays.place()]);
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
    });
}
