//! Unprivileged users who mount directories of root's as their `/dev/shm`. Only what they could remove themselves may
//! be removed, and nothing may be read for them.

use crate::common::*;
use crate::*;
use std::process::Command;

/// Starts `unshare -Urm` as the attacker, with a directory below `/mnt` on `/dev/shm`.
fn attack(directory: &str) -> Option<Container> {
    let script = format!("mount --bind {directory} /dev/shm\n");
    Container::start_rootless(NOBODY, &script)
}

/// Prepares directories that belong to root, with objects of root's and of the attacker's.
fn prepare() {
    mount_volume("mode=755");
    create("/mnt/private", 0o600, 0);
    create("/mnt/public", 0o666, 0);
    create("/mnt/mine", 0o600, NOBODY);
    create_directory("/mnt/sticky", 0o1777, 0);
    create_directory("/mnt/group", 0o775, 0);
    for directory in ["sticky", "group"] {
        create(format!("/mnt/{directory}/private"), 0o600, 0);
        create(format!("/mnt/{directory}/public"), 0o666, 0);
        create(format!("/mnt/{directory}/mine"), 0o600, NOBODY);
    }
}

/// Tries every verb that could change or read something of root's in the place of a process.
fn try_all_verbs(target: &str) {
    let directory = ["--target", target];
    for verb in [
        &["cat", "--shm", "private"][..],
        &["read-int", "private"],
        &["write-int", "private", "1"],
        &["unlink", "private"],
        &["unlink", "public"],
        &["create", "--replace", "public"],
        &["create", "--resize", "-s", "1M", "private"],
        &["create", "--replace", "-s", "1", "public", "--", "true"],
    ] {
        let mut command = shmtool([verb[0]]);
        let ended = run(command.args(directory).args(&verb[1..]));
        let code = ended.status.code();
        assert!(matches!(code, Some(1 | 125)), "{verb:?} {ended:?}");
        assert_eq!(ended.stdout, b"", "{verb:?}");
    }
    run(shmtool(["unlink", "--include-in-use", "--glob", "p*"]).args(directory));
}

/// Sweeps in all ways, also as a process that is in group 0.
fn sweep() {
    for groups in ["0", "0,65534", ""] {
        for filter in [
            &["--glob", "*"][..],
            &["--include-in-use", "--glob", "*"],
            &["--older-than", "0"],
            &["--owner", "0"],
            &["--owner", "0", "--include-in-use"],
        ] {
            let mut setpriv = Command::new("setpriv");
            match groups {
                "" => setpriv.arg("--clear-groups"),
                _ => setpriv.args(["--groups", groups]),
            };
            setpriv.arg(env!("CARGO_BIN_EXE_shmtool"));
            setpriv.args(["unlink", "--everywhere", "-v"]).args(filter);
            // An object of theirs that they cannot remove is an error.
            let status = run(&mut setpriv).status.code();
            assert!(matches!(status, Some(0 | 1)), "{status:?}");
        }
    }
}

#[test]
fn nothing_is_removed_or_read_in_a_directory_of_roots() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        prepare();
        let Some(attacker) = attack("/mnt") else {
            return;
        };
        // They can list the directory themselves, and so it is listed.
        let place = attacker.place();
        let mut expected = ["mine", "private", "public"].map(|name| format!("/{name} {place}"));
        assert_eq!(rows("name,place", &[]), expected);
        // Only they and root may ask whether an object of theirs is in use; root does it for them.
        expected[0] += " no";
        expected[1] += " ?";
        expected[2] += " ?";
        assert_eq!(rows("name,place,in-use", &[]), expected);
        try_all_verbs(&attacker.target());
        sweep();
        assert_eq!(
            names("/mnt"),
            ["group", "mine", "private", "public", "sticky"]
        );
        assert_eq!(fs::read("/mnt/private").unwrap(), b"text");
        assert_eq!(fs::read("/mnt/public").unwrap(), b"text");
    });
}

#[test]
fn only_their_own_objects_are_removed_in_a_sticky_directory() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        prepare();
        let Some(attacker) = attack("/mnt/sticky") else {
            return;
        };
        let (dry, _) = sweep_all(&["-n"]);
        assert_eq!(dry, [format!("/mine {}", attacker.place())]);
        try_all_verbs(&attacker.target());
        sweep();
        assert_eq!(names("/mnt/sticky"), ["private", "public"]);
    });
}

#[test]
fn nothing_is_removed_that_only_group_0_may_remove() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        prepare();
        let Some(attacker) = attack("/mnt/group") else {
            return;
        };
        sweep();
        try_all_verbs(&attacker.target());
        assert_eq!(names("/mnt/group"), ["mine", "private", "public"]);
    });
}

