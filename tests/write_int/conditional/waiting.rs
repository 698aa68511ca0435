//! `--wait`: what wakes a waiter, and what it changes and prints.

use super::{
    CHANGES, TIME_TO_FALL_ASLEEP, old_object, replace_object, snapshot, spawn_waiter, still_waits,
    stored, write, write_int,
};
use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::thread::sleep;

#[test]
fn every_change_waits_for_its_condition() {
    // The integer is 8 when the condition becomes true. VALUE is 12.
    for (change, new, printed) in CHANGES
        .into_iter()
        .zip(["12", "20", "12", "12", "8", "4"])
        .map(|(change, new)| match change {
            "--type=i32" => (change, new, String::new()),
            "--swap" => (change, new, "8\n".into()),
            _ => (change, new, format!("{new}\n")),
        })
    {
        let name = Name::holding([0; 4]);
        let waiter = spawn_waiter(&[change, "--if", "8", "NAME", "12"], &name);
        write(&name, "7");
        let waiter = still_waits(waiter);
        write(&name, "8");
        finish(waiter).prints(printed);
        assert_eq!(stored(&name).to_string(), new);
    }
}

#[test]
fn every_operator_can_be_waited_for() {
    let cases = [
        ("-3", "-2", "-3"),
        ("eq:-3", "-4", "-3"),
        ("ne:-3", "-3", "-4"),
        ("lt:-3", "-3", "-4"),
        ("le:-3", "-2", "-3"),
        ("gt:-3", "-3", "-2"),
        ("ge:-3", "-4", "-3"),
    ];
    let waiters = cases.map(|(condition, before, then)| {
        let name = Name::holding(before.parse::<i32>().unwrap().to_ne_bytes());
        let args = ["--if", condition, "--swap", "NAME", "100"];
        (spawn(write_int(&args, &name).arg("--wait")), name, then)
    });
    sleep(TIME_TO_FALL_ASLEEP);
    for (mut waiter, name, then) in waiters {
        assert!(waiter.try_wait().unwrap().is_none());
        write(&name, then);
        finish(waiter).prints(format!("{then}\n"));
        assert_eq!(stored(&name), 100);
    }
}

#[test]
fn a_store_by_a_program_that_wakes_nobody_is_noticed() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut program = Peer::start(Command::new(c).arg("assign").arg(&name));
    for value in ["5", "-6"] {
        let waiter = spawn_waiter(&["--if", value, "--add", "NAME", "1"], &name);
        assert_eq!(program.ask(value), value);
        let sum = value.parse::<i32>().unwrap() + 1;
        finish(waiter).prints(format!("{sum}\n"));
    }
}

#[test]
fn a_condition_that_already_holds_needs_no_waiting() {
    let name = Name::holding(7_i32.to_ne_bytes());
    let args = ["--if=ge:7", "--wait", "--timeout=0", "--add", "NAME", "-7"];
    run(&mut write_int(&args, &name)).prints("0\n");
    // A hole, and no object at all.
    fs::File::create(name.path()).unwrap().set_len(4).unwrap();
    let args = ["--if=0", "--wait", "--timeout=0", "NAME", "5"];
    run(&mut write_int(&args, &name)).prints("");
    fs::remove_file(name.path()).unwrap();
    run(&mut write_int(&args, &name)).prints("");
    assert_eq!(stored(&name), 5);
}

#[test]
fn a_timeout_reports_what_was_seen_last_and_changes_nothing() {
    let timed_out = |name: &Name, args: &[&str], condition: &str, seen: &str| {
        for timeout in ["0", "0.05", "30ms"] {
            let all = [
                args,
                &["--if", condition, "--timeout", timeout, "NAME", "1"],
            ]
            .concat();
            run(write_int(&all, name).arg("--wait"))
                .fails(124)
                .says(format!("{name}: timed out waiting for {condition}: {seen}"));
        }
    };
    let name = Name::new();
    timed_out(&name, &[], "ge:1", "no such object");
    timed_out(&name, &["--no-create"], "0", "no such object");
    assert!(!name.path().exists());
    for (bytes, condition, seen) in [
        (&b""[..], "ge:0x1", "the value is 0"),
        (b"abc", "0", "the object has only 3 bytes"),
        (&[0; 4], "ge:1", "the value is 0"),
        (&[0xff; 4], "0", "the value is -1"),
    ] {
        let name = old_object(bytes);
        let before = snapshot(&name);
        timed_out(&name, &[], condition, seen);
        timed_out(&name, &["--add", "--no-create"], condition, seen);
        assert_eq!(snapshot(&name), before);
    }
}

