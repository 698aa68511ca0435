//! `ls`: the table, the JSON listing, and which objects are listed. Because `ls` lists everything, each test has a
//! private `/dev/shm`.

#[path = "../common/mod.rs"]
mod common;

mod columns;
mod nameless;
mod options;
mod processes;
mod segments;
mod summary;
mod summary_rows;
mod totals;
mod unlinked;

use common::*;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Runs `ls`, and splits each line of the table into words.
fn table(args: &[&str]) -> Vec<Vec<String>> {
    let listed = run(shmtool(["ls"]).args(args));
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// Runs `ls -J`, and parses what it prints.
fn json(args: &[&str]) -> Value {
    let listed = run(shmtool(["ls", "-J"]).args(args));
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice(&listed.stdout).unwrap()
}

#[test]
fn the_table_shows_name_size_allocated_mode_owner_and_age() {
    in_private_shm("size=4m", || {
        run(&mut shmtool([
            "create", "-s", "1536K", "-m", "640", "/full",
        ]))
        .prints("");
        fs::File::create("/dev/shm/a-hole")
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        fs::set_permissions("/dev/shm/a-hole", fs::Permissions::from_mode(0o644)).unwrap();
        let id = std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap();
        let me = String::from_utf8(id.stdout).unwrap().trim().to_owned();
        let rows = table(&[]);
        assert_eq!(
            rows[0],
            ["NAME", "SIZE", "ALLOCATED", "MODE", "OWNER", "AGE"]
        );
        assert_eq!(rows[1][..5], ["/a-hole", "1GiB", "0B", "rw-r--r--", &me]);
        assert_eq!(
            rows[2][..5],
            ["/full", "1.5MiB", "1.5MiB", "rw-r-----", &me]
        );
        assert!(
            rows[1][5].ends_with('s') && rows[2][5].ends_with('s'),
            "{rows:?}"
        );
        assert_eq!(rows.len(), 3);
    });
}

#[test]
fn columns_are_aligned_by_display_width() {
    in_private_shm("size=4m", || {
        for name in ["a", "longer", "数", "\u{1b}[31m"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        let listed = run(&mut shmtool(["ls"]));
        let text = String::from_utf8(listed.stdout).unwrap();
        let column =
            |line: &str| unicode_width::UnicodeWidthStr::width(line.split("  ").next().unwrap());
        let widths: Vec<_> = text
            .lines()
            .map(|line| (column(line), unicode_width::UnicodeWidthStr::width(line)))
            .collect();
        let (_, width) = widths[0];
        assert!(
            widths
                .iter()
                .all(|&(name, line)| line == width && name <= r"/\u{1b}[31m".len()),
            "{text}"
        );
    });
}

#[test]
fn an_empty_dev_shm_gives_a_header_without_rows() {
    in_private_shm("size=64k", || {
        run(&mut shmtool(["ls"])).prints("NAME  SIZE  ALLOCATED  MODE  OWNER  AGE\n");
        run(&mut shmtool(["ls", "-q"])).prints("");
        assert_eq!(json(&[])["objects"], json!([]));
    });
}

#[test]
fn only_files_that_shm_open_can_open_are_listed() {
    in_private_shm("size=64k", || {
        fs::create_dir("/dev/shm/directory").unwrap();
        symlink("/etc/passwd", "/dev/shm/link").unwrap();
        nix::unistd::mkfifo("/dev/shm/fifo", nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind("/dev/shm/socket").unwrap();
        fs::write("/dev/shm/.hidden", "").unwrap();
        fs::write("/dev/shm/object", "").unwrap();
        run(&mut shmtool(["ls", "-q"])).prints("/.hidden\n/object\n");
    });
}

#[test]
fn semaphores_are_listed_with_all_or_by_name() {
    in_private_shm("size=64k", || {
        fs::write("/dev/shm/sem.lock", [0; 32]).unwrap();
        fs::write("/dev/shm/object", "").unwrap();
        run(&mut shmtool(["ls", "-q"])).prints("/object\n");
        run(&mut shmtool(["ls", "-qa"])).prints("/object\n/sem.lock\n");
        run(&mut shmtool(["ls", "--names", "--all"])).prints("/object\n/sem.lock\n");
        run(&mut shmtool(["ls", "-q", "sem.lock"])).prints("/sem.lock\n");
        let types: Vec<_> = json(&["-a"])["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["type"].clone())
            .collect();
        assert_eq!(types, ["memory", "semaphore"]);
    });
}

#[test]
fn only_named_objects_are_listed_and_a_missing_one_gives_status_3() {
    in_private_shm("size=64k", || {
        for name in ["a", "b", "c"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        run(&mut shmtool(["ls", "-q", "/c", "a"])).prints("/a\n/c\n");
        let listed = run(&mut shmtool(["ls", "-q", "/c", "nope", "a"]));
        listed.says("/nope: no such object");
        assert_eq!(
            (listed.status.code(), &listed.stdout[..]),
            (Some(3), &b"/a\n/c\n"[..])
        );
        // Without rows there is no header either.
        let listed = run(&mut shmtool(["ls", "nope"]));
        listed.fails(3).says("/nope: no such object");
        run(&mut shmtool(["ls", "--older-than", "1h", "a"])).fails(5);
    });
}

#[test]
fn names_are_unescaped_only_with_q_in_a_pipe() {
    in_private_shm("size=64k", || {
        let bytes = b"evil\x1b[2J\n\xff";
        fs::write(
            std::path::Path::new("/dev/shm").join(OsStr::from_bytes(bytes)),
            "",
        )
        .unwrap();
        run(&mut shmtool(["ls", "-q"])).prints([b"/", &bytes[..], b"\n"].concat());
        assert_eq!(table(&[])[1][0], r"/evil\u{1b}[2J\n\xff");
        let terminal = on_terminal(&mut shmtool(["ls", "-q"]));
        assert_eq!(
            String::from_utf8_lossy(&terminal),
            "/evil\\u{1b}[2J\\n\\xff\n"
        );
        run(shmtool(["create"]).arg(OsStr::from_bytes(bytes)))
            .fails(4)
            .says("/evil\\u{1b}[2J\\n\\xff: already exists\nhint: --exist-ok keeps it, --resize changes its size, --replace makes a new object");
    });
}

#[test]
fn json_has_all_known_properties() {
    in_private_shm("size=1m,nr_inodes=50", || {
        run(&mut shmtool(["create", "-s", "8K", "-m", "640", "/x"])).prints("");
        let file = fs::File::options().write(true).open("/dev/shm/x").unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(1500))
            .unwrap();
        fs::hard_link("/dev/shm/x", "/dev/shm/y").unwrap();
        let stat = file.metadata().unwrap();
        let listing = json(&["x"]);
        let mut object = listing["objects"][0].clone();
        let changed = object["changed"].take();
        assert!(object["age"].as_u64().is_some_and(|age| age < 60));
        let (owner, group) = (object["owner"].take(), object["group"].take());
        assert_eq!(
            object,
            json!({
                "name": "/x", "type": "memory", "size": 8192, "allocated": 8192, "used": 8192, "mode": "0640",
                "uid": stat.uid(), "owner": null, "gid": stat.gid(), "group": null,
                "inode": stat.ino(), "links": 2, "modified": "1970-01-01T00:00:01.5Z", "changed": null, "age": object["age"],
            })
        );
        assert!(owner.is_string() && group.is_string(), "{listing}");
        assert!(
            changed
                .as_str()
                .is_some_and(|time| time.starts_with("20") && time.ends_with('Z'))
        );
        assert_eq!(
            listing["filesystem"],
            json!({
                "size": 1 << 20, "used": 8192, "free": (1 << 20) - 8192,
                // One each for the directory, the object, and its second name.
                "inodes": 50, "inodes_used": 3, "inodes_free": 47,
            })
        );
    });
}

#[test]
fn json_keeps_every_byte_of_a_name_and_escapes_control_characters() {
    in_private_shm("size=64k", || {
        let with_controls = "größe 数 \u{9b}\u{202e}\u{7f}\u{e0001}";
        for name in [
            &b"plain \"quoted\"\n\x1b"[..],
            b"\xff\xfe",
            with_controls.as_bytes(),
        ] {
            fs::write(
                std::path::Path::new("/dev/shm").join(OsStr::from_bytes(name)),
                "",
            )
            .unwrap();
        }
        let text = String::from_utf8(run(&mut shmtool(["ls", "-J"])).stdout).unwrap();
        assert!(
            text.contains("größe 数 \\u009b\\u202e\\u007f\\udb40\\udc01"),
            "{text}"
        );
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        let listing = json(&[]);
        assert_eq!(
            listing["objects"][0]["name"].as_str().unwrap()[1..],
            *with_controls
        );
        assert_eq!(listing["objects"][1]["name"], "/plain \"quoted\"\n\u{1b}");
        assert_eq!(listing["objects"][1].get("name_bytes"), None);
        assert_eq!(listing["objects"][2]["name"], "/\u{fffd}\u{fffd}");
        assert_eq!(listing["objects"][2]["name_bytes"], json!([47, 255, 254]));
    });
}

#[test]
fn age_counts_from_the_later_of_modification_and_status_change() {
    in_private_shm("size=64k", || {
        // Only the modification time is old. Setting it has changed the status now.
        let file = fs::File::create("/dev/shm/x").unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(table(&[])[1][5].ends_with('s'));
        // A time in the future counts as age 0.
        file.set_modified(SystemTime::now() + Duration::from_secs(1 << 20))
            .unwrap();
        assert_eq!(table(&[])[1][5], "0s");
    });
}

#[test]
fn objects_of_other_users_are_listed() {
    in_private_shm("size=64k", || {
        if is_root() {
            run(as_nobody(&mut shmtool(["create", "-m", "0", "/x"]))).prints("");
            std::os::unix::fs::chown("/dev/shm/x", Some(4_000_000_000), None).unwrap();
            assert_eq!(table(&[])[1][3..5], ["---------", "4000000000"]);
            assert_eq!(json(&[])["objects"][0]["owner"], Value::Null);
        }
    });
}

#[test]
fn objects_that_vanish_during_a_listing_are_not_an_error() {
    in_private_shm("size=64k", || {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for i in 0..50 {
                        fs::write(format!("/dev/shm/{i}"), "").unwrap();
                    }
                    for i in 0..50 {
                        fs::remove_file(format!("/dev/shm/{i}")).unwrap();
                    }
                }
            });
            let listings: Vec<_> = (0..100).map(|_| run(&mut shmtool(["ls"]))).collect();
            done.store(true, Ordering::Relaxed);
            for listed in listings {
                assert!(
                    listed.status.success() && listed.stderr.is_empty(),
                    "{listed:?}"
                );
            }
        });
    });
}

#[test]
fn names_and_json_exclude_each_other() {
    assert_eq!(run(&mut shmtool(["ls", "-q", "-J"])).status.code(), Some(2));
}

#[test]
fn a_failed_write_to_standard_output_is_an_error() {
    in_private_shm("size=64k", || {
        for args in [&["ls"][..], &["ls", "-J"], &["--help"], &["--version"]] {
            output_fails(&mut shmtool(args));
        }
    });
}

#[test]
fn a_missing_name_that_looks_like_a_pattern_gets_a_hint() {
    run(&mut shmtool(["ls", "shmtool-test-*"])).fails(3).says(
        "/shmtool-test-*: no such object\nhint: --glob lists all objects that match a pattern",
    );
}
