//! `--summary`: where the shared memory of the machine is.

use crate::common::*;
use crate::summary_rows::{KINDS, lock, measure, mount_tmpfs};
use crate::{json, table};
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_rows_add_up_to_shmem() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        fs::write("/dev/shm/sem.x", [1; 32]).unwrap();
        let rows = table(&["--summary", "-b"]);
        assert_eq!(rows[0], ["KIND", "COUNT", "SIZE", "NOTE"]);
        assert_eq!(rows[1], ["named", "objects", "1", "8192", "/dev/shm"]);
        assert_eq!(rows[2], ["semaphores", "1", "4096", "/dev/shm"]);
        assert_eq!(rows.len(), KINDS.len() + 3);
        let size_after = |words: usize, row: &[String]| row[words].parse::<i64>().unwrap();
        let sum: i64 = rows[1..]
            .iter()
            .map(|row| match row[0].as_str() {
                "named" | "driver" | "other" | "System" => size_after(3, row),
                "Shmem" => 0,
                _ => size_after(2, row),
            })
            .sum();
        let shmem = rows.last().unwrap();
        assert_eq!(shmem[0], "Shmem");
        assert_eq!(sum, size_after(2, shmem), "{rows:?}");
        let without_header = table(&["--summary", "--no-header"]);
        assert_eq!(
            without_header[0],
            ["named", "objects", "1", "8KiB", "/dev/shm"]
        );
    });
}

#[test]
fn json_has_all_kinds_in_bytes() {
    in_private_shm("size=4m", || {
        fs::create_dir("/dev/shm/directory").unwrap();
        fs::write("/dev/shm/directory/file", [1; 5000]).unwrap();
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        fs::hard_link("/dev/shm/x", "/dev/shm/y").unwrap();
        let summary = json(&["--summary"]);
        let kinds = summary["kinds"].as_object().unwrap();
        assert_eq!(kinds.len(), KINDS.len());
        for kind in KINDS {
            let members = &kinds[kind];
            assert_eq!(
                members["count"].is_u64(),
                kind != "unlinked",
                "{kind}: {members}"
            );
            assert!(
                members["bytes"].is_u64() && members["partial"].is_boolean(),
                "{members}"
            );
        }
        for (kind, count, bytes) in [("named", 2, 8192), ("directories", 1, 8192)] {
            assert_eq!(
                (&kinds[kind]["count"], &kinds[kind]["bytes"]),
                (&Value::from(count), &Value::from(bytes)),
                "{kind}"
            );
        }
        assert_eq!(kinds["unlinked"]["bytes"], 0);
        // The private /dev/shm covers another one.
        let places = kinds["other_containers"]["file_systems"]
            .as_array()
            .unwrap();
        for place in places {
            assert_eq!(place["mount_point"], "/dev/shm");
            assert_eq!(place["place"], format!("pid:{}", place["pid"]));
            assert!(place["bytes"].is_u64() && place["device"].is_string());
        }
        assert!(summary["uninspected_processes"].is_u64());
        assert!(summary["uncounted_ipc_namespaces"].is_u64());
        assert!(summary["container"].is_boolean());
    });
}

#[test]
fn without_a_limit_nobody_knows_what_is_unlinked() {
    in_private_shm("size=0", || {
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        let kinds = &json(&["--summary"])["kinds"];
        assert_eq!(kinds["named"]["bytes"], 8192);
        assert_eq!(kinds["unlinked"]["bytes"], Value::Null);
        let rows = table(&["--summary"]);
        assert_eq!(rows[4][..3], ["unlinked", "-", "?"]);
    });
}

/// The entry of a file system in the JSON.
fn file_system(summary: &Value, kind: &str, mount_point: &str) -> Value {
    let list = summary["kinds"][kind]["file_systems"].as_array().unwrap();
    let mut found = list.iter().filter(|one| one["mount_point"] == mount_point);
    found.next().cloned().unwrap_or_default()
}

#[test]
fn mount_points_are_shown_without_control_characters() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let _lock = lock();
        let directory = tempfile::tempdir().unwrap();
        let hostile = directory.path().join("a b\n\u{1b}[31m\\040");
        let bytes = directory.path().join(OsStr::from_bytes(b"\xff"));
        for path in [&hostile, &bytes] {
            fs::create_dir(path).unwrap();
            mount_tmpfs(path.as_os_str(), "size=64m");
            fs::write(path.join("file"), vec![1; 16 << 20]).unwrap();
        }
        let shown = run(&mut shmtool(["ls", "--summary"]));
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(!text.contains('\u{1b}'), "{text}");
        let summary = json(&["--summary"]);
        // Only the largest are shown.
        if summary["kinds"]["other_tmpfs"]["file_systems"][3]["bytes"].as_u64() < Some(16 << 20) {
            let shown = [r"/a b\n\u{1b}[31m\\040 16MiB", r"/\xff 16MiB"];
            assert!(shown.iter().all(|one| text.contains(one)), "{text}");
        }
        let found = file_system(&summary, "other_tmpfs", hostile.to_str().unwrap());
        assert_eq!(found["bytes"], 16 << 20);
        let found = file_system(&summary, "other_tmpfs", &bytes.to_string_lossy());
        assert_eq!(
            found["mount_point_bytes"].as_array().unwrap().last(),
            Some(&Value::from(255))
        );
        // A file system that another one hides is still measured.
        mount_tmpfs(hostile.as_os_str(), "size=64m");
        let summary = json(&["--summary"]);
        let list = summary["kinds"]["other_tmpfs"]["file_systems"]
            .as_array()
            .unwrap();
        let covered = |one: &&Value| {
            one["mount_point"] == hostile.to_str().unwrap() && one["covered"] == true
        };
        let covered = list.iter().find(covered).expect("it is listed");
        assert_eq!(covered["bytes"], 16 << 20);
    });
}