#[test]
fn a_timeout_ends_the_waiting_although_the_integer_changes_all_the_time() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut add = Command::new(c);
    let mut adding = add.arg("add").arg(&name).arg("2000000000").spawn().unwrap();
    let args = ["--if", "-1", "--wait", "--timeout", "0.3", "NAME", "1"];
    let ended = run(&mut write_int(&args, &name));
    adding.kill().unwrap();
    adding.wait().unwrap();
    let expected = format!("shmtool: {name}: timed out waiting for -1: the value is ");
    assert!(ended.fails(124).stderr.starts_with(&expected));
}

#[test]
fn a_missing_object_is_waited_for_unless_0_meets_the_condition() {
    let name = Name::new();
    let waiter = spawn_waiter(&["--if", "ge:1", "--add", "NAME", "-1"], &name);
    assert!(!name.path().exists());
    write(&name, "0");
    let waiter = still_waits(waiter);
    write(&name, "3");
    finish(waiter).prints("2\n");
}

#[test]
fn no_create_waits_for_a_missing_object_whatever_the_condition() {
    let name = Name::new();
    let waiter = spawn_waiter(&["--no-create", "--if", "0", "NAME", "5"], &name);
    assert!(!name.path().exists());
    replace_object(&name, 0);
    finish(waiter).prints("");
    assert_eq!(stored(&name), 5);
}

#[test]
fn an_overflow_after_waiting_is_an_error() {
    let name = Name::holding([0]);
    let args = ["-t", "i8", "--if", "ge:100", "--add", "NAME", "100"];
    let waiter = spawn_waiter(&args, &name);
    run(&mut write_int(&["-t", "i8", "NAME", "101"], &name)).prints("");
    finish(waiter).fails(1).says(format!(
        "{name}: 101 plus 100 is out of range: i8 is -128 to 127"
    ));
    assert_eq!(fs::read(name.path()).unwrap(), [101]);
}

#[test]
fn waiting_changes_nothing_and_allocates_nothing() {
    let (full, empty, hole) = (old_object([0; 4]), old_object(""), old_object(""));
    set_hole(&hole);
    let before = [&full, &empty, &hole].map(snapshot);
    let waiters = [&full, &empty, &hole].map(|name| {
        let args = ["--if", "7", "--add", "NAME", "1"];
        spawn(write_int(&args, name).arg("--wait"))
    });
    sleep(TIME_TO_FALL_ASLEEP);
    assert_eq!([&full, &empty, &hole].map(snapshot), before);
    for (name, waiter) in [full, empty, hole].into_iter().zip(waiters) {
        write(&name, "7");
        finish(waiter).prints("8\n");
    }
}

fn set_hole(name: &Name) {
    super::set_len(name, 4096);
    assert_eq!(fs::metadata(name.path()).unwrap().blocks(), 0);
}

#[test]
fn waiting_works_without_inotify_or_futex() {
    for refused in [
        "inotify_init1:error=EMFILE",
        "inotify_add_watch:error=ENOSPC",
        "futex:error=EFAULT",
    ] {
        let name = Name::new();
        let inject = format!("inject={refused}");
        let args = ["write-int", "--if", "2", "--wait", "--add"];
        let Some(mut command) = strace(&["-e", &inject], args) else {
            return;
        };
        let waiter = still_waits(spawn(command.arg(&name).arg("1")));
        write(&name, "1");
        let waiter = still_waits(waiter);
        write(&name, "2");
        finish(waiter).prints("3\n");
    }
}

#[test]
fn waiting_needs_the_permission_to_write() {
    if !is_root() {
        return;
    }
    let name = Name::holding([0; 4]);
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let args = ["--if", "1", "--wait", "NAME", "2"];
    run(as_nobody(&mut write_int(&args, &name)))
        .fails(1)
        .says(format!(
            "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
        ));
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let waiter = still_waits(spawn(as_nobody(&mut write_int(&args, &name))));
    write(&name, "1");
    finish(waiter).prints("");
    assert_eq!(stored(&name), 2);
}

#[test]
fn all_waiters_are_woken_and_each_change_is_made_once() {
    let name = Name::holding([0; 4]);
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let args = ["--if", "ge:1", "--add", "NAME", "-1"];
            spawn(write_int(&args, &name).arg("--wait"))
        })
        .collect();
    sleep(TIME_TO_FALL_ASLEEP);
    write(&name, "10");
    let mut printed: Vec<_> = waiters
        .into_iter()
        .map(|waiter| {
            let ended = finish(waiter);
            assert!(ended.status.success(), "{ended:?}");
            String::from_utf8(ended.stdout)
                .unwrap()
                .trim()
                .parse::<i32>()
                .unwrap()
        })
        .collect();
    printed.sort_unstable();
    assert_eq!(printed, (0..10).collect::<Vec<_>>());
}
