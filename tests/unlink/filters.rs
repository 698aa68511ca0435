//! Which objects the filters select, in sweeps and among NAMEs.

use crate::common::*;
use crate::*;
use nix::mount::{MsFlags, mount};
use std::os::unix::fs::{PermissionsExt, chown};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn filters_select_the_same_objects_in_ls_and_unlink() {
    in_private_shm("size=4m", || {
        create(&["job-1", "job-2", "jobber", "task-1", "kept", "sem.job-3"]);
        let _kept = open("kept");
        let _used = open("job-2");
        if is_root() {
            chown("/dev/shm/job-1", Some(65534), None).unwrap();
        }
        sleep(Duration::from_millis(1100));
        create(&["new-1"]);
        let me = nix::unistd::geteuid().to_string();
        for filters in [
            &["--glob", "job-*"][..],
            &["--glob", "/job-?", "-g", "task*"],
            &["-g", "[a-j]*"],
            &["-a", "-g", "sem*"],
            &["-g", "!job*"],
            &["-g", "*-1", "-g", "!new*"],
            &["--owner", &me],
            &["--owner", "nobody"],
            &["--older-than", "1s"],
            &["--older-than", "1h"],
            &["--older-than", "0", "--glob", "n*"],
            &["--larger-than", "0"],
            &["--larger-than", "4K"],
            &["--unused"],
            &[
                "--unused",
                "--owner",
                &me,
                "--older-than",
                "500ms",
                "--glob",
                "*b*",
            ],
        ] {
            let listed = run(shmtool(["ls", "-q", "--unused"]).args(filters)).stdout;
            let listed: Vec<_> = str::from_utf8(&listed).unwrap().lines().collect();
            let dry_run = run(shmtool(["unlink", "-n"]).args(filters));
            assert_eq!(listed, printed_names(&dry_run), "{filters:?}");
        }
        let removed =
            |filters: &[&str]| printed_names(&unlink(&[&["-v"], filters].concat())).join(" ");
        assert_eq!(removed(&["--older-than", "1h"]), "");
        assert_eq!(removed(&["--older-than", "1s", "--glob", "new*"]), "");
        assert_eq!(removed(&["--glob", "job-*"]), "/job-1");
        assert_eq!(removed(&["--older-than", "1s"]), "/jobber /task-1");
        assert_eq!(removed(&["--unused", "-a"]), "/new-1 /sem.job-3");
        assert_eq!(remaining(), ["job-2", "kept"]);
    });
}

#[test]
fn invalid_filters_are_rejected_and_nothing_is_removed() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        unlink(&["--owner", "no-such-user-here"])
            .fails(2)
            .says("no-such-user-here: no such user");
        unlink(&["--older-than", "soon"]).fails(2);
        unlink(&["--older-than", "-1h"]).fails(2);
        unlink(&["--glob", "[x"]).fails(2);
        unlink(&["--glob", ""]).prints("");
        assert_eq!(remaining(), ["x"]);
    });
}

#[test]
fn every_kind_of_change_resets_the_age() {
    in_private_shm("size=4m", || {
        create(&["written", "chmodded", "linked", "unchanged"]);
        let future = std::time::SystemTime::now() + Duration::from_secs(3600);
        create(&["modified-tomorrow"]);
        sleep(Duration::from_millis(1100));
        run(&mut shmtool(["write-int", "written", "7"])).prints("");
        fs::set_permissions("/dev/shm/chmodded", fs::Permissions::from_mode(0o640)).unwrap();
        fs::hard_link("/dev/shm/linked", "/dev/shm/second").unwrap();
        File::options()
            .write(true)
            .open("/dev/shm/modified-tomorrow")
            .unwrap()
            .set_modified(future)
            .unwrap();
        unlink(&["--older-than", "1s"]).prints("");
        assert_eq!(
            remaining(),
            [
                "chmodded",
                "linked",
                "modified-tomorrow",
                "second",
                "written"
            ]
        );
    });
}

