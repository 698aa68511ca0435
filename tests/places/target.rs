//! What `--target` accepts, and what it says about what it does not accept.

use crate::common::*;
use crate::*;
use nix::mount::umount;

fn ls(target: &str) -> Ended {
    run(&mut shmtool(["ls", "-q", "--target", target]))
}

#[test]
fn a_target_that_sees_our_own_directory_makes_no_difference() {
    in_private_system(SHM, || {
        create("/dev/shm/ours", 0o600, nix::unistd::geteuid().as_raw());
        for target in ["1", "pid:1", "-"] {
            ls(target).prints("/ours\n");
        }
        run(&mut shmtool(["unlink", "--target", "1", "ours"])).prints("");
        assert_eq!(names("/dev/shm"), [""; 0]);
    });
}

#[test]
fn a_target_can_be_a_pid_or_a_place() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("echo >/dev/shm/theirs\n");
        for target in [container.target(), container.place()] {
            ls(&target).prints("/theirs\n");
        }
    });
}

#[test]
fn a_process_that_does_not_exist_is_no_target() {
    in_private_system(SHM, || {
        for verb in [
            &["ls"][..],
            &["unlink", "x"],
            &["create", "x"],
            &["write-int", "x", "1"],
            &["read-int", "x"],
            &["cat", "--shm", "x"],
        ] {
            run(shmtool(verb).args(["--target", "4000000"]))
                .fails(1)
                .says("process 4000000: no such process");
        }
        run(&mut shmtool([
            "create",
            "--target=4000000",
            "x",
            "--",
            "true",
        ]))
        .fails(125)
        .says("process 4000000: no such process");
        for target in ["0", "-1", ""] {
            ls(target).fails(2);
        }
        assert_eq!(names("/dev/shm"), [""; 0]);
    });
}

#[test]
fn a_place_that_does_not_exist_is_no_target() {
    in_private_system(SHM, || {
        ls("nowhere").fails(1).says(
            "nowhere: no such PLACE\n\
             hint: shmtool ls --everywhere shows each PLACE; a process ID works too",
        );
    });
}

#[test]
fn options_for_other_kinds_of_memory_exclude_a_target() {
    for args in [
        &["ls", "--everywhere"][..],
        &["ls", "--unlinked"],
        &["ls", "--nameless"],
        &["ls", "--summary"],
        &["unlink", "--everywhere", "--unused"],
        &["read-int", "--file", "/tmp/x"],
        &["write-int", "--file", "/tmp/x", "1"],
        &["create", "--anonymous", "x", "-s1", "--", "true"],
    ] {
        let position = args.len().min(1);
        let mut command = shmtool(&args[..position]);
        command.arg("--target=1").args(&args[position..]);
        run(&mut command).fails(2);
    }
}

#[test]
fn a_container_without_a_usable_directory_is_refused_with_a_reason() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for (script, reason) in [
            ("make_root\n", "it has no /dev/shm"),
            (
                "make_root; mkdir $root/dev/shm\n",
                "its /dev/shm is not a mount point",
            ),
            (
                "mount -t proc proc /dev/shm\n",
                "its /dev/shm is not a tmpfs",
            ),
            (
                "mount --bind /usr /dev/shm\n",
                "its /dev/shm is not a tmpfs",
            ),
        ] {
            let container = Setup::new(&["--mount"]).start(script).unwrap();
            let pid = container.pid();
            ls(&container.target())
                .fails(1)
                .says(format!("process {pid}: {reason}"));
            let listed = run(&mut shmtool([
                "ls",
                "--everywhere",
                "-o",
                "name",
                "--no-header",
            ]));
            assert!(listed.status.success() && listed.stdout.is_empty());
            // What has no /dev/shm has no objects.
            let expected = match reason.starts_with("it has no") {
                true => String::new(),
                false => format!("shmtool: pid:{pid}: skipped: {reason}\n"),
            };
            assert_eq!(listed.stderr, expected);
        }
    });
}

#[test]
fn a_read_only_directory_is_listed_and_says_why_it_cannot_be_changed() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "echo text >/dev/shm/x; mount -o remount,bind,ro /dev/shm\n";
        let containers = [
            Some(Container::start(script)),
            Container::start_mapped("0 100000 1", script),
        ];
        for container in containers.into_iter().flatten() {
            ls(&container.target()).prints("/x\n");
            for verb in [
                &["create", "y"][..],
                &["write-int", "y", "1"],
                &["write-int", "x", "1"],
                &["unlink", "x"],
                &["unlink", "-n", "x"],
                &["unlink", "--unused"],
            ] {
                let ended = run(shmtool(verb).args(["--target", &container.target()]));
                assert_eq!(ended.status.code(), Some(1), "{verb:?} {ended:?}");
                assert!(
                    ended
                        .stderr
                        .to_lowercase()
                        .contains("read-only file system"),
                    "{verb:?} {ended:?}"
                );
            }
            assert_eq!(container.names(), ["x"]);
        }
    });
}

#[test]
fn a_target_does_not_need_a_directory_here() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("echo text >/dev/shm/x\n");
        let empty = MsFlags::MS_NOSUID;
        mount(Some("proc"), "/dev/shm", Some("proc"), empty, None::<&str>).unwrap();
        ls(&container.target()).prints("/x\n");
        umount("/dev/shm").unwrap();
    });
}

#[test]
fn waiting_in_a_container_ends_with_the_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("");
        let pid = container.pid();
        let mut waiting = shmtool(["read-int", "--until", "1", "x"]);
        let waiting = spawn(waiting.args(["--target", &container.target()]));
        sleep(Duration::from_millis(300));
        drop(container);
        let ended = finish(waiting);
        let ended = &ended.fails(1).stderr;
        assert!(
            ended.contains("the process whose /dev/shm it is has ended: no such object"),
            "{ended} {pid}"
        );
    });
}

#[test]
fn an_operand_of_a_message_is_escaped() {
    in_private_system(SHM, || {
        let ended = ls("\u{1b}[31m");
        let ended = &ended.fails(1).stderr;
        assert!(
            ended.starts_with(r"shmtool: \u{1b}[31m: no such PLACE"),
            "{ended}"
        );
    });
}
