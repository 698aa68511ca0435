//! Who uses what.

use crate::common::*;
use crate::{json, table};
use std::fs;
use std::process::Command;

/// A holder has the object mapped, and no descriptor for it.
fn holder(c: &std::path::Path, how: &str, name: &str) -> (Peer, u32) {
    let mut peer = Peer::start(Command::new(c).args([how, name]));
    peer.ask("0");
    let pid = peer.id();
    (peer, pid)
}

#[test]
fn each_process_is_shown_with_how_it_uses_the_object() {
    let test = "processes::each_process_is_shown_with_how_it_uses_the_object";
    let Some(c) = c_program() else { return };
    in_private_shm(test, "size=4m", || {
        for name in ["both", "free", "read"] {
            fs::write(format!("/dev/shm/{name}"), [0; 4]).unwrap();
        }
        let (_one, reader) = holder(c, "hold", "/read");
        let (_two, writer) = holder(c, "assign", "/both");
        let mut opener = Command::new("sh");
        let script = "exec 3< /dev/shm/both 4>> /dev/shm/free; echo; read line";
        let mut opener = Peer::start(opener.args(["-c", script]));
        opener.line();
        let opener_pid = opener.id();

        let cells = |name: &str| {
            let rows = table(&["-o", "processes", name]);
            rows[1].join(" ")
        };
        assert_eq!(cells("read"), format!("{reader} counterpart (mapped r)"));
        assert_eq!(cells("free"), format!("{opener_pid} sh (open w)"));
        let mut both = [
            format!("{writer} counterpart (mapped rw)"),
            format!("{opener_pid} sh (open r)"),
        ];
        both.sort_by_key(|text| cells("both").find(text.as_str()));
        assert_eq!(cells("both"), both.join(", "));
        drop(opener);
        assert_eq!(cells("free"), "-");
        assert_eq!(table(&["-p"])[0].last().unwrap(), "PROCESSES");
        assert_eq!(
            json(&["-p", "read"])["objects"][0]["processes"],
            json!([{ "pid": reader, "command": "counterpart", "mapped": "r", "open": null }])
        );
        assert_eq!(json(&["read"])["objects"][0].get("processes"), None);
    });
}

#[test]
fn memory_without_a_name_is_listed_with_who_holds_it() {
    let test = "processes::memory_without_a_name_is_listed_with_who_holds_it";
    let Some(c) = c_program() else { return };
    in_private_shm(test, "size=4m", || {
        for name in ["gone", "there", "sem.gone", "new\nline (deleted)"] {
            fs::write(format!("/dev/shm/{name}"), [1; 5000]).unwrap();
        }
        let (_gone, pid) = holder(c, "hold", "/gone");
        let (_there, _) = holder(c, "hold", "/there");
        let (_semaphore, _) = holder(c, "hold", "/sem.gone");
        let (_line, _) = holder(c, "hold", "/new\nline (deleted)");
        assert_eq!(table(&["--unlinked"]).len(), 1);
        fs::remove_file("/dev/shm/gone").unwrap();
        fs::remove_file("/dev/shm/sem.gone").unwrap();
        // A new object of an old name is another one.
        fs::write("/dev/shm/gone", "").unwrap();
        let rows = table(&["--unlinked", "-b"]);
        assert_eq!(rows.len(), 2);
        // Of what is mapped only, and may not be looked at more closely, the size is that of the pages.
        assert_eq!(rows[1][0], "/gone");
        assert!(["5000", "8192"].contains(&rows[1][1].as_str()), "{rows:?}");
        assert_eq!(
            rows[1][rows[1].len() - 4..].join(" "),
            format!("{pid} counterpart (mapped r)")
        );
        assert_eq!(table(&["--unlinked", "-a"]).len(), 3);
        assert_eq!(table(&["--unlinked", "--glob", "x*"]).len(), 1);
        fs::remove_file("/dev/shm/new\nline (deleted)").unwrap();
        let listing = json(&["--unlinked", "-g", "new*"]);
        assert_eq!(listing["objects"][0]["name"], "/new\nline (deleted)");
        run(&mut shmtool(["ls", "--unlinked", "gone"])).fails(2);
        run(&mut shmtool(["ls", "--unlinked", "--unused"])).fails(2);
    });
}