#[test]
fn a_kept_name_gives_status_5() {
    in_private_shm("size=4m", || {
        create(&["a", "b", "c", "d"]);
        let _used = open("a");
        unlink(&["--unused", "a", "b"])
            .fails(5)
            .says("/a: kept: in use");
        unlink(&["--older-than", "1h", "c"])
            .fails(5)
            .says("/c: kept: modified less than 1h ago");
        unlink(&["--owner", "4000000000", "c"])
            .fails(5)
            .says("/c: kept: owned by another user");
        unlink(&["--glob", "x*", "c"])
            .fails(5)
            .says("/c: kept: its name does not match");
        unlink(&["--unused", "missing"])
            .fails(3)
            .says("/missing: no such object");
        unlink(&["--unused", "-f", "missing"]).prints("");
        assert_eq!(remaining(), ["a", "c", "d"]);
        assert_eq!(printed_names(&unlink(&["-n", "--unused", "c"])), ["/c"]);
        assert_eq!(printed_names(&unlink(&["-n", "c", "a"])), ["/c", "/a"]);
        assert_eq!(remaining(), ["a", "c", "d"]);
        assert_eq!(
            printed_names(&unlink(&["-v", "--glob", "[ac]", "d", "c"])),
            ["/c"]
        );
        assert_eq!(remaining(), ["a", "d"]);
    });
}

#[test]
fn larger_than_compares_allocated_memory_and_excludes_equal() {
    in_private_shm("size=4m", || {
        run(&mut shmtool(["create", "-s", "64K", "full"])).prints("");
        run(&mut shmtool(["create", "-s", "1M", "--sparse", "sparse"])).prints("");
        for (size, passes) in [
            ("0", &["/full"][..]),
            ("65535", &["/full"]),
            ("64K", &[]),
            ("1T", &[]),
        ] {
            let listed = run(&mut shmtool(["ls", "-q", "--larger-than", size])).stdout;
            let listed = str::from_utf8(&listed).unwrap().lines();
            assert_eq!(listed.collect::<Vec<_>>(), passes, "{size}");
            assert_eq!(
                printed_names(&unlink(&["-n", "--larger-than", size])),
                passes
            );
        }
        unlink(&["--larger-than", "64K", "full"])
            .fails(5)
            .says("/full: kept: not larger than 64KiB");
        unlink(&["--larger-than", "-1"]).fails(2);
        unlink(&["--larger-than", "0"]).prints("");
        assert_eq!(remaining(), ["sparse"]);
    });
}

