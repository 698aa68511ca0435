//! Sort order, colors, header, and filters.

use crate::common::*;
use crate::{json, table};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// The first column of each row.
fn names(args: &[&str]) -> Vec<String> {
    table(args)
        .into_iter()
        .skip(1)
        .map(|row| row[0].clone())
        .collect()
}

#[test]
fn rows_are_sorted_by_the_given_key() {
    in_private_shm("size=4m", || {
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
            ("allocated", ["/c", "/a", "/b"]),
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
fn owners_are_sorted_by_name_and_with_numeric_by_number() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        for (name, owner) in [("a", 4_000_000_000), ("b", 0), ("c", 1), ("d", 0)] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
            std::os::unix::fs::chown(format!("/dev/shm/{name}"), Some(owner), None).unwrap();
        }
        let owners: Vec<_> = table(&["-o", "owner", "--no-header"]).concat();
        if owners[1..] != ["root", "daemon", "root"] {
            skipped("other user names");
            return;
        }
        assert_eq!(names(&["--sort", "owner"]), ["/c", "/b", "/d", "/a"]);
        assert_eq!(names(&["--sort", "owner", "-r"]), ["/a", "/d", "/b", "/c"]);
        assert_eq!(names(&["--sort", "owner", "-n"]), ["/b", "/d", "/c", "/a"]);
    });
}

#[test]
fn colors_appear_only_on_terminals_unless_color_says_otherwise() {
    in_private_shm("size=64k", || {
        fs::write("/dev/shm/full", [1; 61440]).unwrap();
        const BOLD: &str = "\u{1b}[1m";
        const RED: &str = "\u{1b}[31mnearly full\u{1b}[0m";
        let has_colors = |args: &[&str], term: &str, no_color: &str| {
            let mut ls = shmtool(["ls"]);
            ls.args(args).env("TERM", term).env("NO_COLOR", no_color);
            let text = String::from_utf8(on_terminal(&mut ls)).unwrap();
            assert!(text.contains("nearly full"), "{text}");
            assert_eq!(text.starts_with(BOLD), text.contains(RED), "{text}");
            text.contains('\u{1b}')
        };
        assert!(has_colors(&[], "xterm", ""));
        assert!(!has_colors(&[], "xterm", "1"));
        assert!(!has_colors(&[], "dumb", ""));
        assert!(!has_colors(&["--color", "never"], "xterm", ""));
        assert!(has_colors(&["--color", "always"], "dumb", "1"));
        let header = "NAME    SIZE  ALLOCATED  MODE       OWNER  AGE";
        let piped = |args: &[&str]| {
            let listed = run(shmtool(["ls", "-n"]).args(args).env("TERM", "xterm"));
            String::from_utf8(listed.stdout).unwrap()
        };
        assert!(piped(&[]).starts_with(&format!("{header}\n")));
        let always = piped(&["--color", "always"]);
        assert!(
            always.starts_with(&format!("{BOLD}{header}\u{1b}[0m\n/full")),
            "{always}"
        );
        assert!(!piped(&["--color", "always", "--no-header"]).contains('\u{1b}'));
        run(&mut shmtool(["ls", "--color", "sometimes"])).fails(2);
    });
}

#[test]
fn no_header_prints_only_the_rows() {
    in_private_shm("size=64k", || {
        run(&mut shmtool(["ls", "--no-header"])).prints("");
        fs::write("/dev/shm/x", [1; 10]).unwrap();
        run(&mut shmtool(["ls", "--no-header", "-o", "name,size"])).prints("/x  10B\n");
    });
}

#[test]
fn filters_limit_the_list_and_an_excluded_name_gives_status_5() {
    in_private_shm("size=4m", || {
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
    });
}