#[test]
fn a_part_of_a_file_system_as_dev_shm_does_not_count_the_rest_as_unlinked() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        mount_tmpfs(directory.path().as_os_str(), "size=64m");
        let part = directory.path().join("part");
        fs::create_dir(&part).unwrap();
        fs::write(directory.path().join("rest"), vec![1; 1 << 20]).unwrap();
        fs::write(part.join("x"), vec![1; 8192]).unwrap();
        let none = None::<&str>;
        mount(Some(&part), "/dev/shm", none, MsFlags::MS_BIND, none).unwrap();
        let summary = json(&["--summary"]);
        assert_eq!(summary["kinds"]["named"]["bytes"], 8192);
        assert_eq!(summary["kinds"]["unlinked"]["bytes"], Value::Null);
        let rest = file_system(&summary, "other_tmpfs", directory.path().to_str().unwrap());
        assert_eq!(rest["bytes"], 1 << 20);
    });
}

#[test]
fn without_ustat_mounts_of_our_own_are_measured_by_path() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        mount_tmpfs(directory.path().as_os_str(), "size=64m");
        fs::write(directory.path().join("file"), vec![1; 1 << 20]).unwrap();
        for fault in ["ustat:error=ENOSYS", "ustat,openat2:error=EPERM"] {
            let inject = format!("inject={fault}");
            let Some(mut ls) = strace(&["-e", &inject], ["ls", "--summary", "-J"]) else {
                return;
            };
            let shown = run(&mut ls);
            let summary = serde_json::from_slice(&shown.stdout).expect(&shown.stderr);
            let path = directory.path().to_str().unwrap();
            let found = file_system(&summary, "other_tmpfs", path);
            assert_eq!(found["bytes"], 1 << 20, "{fault}");
        }
    });
}

#[test]
fn other_users_see_less_and_are_told_so() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        let shown = run(as_nobody(&mut shmtool(["ls", "--summary", "-J"])));
        assert!(shown.status.success(), "{shown:?}");
        let summary: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(summary["kinds"]["named"]["bytes"], 8192);
        assert_eq!(summary["kinds"]["memfds"]["partial"], true);
        assert!(
            shown.stderr.contains("could not be inspected ("),
            "{shown:?}"
        );
    });
}

#[test]
fn in_a_container_a_message_says_that_shmem_is_that_of_the_machine() {
    in_private_shm("size=4m", || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]);
        let works = unshare.arg("true").output();
        if !works.is_ok_and(|ended| ended.status.success()) {
            return skipped("no PID namespace");
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]);
        let shown = run(unshare
            .arg(env!("CARGO_BIN_EXE_shmtool"))
            .args(["ls", "--summary", "-J"]));
        assert!(
            shown.stderr.contains("Shmem is that of the whole machine"),
            "{shown:?}"
        );
        let summary: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(summary["container"], true);
    });
}

#[test]
fn a_file_server_that_never_answers_does_not_delay_the_summary() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        // Nobody reads the requests from the descriptor.
        const STUCK: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
call("unshare", 0x00020000)
call("mount", b"none", b"/", None, 0x44000, None)
call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=8m")
fuse = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse
if libc.mount(b"stuck", b"/dev", b"fuse", 0, options) == 0:
    inside = os.open("/dev", 0o10000000)
    print("stuck", flush=True)
sys.stdin.read()
"#;
        let Some(mut python) = python(STUCK, &[]) else {
            return;
        };
        let mut peer = Peer::start(&mut python);
        if !fs::exists("/dev/fuse").unwrap() || peer.line() != "stuck" {
            return skipped("no FUSE");
        }
        let start = Instant::now();
        measure();
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn other_options_are_usage_errors() {
    for args in [
        &["x"][..],
        &["-p"],
        &["-a"],
        &["-q"],
        &["-o", "name"],
        &["--sort", "name"],
        &["-r"],
        &["-n"],
        &["--color", "never"],
        &["--unlinked"],
        &["--in-use"],
        &["--unused"],
        &["--glob", "x"],
        &["--owner", "0"],
        &["--older-than", "1h"],
        &["--larger-than", "1"],
        &["--pid", "1"],
    ] {
        run(shmtool(["ls", "--summary"]).args(args)).fails(2);
    }
    run(&mut shmtool(["ls", "--summary", "--glob", "x"]))
        .fails(2)
        .says("--summary cannot be used with --glob PATTERN");
    output_fails(&mut shmtool(["ls", "--summary"]));
}
