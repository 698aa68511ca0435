//! `--nameless`: all shared memory without a name. Because it lists the memory of all processes, each test has a `/proc`
//! of its own.

use crate::common::*;
use crate::processes::{current_user, spawn_opener};
use crate::{json, table};
use serde_json::Value;
use std::fs;

/// Starts a process that holds memory as the arguments say (see nameless.py), and returns it with the process IDs.
pub fn hold(args: &[&str]) -> Option<(Peer, Vec<u32>)> {
    let mut peer = Peer::start(&mut python(include_str!("nameless.py"), args)?);
    let line = peer.line();
    let pids: Vec<u32> = line
        .split(' ')
        .map(|pid| pid.parse().expect("the memory can be created"))
        .collect();
    Some((peer, pids))
}

/// Encodes the label of a memfd for nameless.py.
fn hex(label: &[u8]) -> String {
    label.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists these columns, without a header.
pub fn rows(columns: &str, args: &[&str]) -> Vec<String> {
    let rows = table(&[&["--nameless", "--no-header", "-o", columns], args].concat());
    rows.iter().map(|row| row.join(" ")).collect()
}

pub fn objects(args: &[&str]) -> Vec<Value> {
    let listing = json(&[&["--nameless"], args].concat());
    listing["objects"].as_array().unwrap().clone()
}

/// Whether `/proc/PID/map_files` may be followed. If not, the size of memory that is only mapped is unknown.
fn may_follow_mappings() -> bool {
    let entry = fs::read_dir("/proc/self/map_files")
        .ok()
        .and_then(|mut entries| entries.next()?.ok());
    entry.is_some_and(|entry| fs::metadata(entry.path()).is_ok())
}

#[test]
fn a_memfd_that_is_open_is_listed() {
    in_private_system("size=1m", || {
        let Some((_holder, pids)) = hold(&[&format!("open={}", hex(b"cache"))]) else {
            return;
        };
        let header = table(&["--nameless"]).remove(0);
        let columns = "TYPE NAME SIZE ALLOCATED OWNER PID USER ACCESS COMMAND";
        assert_eq!(header.join(" "), columns);
        let (pid, me) = (pids[0], current_user());
        assert_eq!(
            rows("type,name,size,allocated,owner,pid,user,access", &["-b"]),
            [format!(
                "memfd memfd:cache 5000 8192 {me} {pid} {me} open rw"
            )]
        );
    });
}

#[test]
fn a_memfd_that_is_only_mapped_is_listed() {
    in_private_system("size=1m", || {
        let args = [hex(b"shared"), hex(b"copied")];
        let args = [
            format!("mapped={}", args[0]),
            format!("private={}", args[1]),
        ];
        let Some((_holder, pids)) = hold(&[&args[0], &args[1]]) else {
            return;
        };
        let sizes = match may_follow_mappings() {
            true => "5000 8192",
            false => "? ?",
        };
        let pid = pids[0];
        assert_eq!(
            rows("name,size,allocated,pid,access", &["-b"]),
            [
                format!("memfd:copied {sizes} {pid} mapped rw private"),
                format!("memfd:shared {sizes} {pid} mapped rw"),
            ]
        );
    });
}

#[test]
fn a_memfd_of_two_processes_is_one_object_with_two_rows() {
    in_private_system("size=1m", || {
        let Some((_holder, mut pids)) = hold(&[&format!("open={}", hex(b"x")), "fork"]) else {
            return;
        };
        let expected: Vec<_> = pids.iter().map(|pid| format!("memfd:x {pid}")).collect();
        assert_eq!(rows("name,pid", &["--sort", "pid"]), expected);
        assert_eq!(rows("name", &[]), ["memfd:x"]);
        let objects = objects(&[]);
        assert_eq!(objects.len(), 1);
        let processes = objects[0]["processes"].as_array().unwrap().iter();
        let mut listed: Vec<_> = processes
            .map(|process| process["pid"].as_u64().unwrap() as u32)
            .collect();
        listed.sort_unstable();
        pids.sort_unstable();
        assert_eq!(listed, pids);
    });
}

#[test]
fn two_memfds_with_the_same_label_are_two_objects() {
    in_private_system("size=1m", || {
        let label = format!("open={}", hex(b"twin"));
        let Some(_holder) = hold(&[&label, &label]) else {
            return;
        };
        assert_eq!(rows("name", &[]), ["memfd:twin", "memfd:twin"]);
    });
}

#[test]
fn an_anonymous_mapping_that_a_family_shares_is_one_object() {
    in_private_system("size=1m", || {
        let Some((_holder, pids)) = hold(&["anonymous", "fork", "fork"]) else {
            return;
        };
        assert_eq!(pids.len(), 3);
        let known = may_follow_mappings();
        let sizes = if known { "12KiB 4KiB" } else { "? ?" };
        let expected: Vec<_> = pids
            .iter()
            .map(|pid| format!("anonymous anonymous {sizes} {pid} mapped rw"))
            .collect();
        let columns = "type,name,size,allocated,pid,access";
        assert_eq!(rows(columns, &["--sort", "pid"]), expected);
        assert_eq!(objects(&[]).len(), 1);
    });
}

#[test]
fn of_dev_zero_only_a_shared_mapping_is_listed() {
    in_private_system("size=1m", || {
        let Some((holder, _)) = hold(&["private-zero"]) else {
            return;
        };
        assert_eq!(rows("name", &[]), [""; 0]);
        drop(holder);
        let (_holder, pids) = hold(&["zero"]).unwrap();
        let expected = format!("anonymous {} mapped rw", pids[0]);
        assert_eq!(rows("name,pid,access", &[]), [expected]);
    });
}

#[test]
fn unlinked_objects_are_listed_too_with_semaphores() {
    in_private_system("size=1m", || {
        for name in ["gone", "sem.gone", "there"] {
            fs::write(format!("/dev/shm/{name}"), [1; 5000]).unwrap();
        }
        let script = "exec 3< /dev/shm/gone 4< /dev/shm/sem.gone 5< /dev/shm/there";
        let (opener, _) = spawn_opener(script);
        fs::remove_file("/dev/shm/gone").unwrap();
        fs::remove_file("/dev/shm/sem.gone").unwrap();
        let pid = opener.id();
        assert_eq!(
            rows("type,name,size,allocated,pid,access", &["-b"]),
            [
                format!("unlinked /gone 5000 8192 {pid} open r"),
                format!("unlinked /sem.gone 5000 8192 {pid} open r"),
            ]
        );
        for pattern in ["gone", "/gone", "/dev/shm/gone"] {
            assert_eq!(rows("name", &["--glob", pattern]), ["/gone"]);
        }
    });
}

#[test]
fn hostile_labels_are_escaped_in_the_table_and_complete_in_json() {
    in_private_system("size=1m", || {
        let labels = [
            &b"\x1b[2J\n/dev/shm/x (deleted)"[..],
            br"back\012slash",
            b"\xff\xfe",
            b"/SYSV00000001 (deleted)",
            b"",
        ];
        let args: Vec<_> = labels
            .iter()
            .map(|label| format!("open={}", hex(label)))
            .collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let Some(_holder) = hold(&args) else {
            return;
        };
        let mut listed = rows("type,name", &[]);
        let mut expected = [
            r"memfd memfd:\u{1b}[2J\n/dev/shm/x (deleted)",
            r"memfd memfd:back\\012slash",
            r"memfd memfd:\xff\xfe",
            "memfd memfd:/SYSV00000001 (deleted)",
            "memfd memfd:",
        ];
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected);
        let objects = objects(&[]);
        for label in labels {
            let name = [b"memfd:", label].concat();
            let is_it = |object: &&Value| match str::from_utf8(&name) {
                Ok(name) => object["name"] == name,
                Err(_) => object["name_bytes"] == serde_json::json!(name),
            };
            assert_eq!(objects.iter().filter(is_it).count(), 1, "{name:?}");
        }
    });
}

