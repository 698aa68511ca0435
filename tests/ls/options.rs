//! What is shown, and in which order.

use crate::common::*;
use crate::{json, table};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::Duration;

/// The first word of each row.
fn names(args: &[&str]) -> Vec<String> {
    table(args)
        .into_iter()
        .skip(1)
        .map(|row| row[0].clone())
        .collect()
}

#[test]
fn any_columns_can_be_chosen_and_json_has_the_same() {
    in_private_shm(
        "options::any_columns_can_be_chosen_and_json_has_the_same",
        "size=4m",
        || {
            run(&mut shmtool(["create", "-s", "5000", "-m", "640", "x"])).prints("");
            let stat = fs::metadata("/dev/shm/x").unwrap();
            let (uid, inode) = (stat.uid().to_string(), stat.ino().to_string());
            let rows = table(&["-o", "links,name,uid,inode,type,size,mode"]);
            assert_eq!(
                rows[0],
                ["LINKS", "NAME", "UID", "INODE", "TYPE", "SIZE", "MODE"]
            );
            assert_eq!(
                rows[1],
                ["1", "/x", &uid, &inode, "memory", "4.88KiB", "rw-r-----"]
            );
            assert_eq!(table(&["-o", "size,used", "-b"])[1], ["5000", "8192"]);
            assert_eq!(
                table(&["-n", "-o", "owner,group"])[1],
                [uid, stat.gid().to_string()]
            );

            let object = json(&["-p"])["objects"][0].clone();
            let keys: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
            let headers = table(&["-o", &keys.join(",")]).remove(0);
            assert_eq!(
                headers,
                keys.iter()
                    .map(|key| key.to_uppercase())
                    .collect::<Vec<_>>()
            );
            let help = String::from_utf8(run(&mut shmtool(["ls", "--help"])).stdout).unwrap();
            assert!(
                keys.iter().all(|key| help.contains(&format!("{key} ("))),
                "{help}"
            );
            run(&mut shmtool(["ls", "-o", "name,color"])).fails(2).says(
            "color: not a column: name type size used mode owner uid group gid inode links modified changed age \
             processes are",
        );
        },
    );
}

#[test]
fn the_order_is_that_of_the_key() {
    in_private_shm("options::the_order_is_that_of_the_key", "size=4m", || {
        fs::File::create("/dev/shm/b")
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        sleep(Duration::from_millis(20));
        fs::write("/dev/shm/c", [1; 9000]).unwrap();
        sleep(Duration::from_millis(20));
        fs::write("/dev/shm/a", [1; 10]).unwrap();
        for (key, order) in [
            ("name", ["/a", "/b", "/c"]),
            ("size", ["/b", "/c", "/a"]),
            ("used", ["/c", "/a", "/b"]),
            ("age", ["/b", "/c", "/a"]),
        ] {
            assert_eq!(names(&["--sort", key]), order, "{key}");
            let mut order = order;
            order.reverse();
            assert_eq!(names(&["--sort", key, "-r"]), order, "{key}");
        }
        run(&mut shmtool(["ls", "-q", "--sort", "size"])).prints("/b\n/c\n/a\n");
        run(&mut shmtool(["ls", "-q0r"])).prints("/c\0/b\0/a\0");
        run(&mut shmtool(["ls", "-0"])).fails(2);
        run(&mut shmtool(["ls", "--sort", "color"])).fails(2);
    });
}

#[test]
fn filters_limit_the_list_and_only_the_status_tells_of_a_name_that_is_left() {
    in_private_shm(
        "options::filters_limit_the_list_and_only_the_status_tells_of_a_name_that_is_left",
        "size=4m",
        || {
            for name in ["job-1", "job-2", "task"] {
                fs::write(format!("/dev/shm/{name}"), "").unwrap();
            }
            let _used = fs::File::open("/dev/shm/job-2").unwrap();
            assert_eq!(names(&["--glob", "job*"]), ["/job-1", "/job-2"]);
            assert_eq!(names(&["--unused"]), ["/job-1", "/task"]);
            for (args, status, listed) in [
                (&["--unused", "job-1", "job-2"][..], 5, "/job-1\n"),
                (&["--unused", "job-1", "task"], 0, "/job-1\n/task\n"),
                (&["--glob", "job*", "task"], 5, ""),
                (&["--older-than", "1h", "task"], 5, ""),
                (&["--unused", "--glob", "job-2"], 0, ""),
            ] {
                let ended = run(shmtool(["ls", "-q"]).args(args));
                assert_eq!(
                    (ended.status.code(), &ended.stdout[..], &ended.stderr[..]),
                    (Some(status), listed.as_bytes(), ""),
                    "{args:?}"
                );
            }
            assert_eq!(names(&["--older-than", "1h"]), [""; 0]);
            assert_eq!(
                json(&["--glob", "t*"])["objects"].as_array().unwrap().len(),
                1
            );
            let ended = run(&mut shmtool(["ls", "-q", "--unused", "missing", "task"]));
            assert_eq!(
                (ended.status.code(), &ended.stdout[..]),
                (Some(3), &b"/task\n"[..])
            );
        },
    );
}

#[test]
fn a_terminal_gets_the_totals_and_a_pipe_does_not() {
    in_private_shm(
        "options::a_terminal_gets_the_totals_and_a_pipe_does_not",
        "size=64k",
        || {
            let last = |args: &[&str]| {
                let text = String::from_utf8(on_terminal(shmtool(["ls"]).args(args))).unwrap();
                text.lines().last().unwrap().to_owned()
            };
            assert_eq!(
                last(&[]),
                "0 objects with 0B; /dev/shm has 0B used and 64KiB free"
            );
            fs::write("/dev/shm/a", [1; 8192]).unwrap();
            fs::write("/dev/shm/b", [1; 100]).unwrap();
            assert_eq!(
                last(&[]),
                "2 objects with 12KiB; /dev/shm has 12KiB used and 52KiB free"
            );
            assert_eq!(
                last(&["a"]),
                "1 object with 8KiB; /dev/shm has 12KiB used and 52KiB free"
            );
            fs::write("/dev/shm/b", [1; 49152]).unwrap();
            assert_eq!(
                last(&["-b"]),
                "2 objects with 56KiB; /dev/shm has 56KiB used and 8KiB free"
            );
            fs::write("/dev/shm/c", [1; 4096]).unwrap();
            assert_eq!(
                last(&[]),
                "3 objects with 60KiB; /dev/shm has 60KiB used and 4KiB free: nearly full"
            );
            assert_eq!(last(&["-q"]), "/c");
            assert_eq!(table(&[]).len(), 4);
            assert!(
                serde_json::from_slice::<Value>(&on_terminal(&mut shmtool(["ls", "-J"]))).is_ok()
            );
        },
    );
}