#[test]
fn a_directory_that_they_cannot_read_is_skipped() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        mount_volume("mode=755");
        create_directory("/mnt/closed", 0o700, 0);
        create("/mnt/closed/x", 0o666, 0);
        let Some(attacker) = attack("/mnt/closed") else {
            return;
        };
        let other = Container::start("echo >/dev/shm/free\n");
        let (swept, ended) = sweep_all(&[]);
        assert_eq!(swept, [format!("/free {}", other.place())]);
        let skipped = format!(
            "shmtool: {}: skipped: permission denied\n",
            attacker.place()
        );
        assert!(ended.stderr.starts_with(&skipped), "{ended:?}");
        let listed = run(&mut shmtool(["ls", "-q", "--target", &attacker.target()]));
        assert_eq!(listed.status.code(), Some(1));
        assert_eq!(names("/mnt/closed"), ["x"]);
    });
}

#[test]
fn a_root_process_in_their_mount_namespace_gives_no_more_rights() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        prepare();
        let Some(attacker) = attack("/mnt") else {
            return;
        };
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--mount=/proc/{}/ns/mnt", attacker.pid()));
        let mut joined = Peer::start(nsenter.args(["sh", "-c", "echo; exec sleep 1000"]));
        joined.line();
        let pid = joined.id().to_string();
        run(&mut shmtool(["ls", "-q", "--target", &pid])).prints("/mine\n/private\n/public\n");
        try_all_verbs(&pid);
        sweep();
        drop(attacker);
        // Now root's process is the only one there.
        assert_eq!(
            rows("name,place", &["--glob", "public"]),
            [format!("/public pid:{pid}")]
        );
        try_all_verbs(&pid);
        sweep();
        assert_eq!(
            names("/mnt"),
            ["group", "mine", "private", "public", "sticky"]
        );
    });
}

#[test]
fn an_attacker_cannot_hide_the_objects_of_another_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        mount_volume("mode=1777");
        create("/mnt/x", 0o600, 0);
        // It comes first and has the lower process ID.
        let Some(attacker) = attack("/mnt") else {
            return;
        };
        let setup = Setup::new(&["--mount"]);
        let container = setup.start("mount --bind /mnt /dev/shm\n").unwrap();
        assert!(attacker.pid() < container.pid());
        assert_eq!(
            rows("name,place", &[]),
            [format!("/x {}", container.place())]
        );
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", container.place())]);
    });
}

#[test]
fn a_changed_root_directory_in_our_mount_namespace_is_no_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "
import os, sys, time
os.chroot('/mnt/evil')
print('ready', flush=True)
time.sleep(1000)";
        let Some(python) = python(script, &[]) else {
            return;
        };
        mount_volume("mode=755");
        create("/mnt/roots", 0o666, 0);
        create_directory("/mnt/evil", 0o755, NOBODY);
        create_directory("/mnt/evil/dev", 0o755, NOBODY);
        let shm = "/mnt/evil/dev/shm";
        create_directory(shm, 0o777, NOBODY);
        create("/mnt/evil/dev/shm/roots", 0o600, 0);
        let arguments: Vec<_> = python.get_args().map(ToOwned::to_owned).collect();
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "python3"]);
        let mut evil = Peer::start(as_nobody(unshare.args(arguments)));
        if evil.line() != "ready" {
            return skipped("no user namespaces");
        }
        let pid = evil.id().to_string();
        let ls = || run(&mut shmtool(["ls", "-q", "--target", &pid]));
        // The directory is theirs, and they could remove the object. But it is not a place.
        ls();
        let (swept, _) = sweep_all(&[]);
        assert_eq!((swept, names(shm)), (vec![], vec!["roots".to_owned()]));

        // Links lead to nothing outside.
        fs::remove_dir_all(shm).unwrap();
        for link in [
            "/mnt",
            "../../..",
            "/../..",
            "/proc/1/root/mnt",
            "/proc/self/cwd",
        ] {
            std::os::unix::fs::symlink(link, shm).unwrap();
            let listed = ls();
            assert!(!lines(&listed).contains(&"/roots"), "{link}: {listed:?}");
            run(&mut shmtool(["unlink", "--target", &pid, "roots"]));
            sweep();
            assert!(fs::exists("/mnt/roots").unwrap(), "{link}");
            fs::remove_file(shm).unwrap();
        }

        // A process of root's that is only chrooted there.
        create_directory(shm, 0o777, 0);
        create("/mnt/evil/dev/shm/roots", 0o600, 0);
        let mut root = Peer::start(&mut { python });
        assert_eq!(root.line(), "ready");
        let pid = root.id();
        let listed = run(&mut shmtool(["ls", "--target", &pid.to_string()]));
        listed.fails(1).says(format!(
            "process {pid}: it is in our own mount namespace with another root directory (chroot)"
        ));
    });
}