#[test]
fn a_backslash_in_the_label_of_mapped_memory_is_not_a_newline() {
    in_private_system("size=1m", || {
        let Some(_holder) = hold(&[&format!("mapped={}", hex(br"a\012b"))]) else {
            return;
        };
        if may_follow_mappings() {
            assert_eq!(rows("name", &[]), [r"memfd:a\\012b"]);
        }
    });
}

#[test]
fn an_unprivileged_user_sees_the_memory_of_their_own_processes() {
    in_private_system("size=1m", || {
        if !is_root() {
            return;
        }
        let ours = format!("open={}", hex(b"root"));
        let Some(_root) = hold(&[&ours, "anonymous", "segment=1"]) else {
            return;
        };
        let theirs = format!("open={}", hex(b"user"));
        let mapped = format!("mapped={}", hex(b"map"));
        let (_user, pids) = hold(&["user", &theirs, &mapped, "anonymous", "segment=2"]).unwrap();
        let columns = "name,size,allocated,owner,pid";
        let mut ls = shmtool(["ls", "--nameless", "-b", "--no-header", "-n", "-o", columns]);
        let listed = run(as_nobody(&mut ls));
        assert!(listed.status.success(), "{listed:?}");
        let text = String::from_utf8(listed.stdout.clone()).unwrap();
        let rows = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let pid = pids[0];
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [
                // The table of the segments is public, but not who uses them.
                "SYSV00000001 8192 4096 0 ?".to_owned(),
                format!("SYSV00000002 8192 4096 65534 {pid}"),
                format!("anonymous ? ? ? {pid}"),
                format!("memfd:map ? ? ? {pid}"),
                format!("memfd:user 5000 8192 65534 {pid}"),
            ]
        );
        assert!(
            listed.stderr.contains("could not be inspected"),
            "{listed:?}"
        );
        let mut ls = shmtool(["ls", "--nameless", "--owner", "65534", "-J"]);
        let listed = run(as_nobody(&mut ls));
        let listing: Value = serde_json::from_slice(&listed.stdout).unwrap();
        // Memory of unknown owners is left out.
        assert_eq!(listing["objects"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn filters_apply_to_memory_without_a_name() {
    in_private_system("size=1m", || {
        let small = format!("open={}", hex(b"small"));
        let Some((_one, one)) = hold(&[&small, "segment=1"]) else {
            return;
        };
        let (_other, other) = hold(&[&small, "lonely=2"]).unwrap();
        let names = |args: &[&str]| rows("name", args);
        assert_eq!(names(&["--glob", "memfd:*"]), ["memfd:small"; 2]);
        let segments = ["SYSV00000001", "SYSV00000002"];
        assert_eq!(names(&["--glob", "!memfd:*"]), segments);
        let used = ["SYSV00000001", "memfd:small"];
        assert_eq!(names(&["--pid", &one[0].to_string()]), used);
        let used = ["memfd:small"];
        assert_eq!(names(&["--pid", &other[0].to_string()]), used);
        assert_eq!(names(&["--larger-than", "4K"]), ["memfd:small"; 2]);
        assert_eq!(names(&["--larger-than", "8K"]), [""; 0]);
        assert_eq!(names(&["--older-than", "1h"]), [""; 0]);
        assert_eq!(names(&["--owner", "4000000000"]), [""; 0]);
        assert_eq!(names(&["--sort", "allocated", "-r"])[0], "SYSV00000002");
        run(&mut shmtool(["ls", "--nameless", "--pid", "4194305"])).fails(1);
    });
}

#[test]
fn options_that_need_names_are_usage_errors() {
    for option in ["name", "--unlinked", "--unused", "--in-use", "-q"] {
        run(&mut shmtool(["ls", "--nameless", option])).fails(2);
    }
}

#[test]
fn json_describes_each_piece_of_memory() {
    in_private_system("size=1m", || {
        let Some((_holder, pids)) = hold(&[&format!("open={}", hex(b"x"))]) else {
            return;
        };
        let object = objects(&[]).remove(0);
        let keys: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
        let mut all = table(&["--nameless", "-o", "all"]).remove(0);
        all.retain(|key| !["PID", "USER", "ACCESS", "COMMAND"].contains(&key.as_str()));
        all.push("PROCESSES".to_owned());
        all.sort_unstable();
        let capitals: Vec<_> = keys.iter().map(|key| key.to_uppercase()).collect();
        assert_eq!(capitals, all);
        assert_eq!(object["type"], "memfd");
        assert_eq!(object["size"], 5000);
        assert_eq!(object["allocated"], 8192);
        assert_eq!(
            (&object["shmid"], &object["key"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(object["processes"][0]["pid"], pids[0]);
        assert_eq!(object["processes"][0]["open"], "rw");
        // Objects with names have no such members.
        fs::write("/dev/shm/x", "").unwrap();
        assert_eq!(json(&[])["objects"][0].get("shmid"), None);
        let chosen = objects(&["-o", "type,pid"]).remove(0);
        assert_eq!(
            chosen,
            serde_json::json!({"type": "memfd", "processes": [{"pid": pids[0]}]})
        );
    });
}

#[test]
fn on_a_terminal_the_total_is_that_of_the_listed_memory() {
    in_private_system("size=1m", || {
        let label = format!("open={}", hex(b"x"));
        let Some(_holder) = hold(&[&label, "fork", &label]) else {
            return;
        };
        let printed = on_terminal(&mut shmtool(["ls", "--nameless", "-o", "name"]));
        let text = String::from_utf8(printed).unwrap();
        assert!(text.ends_with("\n2 objects with 16KiB\n"), "{text}");
    });
}
