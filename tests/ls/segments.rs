//! `--nameless`: System V segments, which belong to IPC namespaces.

use crate::common::*;
use crate::nameless::{hold, objects, rows};
use crate::processes::current_user;

#[test]
fn a_segment_is_listed_with_its_processes_and_with_none_if_nobody_attaches_it() {
    in_private_system("size=1m", || {
        let held = ["segment=0x1234", "lonely=0x7eadbeef", "lonely=0", "fork"];
        let Some((_holder, mut pids)) = hold(&held) else {
            return;
        };
        let me = current_user();
        let columns = "type,name,size,allocated,mode,owner,pid,access";
        pids.sort_unstable();
        let mut expected = vec![format!("sysv SYSV00000000 4096 0 rw-r----- {me} - -")];
        for pid in &pids {
            let row = format!("sysv SYSV00001234 8192 4096 rw-r----- {me} {pid} mapped rw");
            expected.push(row);
        }
        expected.push(format!("sysv SYSV7eadbeef 4096 0 rw-r----- {me} - -"));
        let mut listed = rows(columns, &["-b"]);
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected);

        let objects = objects(&["--glob", "SYSV*"]);
        let keys: Vec<_> = objects.iter().map(|object| &object["key"]).collect();
        assert_eq!(keys, [0, 0x1234, 0x7ead_beef]);
        assert!(objects.iter().all(|object| object["shmid"].is_u64()));
        assert_eq!(objects[0]["processes"], serde_json::json!([]));
        let lonely = rows("key,in-use", &["--glob", "*beef"]);
        assert_eq!(lonely, ["0x7eadbeef no"]);
    });
}

#[test]
fn a_segment_that_is_marked_for_removal_keeps_its_name() {
    in_private_system("size=1m", || {
        let Some((_holder, pids)) = hold(&["segment=0x1234", "removed"]) else {
            return;
        };
        let expected = format!("SYSV00001234 0x00001234 8KiB {}", pids[0]);
        assert_eq!(rows("name,key,size,pid", &[]), [expected]);
    });
}

#[test]
fn segments_of_other_namespaces_with_the_same_id_are_other_segments() {
    in_private_system("size=1m", || {
        if !is_root() {
            return;
        }
        let Some((_ours, ours)) = hold(&["segment=0x1"]) else {
            return;
        };
        let script = include_str!("nameless.py");
        let mut unshare = std::process::Command::new("unshare");
        unshare.args([
            "--ipc",
            "python3",
            "-c",
            script,
            "segment=0x2",
            "lonely=0x3",
        ]);
        let mut theirs = Peer::start(&mut unshare);
        let theirs_pid = theirs.line();
        // The segment that nobody attaches is in a table that is not ours.
        assert_eq!(
            rows("name,shmid,size,pid", &[]),
            [
                format!("SYSV00000001 0 8KiB {}", ours[0]),
                format!("SYSV00000002 0 8KiB {theirs_pid}"),
            ]
        );
        // A shmid counts only in its own namespace, so the place is important.
        let places = rows("name,place,place-pid", &["--everywhere"]);
        let theirs = |name: &str| format!("{name} pid:{0} {0}", theirs.id());
        assert_eq!(
            places,
            [
                "SYSV00000001 - -".into(),
                theirs("SYSV00000002"),
                theirs("SYSV00000003")
            ]
        );
    });
}

#[test]
fn users_see_the_segments_in_containers_of_their_own_with_their_own_ids() {
    in_private_system("size=1m", || {
        if !is_root() {
            return;
        }
        let unshare = |command: &[&str]| {
            let mut unshare = std::process::Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--ipc"]);
            as_nobody(unshare.args(command));
            unshare
        };
        let works = unshare(&["true"]).output();
        if !works.is_ok_and(|ended| ended.status.success()) {
            return skipped("no user namespace");
        }
        let script = include_str!("nameless.py");
        let mut peer = Peer::start(&mut unshare(&["python3", "-c", script, "lonely=0x3"]));
        peer.line();
        let mut ls = shmtool(["ls", "--nameless", "--everywhere", "--no-header", "-n"]);
        let listed = run(as_nobody(ls.args(["-o", "name,size,owner"])));
        assert_eq!(listed.stdout, b"SYSV00000003  4KiB  65534\n", "{listed:?}");
        let shown = run(as_nobody(&mut shmtool(["ls", "--summary", "-J"])));
        let summary: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(summary["uncounted_ipc_namespaces"], 0);
        assert_eq!(summary["kinds"]["system_v"]["count"], 1);
    });
}
