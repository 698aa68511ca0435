//! What the verbs report if `/dev/shm` cannot be used, or if a file attribute (`chattr`) protects it or an object.

mod common;

use common::*;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// Calls of every verb, each with its exit status if `/dev/shm` cannot be used.
const CALLS: [(&[&str], i32); 17] = [
    (&["cat", "--shm", "x"], 1),
    (&["create", "-s", "4", "x"], 1),
    (&["create", "--exist-ok", "x"], 1),
    (&["create", "--resize", "-s", "4", "x"], 1),
    (&["create", "--replace", "x"], 1),
    (&["create", "x", "--", "true"], 125),
    (&["write-int", "x", "1"], 1),
    (&["write-int", "--no-create", "x", "1"], 1),
    (&["read-int", "x"], 1),
    (&["read-int", "--until", "1", "x"], 1),
    (&["ls"], 1),
    (&["ls", "x"], 1),
    (&["ls", "--json"], 1),
    (&["ls", "--unlinked"], 1),
    (&["unlink", "x"], 1),
    (&["unlink", "--force", "x"], 1),
    (&["unlink", "--glob", "*"], 1),
];

/// Runs `body` in a mount namespace whose `/dev` holds nothing but `/dev/null`.
fn in_empty_dev<F: FnOnce()>(body: F) {
    if !is_root() {
        return;
    }
    run_test_privately(test_of::<F>(), "size=64k", || {
        // The new /dev is in the private tmpfs and disappears with it. Only /dev/null is bound into it, so that no
        // cleanup can reach the real /dev.
        let bind = |from: &str, to: &str| {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(Some(from), to, None::<&str>, flags, None::<&str>).unwrap();
        };
        fs::create_dir("/dev/shm/dev").unwrap();
        fs::write("/dev/shm/dev/null", "").unwrap();
        bind("/dev/null", "/dev/shm/dev/null");
        bind("/dev/shm/dev", "/dev");
        body();
    });
}

fn assert_every_verb_reports(message: &str) {
    for (args, status) in CALLS {
        let ended = run(&mut shmtool(args));
        assert_eq!(ended.says(message).status.code(), Some(status), "{args:?}");
    }
}

#[test]
fn every_verb_reports_a_missing_dev_shm() {
    in_empty_dev(|| {
        let message = "/dev/shm: no such directory\n\
            hint: mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm";
        assert_every_verb_reports(message);
        symlink("/nowhere", "/dev/shm").unwrap();
        assert_every_verb_reports(message);
    });
}

#[test]
fn every_verb_reports_a_dev_shm_that_is_a_file() {
    in_empty_dev(|| {
        fs::write("/dev/shm", "").unwrap();
        assert_every_verb_reports(
            "/dev/shm: not a directory\nhint: objects need a tmpfs that is mounted there",
        );
    });
}

#[test]
fn every_verb_reports_a_dev_shm_without_search_permission() {
    if !is_root() {
        return;
    }
    in_private_shm("size=64k,mode=0700", || {
        for (args, status) in CALLS {
            let ended = run(as_nobody(&mut shmtool(args)));
            ended.says(
                "/dev/shm: permission denied\n\
                 hint: its mode is usually 1777: 'ls -ld /dev/shm' shows it",
            );
            assert_eq!(ended.status.code(), Some(status), "{args:?}");
        }
    });
}

/// Sets or clears a file attribute. Returns false if this system cannot.
fn chattr(attribute: &str, path: &str) -> bool {
    let mut chattr = Command::new("chattr");
    let done = chattr.args([attribute, path]).output();
    done.is_ok_and(|output| output.status.success()) || {
        skipped("no chattr on tmpfs");
        false
    }
}

/// Runs calls that would change or remove the object `/x`. Each must fail with this message and leave `/x` as it is.
fn assert_changes_fail(message: &str, calls: &[&[&str]]) {
    let before = fs::metadata("/dev/shm/x").unwrap();
    for args in calls {
        let ended = run(&mut shmtool(*args));
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, b"", "{args:?}");
        let first = ended.stderr.lines().next();
        assert_eq!(first, Some(&*format!("shmtool: {message}")), "{args:?}");
        let names = fs::read_dir("/dev/shm").unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"], "{args:?}");
    }
    let after = fs::metadata("/dev/shm/x").unwrap();
    assert_eq!(
        (before.len(), before.modified().unwrap()),
        (after.len(), after.modified().unwrap())
    );
}

#[test]
fn a_protected_object_is_reported() {
    if !is_root() {
        return;
    }
    in_private_shm("size=64k", || {
        for (attribute, message) in [
            ("i", "/x: it is immutable (chattr -i)"),
            ("a", "/x: it is append-only (chattr -a)"),
        ] {
            fs::write("/dev/shm/x", 7_i32.to_ne_bytes()).unwrap();
            if !chattr(&format!("+{attribute}"), "/dev/shm/x") {
                return;
            }
            assert_changes_fail(
                message,
                &[
                    &["unlink", "x"],
                    &["unlink", "--dry-run", "x"],
                    &["unlink", "--unused", "x"],
                    &["unlink", "--glob", "*"],
                    &["unlink", "--glob", "*", "--dry-run"],
                    &["create", "--replace", "-s", "4", "x"],
                    &["create", "--resize", "-s", "8", "x"],
                    &["create", "--resize", "-s", "0", "x"],
                    &["write-int", "x", "1"],
                    &["write-int", "--add", "x", "1"],
                ],
            );
            // Calls that change nothing still work.
            run(&mut shmtool(["read-int", "x"])).prints("7\n");
            run(&mut shmtool(["create", "--exist-ok", "-s", "4", "x"])).prints("");
            assert!(chattr(&format!("-{attribute}"), "/dev/shm/x"));
            run(&mut shmtool(["unlink", "x"])).prints("");
        }
    });
}

#[test]
fn a_protected_dev_shm_is_reported() {
    if !is_root() {
        return;
    }
    in_private_shm("size=64k", || {
        fs::write("/dev/shm/x", 7_i32.to_ne_bytes()).unwrap();
        fs::set_permissions("/dev/shm/x", fs::Permissions::from_mode(0o600)).unwrap();
        let removals: [&[&str]; 4] = [
            &["unlink", "x"],
            &["unlink", "--dry-run", "x"],
            &["unlink", "--glob", "*"],
            &["create", "--replace", "-s", "4", "x"],
        ];
        if !chattr("+a", "/dev/shm") {
            return;
        }
        assert_changes_fail("/dev/shm: it is append-only (chattr -a)", &removals);
        chattr("-a", "/dev/shm");
        chattr("+i", "/dev/shm");
        let message = "/dev/shm: it is immutable (chattr -i)";
        assert_changes_fail(message, &removals);
        assert_changes_fail(
            message,
            &[&["create", "-s", "4", "y"], &["write-int", "y", "1"]],
        );
        run(&mut shmtool(["read-int", "x"])).prints("7\n");
        chattr("-i", "/dev/shm");
    });
}
