//! Users and groups that only `getent` knows, such as those of LDAP: the static binary asks it.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

/// Answers as `getent` does on a machine where LDAP knows ada and the group staff2. It writes its arguments to `$CALLS`.
const GETENT: &str = r#"#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    "passwd ada"|"passwd 54321") echo 'ada:*:54321:54322:Ada:/home/ada:/bin/sh' ;;
    "group 54322") echo 'staff2:*:54322:' ;;
    # Nobody has this name, but getent finds the ID.
    "passwd 54323") echo 'grace:*:54323:54322::/:' ;;
    *) exit 2 ;;
esac
"#;

#[test]
fn users_whom_only_getent_knows_have_names_in_the_static_binary() {
    in_private_system("size=1m,mode=1777", || {
        if !is_root() {
            return;
        }
        if cfg!(not(target_env = "musl")) {
            return skipped("no static binary");
        }
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("getent");
        fs::write(&program, GETENT).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, id) in [("a", 54321), ("b", 0), ("c", 54323), ("d", 54324)] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
            chown(format!("/dev/shm/{name}"), Some(id), Some(54322)).unwrap();
        }
        let calls = directory.path().join("calls");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", directory.path().display());
        let with_getent = |args: &[&str]| -> Command {
            let mut command = shmtool(args);
            command.env("PATH", &path).env("CALLS", &calls);
            command
        };
        let columns = ["ls", "--no-header", "-o", "name,owner,group"];
        run(&mut with_getent(&columns))
            .prints("/a  ada    staff2\n/b  root   staff2\n/c  grace  staff2\n/d  54324  staff2\n");
        // Each is asked for once, and those in /etc/passwd not at all.
        let asked = fs::read_to_string(&calls).unwrap();
        let mut asked: Vec<_> = asked.lines().collect();
        asked.sort_unstable();
        assert_eq!(
            asked,
            [
                "group 54322",
                "passwd 54321",
                "passwd 54323",
                "passwd 54324"
            ]
        );
        let owned_by = |owner| run(&mut with_getent(&["ls", "-q", "--owner", owner]));
        owned_by("ada").prints("/a\n");
        owned_by("54323").prints("/c\n");
        owned_by("nobody-at-all").fails(2);

        // Without getent, they have numbers.
        let nowhere = directory.path().join("nowhere");
        run(shmtool(columns).env("PATH", nowhere))
            .prints("/a  54321  54322\n/b  root   54322\n/c  54323  54322\n/d  54324  54322\n");
    });
}