#[test]
fn one_that_is_open_is_known_in_full_though_its_name_is_gone() {
    in_private_shm(
        "processes::one_that_is_open_is_known_in_full_though_its_name_is_gone",
        "size=4m",
        || {
            run(&mut shmtool(["create", "-s", "5000", "-m", "640", "gone"])).prints("");
            let mut opener = Command::new("sh");
            let mut opener =
                Peer::start(opener.args(["-c", "exec 3< /dev/shm/gone; echo; read line"]));
            opener.line();
            fs::remove_file("/dev/shm/gone").unwrap();
            let rows = table(&["--unlinked", "-o", "name,size,used,mode,links,processes"]);
            let processes = format!("{} sh (open r)", opener.id());
            assert_eq!(
                rows[1].join(" "),
                format!("/gone 4.88KiB 8KiB rw-r----- 0 {processes}")
            );
        },
    );
}

#[test]
fn processes_that_may_not_be_inspected_are_counted() {
    in_private_shm(
        "processes::processes_that_may_not_be_inspected_are_counted",
        "size=4m",
        || {
            if !is_root() {
                return;
            }
            fs::write("/dev/shm/x", "").unwrap();
            let listed = run(as_nobody(&mut shmtool(["ls", "-p", "-o", "name"])));
            assert_eq!(&listed.stdout[..], b"NAME\n/x\n");
            run(as_nobody(&mut shmtool(["ls", "-p", "-q"]))).prints("/x\n");
            let stderr = listed.stderr;
            assert!(
                stderr.starts_with("shmtool: ")
                    && stderr.ends_with(" processes may not be inspected\n"),
                "{stderr}"
            );
            assert_eq!(stderr.lines().count(), 1);
        },
    );
}

#[test]
fn a_process_cannot_call_itself_what_a_terminal_acts_on() {
    in_private_shm(
        "processes::a_process_cannot_call_itself_what_a_terminal_acts_on",
        "size=4m",
        || {
            fs::write("/dev/shm/x", "").unwrap();
            let directory = tempfile::tempdir().unwrap();
            let shell = directory.path().join("e\u{1b}[2J\n) 1");
            fs::copy("/bin/sh", &shell).unwrap();
            let mut evil = Command::new(shell);
            let mut evil = Peer::start(evil.args(["-c", "exec 3< /dev/shm/x; echo; read line"]));
            evil.line();
            let rows = table(&["-o", "processes"]);
            assert_eq!(
                rows[1].join(" "),
                format!(r"{} e\u{{1b}}[2J\n) 1 (open r)", evil.id())
            );
        },
    );
}

#[test]
fn a_process_whose_first_thread_has_ended_is_shown() {
    let test = "processes::a_process_whose_first_thread_has_ended_is_shown";
    let Some(c) = c_program() else { return };
    in_private_shm(test, "size=4m", || {
        fs::write("/dev/shm/x", [0; 4]).unwrap();
        let (_holder, pid) = holder(c, "leaderless", "/x");
        let rows = table(&["-o", "processes"]);
        assert_eq!(rows[1].join(" "), format!("{pid} counterpart (mapped r)"));
        fs::remove_file("/dev/shm/x").unwrap();
        assert_eq!(table(&["--unlinked"]).len(), 2);
    });
}

#[test]
fn what_cannot_be_known_passes_no_filter_that_asks_for_it() {
    let test = "processes::what_cannot_be_known_passes_no_filter_that_asks_for_it";
    let Some(c) = c_program() else { return };
    in_private_shm(test, "size=4m", || {
        fs::write("/dev/shm/gone", [0; 4]).unwrap();
        let (_holder, _) = holder(c, "hold", "/gone");
        fs::remove_file("/dev/shm/gone").unwrap();
        assert_eq!(table(&["--unlinked", "--older-than", "1h"]).len(), 1);
        assert_eq!(table(&["--unlinked", "--owner", "4000000000"]).len(), 1);
    });
}
