//! Whose objects a sweep can judge and remove.

use crate::common::*;
use crate::*;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

#[test]
fn objects_of_other_users_are_kept() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        create(&["closed", "readable"]);
        fs::set_permissions("/dev/shm/closed", fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions("/dev/shm/readable", fs::Permissions::from_mode(0o666)).unwrap();
        run(as_nobody(&mut shmtool(["create", "own"]))).prints("");
        let swept = run(as_nobody(&mut shmtool(["unlink", "-v", "--glob", "*"])));
        assert_eq!(
            (swept.status.code(), printed_names(&swept)),
            (Some(0), vec!["/own"])
        );
        assert_eq!(
            swept.stderr,
            "shmtool: removed 1 object and freed 0B\nshmtool: 2 kept: owned by other users\n"
        );
        run(as_nobody(&mut shmtool(["unlink", "--glob", "*"]))).prints("");
        let all = ["unlink", "--include-in-use", "--glob", "*"];
        let dry = run(as_nobody(shmtool(all).arg("-n")));
        assert_eq!(
            dry.stderr,
            "shmtool: would remove nothing\nshmtool: 2 kept: owned by other users\n"
        );
        run(as_nobody(&mut shmtool(all))).prints("");
        let named = ["unlink", "--glob", "*", "closed"];
        run(as_nobody(&mut shmtool(named)))
            .fails(5)
            .says("/closed: kept: owned by another user");
        run(as_nobody(shmtool(named).arg("--include-in-use")))
            .fails(1)
            .says("/closed: only its owner and root may remove or replace it");
        assert_eq!(remaining(), ["closed", "readable"]);
    });
}

#[test]
fn root_without_cap_lease_takes_the_lease_as_the_owner() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        create(&["a-free", "b-own", "used"]);
        for name in ["a-free", "used"] {
            chown(format!("/dev/shm/{name}"), Some(65534), Some(65534)).unwrap();
        }
        fs::set_permissions("/dev/shm/b-own", fs::Permissions::from_mode(0o600)).unwrap();
        let _used = open("used");
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--bounding-set", "-lease", "--inh-caps", "-lease"]);
        setpriv.arg(env!("CARGO_BIN_EXE_shmtool"));
        // The order matters: after acting as the owner of a-free, shmtool needs the rights of root again for b-own.
        setpriv
            .args(["unlink", "-v", "--unused"])
            .stdin(Stdio::null());
        if setpriv.output().is_ok_and(|output| output.status.success()) {
            assert_eq!(remaining(), ["used"]);
        }
    });
}

#[test]
fn an_object_of_mode_0000_is_kept_by_a_sweep_and_removed_by_name() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/closed", "").unwrap();
        fs::set_permissions("/dev/shm/closed", fs::Permissions::from_mode(0o000)).unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown("/dev/shm/closed", Some(65534), None).unwrap();
            let swept = run(as_nobody(&mut shmtool(["unlink", "--unused"])));
            assert_eq!(
                swept.stderr,
                "shmtool: 1 object kept: cannot tell whether it is in use (permission denied)\n"
            );
            assert!(swept.status.success() && fs::exists("/dev/shm/closed").unwrap());
            run(as_nobody(&mut shmtool(["unlink", "closed"]))).prints("");
        } else {
            run(&mut shmtool(["unlink", "closed"])).prints("");
        }
        assert!(!fs::exists("/dev/shm/closed").unwrap());
    });
}

#[test]
fn the_owner_can_sweep_a_write_only_object() {
    in_private_shm("size=4m", || {
        create(&["free", "used"]);
        let _used = open("used");
        for name in ["free", "used"] {
            let path = format!("/dev/shm/{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o200)).unwrap();
            if nix::unistd::geteuid().is_root() {
                chown(&path, Some(65534), Some(65534)).unwrap();
            }
        }
        let mut sweep = shmtool(["unlink", "-v", "--unused"]);
        if nix::unistd::geteuid().is_root() {
            as_nobody(&mut sweep);
        }
        let swept = run(&mut sweep);
        assert_eq!(
            (printed_names(&swept), swept.stderr.as_str()),
            (
                vec!["/free"],
                "shmtool: removed 1 object and freed 4KiB\nshmtool: 1 kept: in use\n"
            )
        );
        assert_eq!(remaining(), ["used"]);
    });
}

/// Root of a user namespace has no privilege over files whose group is not mapped into the namespace.
#[test]
fn root_of_a_user_namespace_sweeps_as_the_owner() {
    in_private_shm("size=4m,mode=1777", || {
        if !is_root() {
            return;
        }
        create(&["closed", "of-others", "used", "write-only"]);
        for (name, mode, uid) in [
            ("closed", 0o600, 1000),
            ("of-others", 0o600, 1001),
            ("used", 0o600, 1000),
            ("write-only", 0o200, 1000),
        ] {
            let path = format!("/dev/shm/{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(uid), Some(1000)).unwrap();
        }
        let _used = open("used");
        // The shell waits until ids are mapped into its namespace: those of root and of the owner of three objects.
        let mut sweep = Command::new("sh");
        let script = "read line; exec \"$0\" unlink -v --unused";
        sweep.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
        sweep
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: unshare is one system call.
        unsafe { sweep.pre_exec(|| Ok(unshare(CloneFlags::CLONE_NEWUSER)?)) };
        let Ok(mut sweep) = sweep.spawn() else {
            return skipped("no user namespaces");
        };
        let map = |file: &str, ids: &str| {
            fs::write(format!("/proc/{}/{file}", sweep.id()), ids).unwrap();
        };
        map("uid_map", "0 0 1\n1000 1000 1\n");
        map("gid_map", "0 0 1\n");
        sweep.stdin.take().unwrap().write_all(b"\n").unwrap();
        let swept = finish(sweep);
        assert_eq!(
            printed_names(&swept),
            ["/closed", "/write-only"],
            "{swept:?}"
        );
        assert_eq!(remaining(), ["of-others", "used"]);
    });
}

#[test]
fn a_dry_run_on_a_read_only_directory_fails_as_the_real_run_does() {
    in_private_shm("size=4m", || {
        create(&["a"]);
        let none = None::<&str>;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        if mount(none, "/dev/shm", none, flags, none).is_err() {
            return skipped("nothing can be remounted");
        }
        for args in [&["a"][..], &["--unused"], &["--unused", "a"]] {
            let dry = [&["-n"], args].concat();
            for args in [args, &dry] {
                let ended = unlink(args);
                assert!(ended.stderr.contains("Read-only file system"), "{ended:?}");
                assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            }
        }
    });
}