#[test]
fn in_use_is_the_opposite_of_unused() {
    in_private_shm("size=4m", || {
        create(&["open", "mapped", "free"]);
        let _open = open("open");
        let _mapping = map(&open("mapped"), Access::Read);
        run(&mut shmtool(["ls", "-q", "--unused"])).prints("/free\n");
        run(&mut shmtool(["ls", "-q", "--in-use"])).prints("/mapped\n/open\n");
        run(&mut shmtool(["ls", "-q", "--in-use", "-g", "o*"])).prints("/open\n");
        run(&mut shmtool(["ls", "-q", "--in-use", "open"])).prints("/open\n");
        run(&mut shmtool(["ls", "-q", "--in-use", "free"])).fails(5);
        run(&mut shmtool(["ls", "--in-use", "--unused"])).fails(2);
        run(&mut shmtool(["ls", "--in-use", "--unlinked"])).fails(2);
        // A sweep that removes only what is in use makes no sense.
        unlink(&["--in-use"]).fails(2);
        // An object is listed, with a message, if the kernel does not tell whether it is in use.
        let inject = "inject=fcntl:error=EINVAL:when=4+";
        let args = ["ls", "-q", "--in-use", "free"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        let listed = run(&mut strace);
        assert_eq!(
            (listed.status.code(), &listed.stdout[..]),
            (Some(0), &b"/free\n"[..])
        );
        assert_eq!(
            listed.stderr,
            "shmtool: 1 object listed: cannot tell whether it is in use (invalid argument)\n"
        );
    });
}

#[test]
fn pid_selects_objects_that_the_process_has_open_or_mapped() {
    in_private_shm("size=4m", || {
        let Some(c) = c_program() else { return };
        create(&["open", "mapped", "mine", "free"]);
        let _mine = open("mine");
        let mut reader = Command::new("sleep");
        let reader = Peer::start(reader.arg("1000").stderr(open("open")));
        let holder = Peer::start(Command::new(c).args(["hold", "/mapped"]));
        let (sleeping, holding) = (reader.id().to_string(), holder.id().to_string());
        let listed = || run(&mut shmtool(["ls", "-q", "--pid", &holding])).stdout;
        // The holder does not report when it has mapped the object.
        let start = std::time::Instant::now();
        while listed().is_empty() {
            assert!(start.elapsed() < HANG);
        }
        run(&mut shmtool(["ls", "-q", "--pid", &holding])).prints("/mapped\n");
        run(&mut shmtool(["ls", "-q", "--pid", &sleeping])).prints("/open\n");
        run(&mut shmtool(["ls", "-q", "--pid", &sleeping, "mapped"])).fails(5);
        unlink(&["--pid", &sleeping]).fails(2).says(
            "--pid selects objects that are in use, and those are kept\n\
                 hint: add --include-in-use to remove them",
        );
        let include = ["--include-in-use", "--pid", &sleeping];
        unlink(&[&include[..], &["mapped"]].concat())
            .fails(5)
            .says(format!("/mapped: kept: not used by process {sleeping}"));
        unlink(&include).prints("");
        assert_eq!(remaining(), ["free", "mapped", "mine"]);
        let unlinked = |pid| run(&mut shmtool(["ls", "-q", "--unlinked", "--pid", pid])).stdout;
        assert_eq!(unlinked(&sleeping), b"/open\n");
        assert_eq!(unlinked(&holding), b"");
    });
}

#[test]
fn a_process_that_cannot_be_inspected_is_an_error_and_nothing_is_removed() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        let no_process = "2147483647";
        for args in [
            &["ls", "--pid", no_process][..],
            &["unlink", "--include-in-use", "--pid", no_process],
            &["unlink", "--include-in-use", "--pid", no_process, "x"],
        ] {
            run(&mut shmtool(args))
                .fails(1)
                .says(format!("process {no_process}: no such process"));
        }
        for text in ["", "0", "-1", "x"] {
            run(&mut shmtool(["ls", "--pid", text]))
                .fails(2)
                .says(format!(
                    "{}: not a process id",
                    if text.is_empty() { "''" } else { text }
                ));
        }
        if is_root() {
            let own = std::process::id().to_string();
            let refused = run(as_nobody(&mut shmtool(["ls", "--pid", &own])));
            // On a machine whose /proc hides processes, the message goes on.
            let message = format!("shmtool: process {own}: may not be inspected");
            assert!(refused.fails(1).stderr.starts_with(&message), "{refused:?}");
        }
        // An empty /proc hides the process, as hidepid=invisible does.
        let (own, none) = (std::process::id().to_string(), None::<&str>);
        if mount(none, "/proc", Some("tmpfs"), MsFlags::empty(), none).is_err() {
            return skipped("nothing can be mounted");
        }
        run(&mut shmtool(["ls", "--pid", &own]))
            .fails(1)
            .says(format!(
                "process {own}: may not be inspected: /proc does not show it"
            ));
        run(&mut shmtool(["ls", "--pid", no_process]))
            .fails(1)
            .says(format!("process {no_process}: no such process"));
        assert_eq!(remaining(), ["x"]);
    });
}

#[test]
fn a_filter_that_is_given_twice_must_match_twice() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/a", [1; 8192]).unwrap();
        for twice in [
            ["--older-than", "4h", "--older-than", "0s"],
            ["--older-than", "0s", "--older-than", "4h"],
            ["--larger-than", "1M", "--larger-than", "1K"],
            ["--larger-than", "1K", "--larger-than", "1M"],
            ["--owner", "4000000000", "--owner", "root"],
        ] {
            unlink(&twice).prints("");
            run(shmtool(["ls", "-q"]).args(twice)).prints("");
        }
        unlink(&["--older-than", "0s", "--older-than", "0s"]).prints("");
        assert!(!fs::exists("/dev/shm/a").unwrap());
    });
}
