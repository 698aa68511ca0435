//! `--until`: conditions, timeouts, and what is rejected.

mod cost;
mod objects;

use crate::common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

/// Long enough for a waiter to start, or to check the integer again, and to fall asleep. If it is not, the tests pass
/// anyway.
const TIME_TO_FALL_ASLEEP: Duration = Duration::from_millis(150);

/// Starts a waiter, and gives it the time to fall asleep.
fn spawn_waiter(condition: &str, name: &Name) -> Child {
    let mut waiter = spawn(shmtool(["read-int", "--until", condition]).arg(name));
    sleep(TIME_TO_FALL_ASLEEP);
    assert!(
        waiter.try_wait().unwrap().is_none(),
        "the waiter ended early"
    );
    waiter
}

fn write(name: &Name, value: &str) {
    run(shmtool(["write-int"]).arg(name).arg(value)).prints("");
}

/// Replaces the object by a new one, without shmtool.
fn replace_object(name: &Name, value: i32) {
    let new = name.path().with_extension("new");
    fs::write(&new, value.to_ne_bytes()).unwrap();
    fs::rename(new, name.path()).unwrap();
}

#[test]
fn the_integer_is_printed_when_the_condition_holds() {
    let name = Name::holding((-1_i32).to_ne_bytes());
    for (condition, value, other) in [
        ("3", "3", "2"),
        ("eq:4", "4", "3"),
        ("ne:4", "5", "4"),
        ("lt:-5", "-6", "-5"),
        ("le:-7", "-7", "-6"),
        ("gt:10", "11", "10"),
        ("ge:0x10", "17", "15"),
        ("-5", "-5", "5"),
        ("0xffffffff", "-1", "1"),
    ] {
        write(&name, other);
        let waiter = spawn_waiter(condition, &name);
        write(&name, value);
        finish(waiter).prints(format!("{value}\n"));
    }
}

#[test]
fn a_condition_that_already_holds_needs_no_waiting() {
    let name = Name::holding(7_i32.to_ne_bytes());
    run(shmtool(["read-int", "--until", "ge:7", "--timeout", "0", "-x"]).arg(&name))
        .prints("0x00000007\n");
    let name = Name::new();
    fs::File::create(name.path()).unwrap().set_len(4).unwrap();
    run(shmtool(["read-int", "--until=0", "--timeout=0"]).arg(&name)).prints("0\n");
}

#[test]
fn with_count_the_condition_applies_to_the_first_integer() {
    let name = Name::holding([0; 12]);
    let waiter = spawn(shmtool(["read-int", "--until", "1", "--count", "all"]).arg(&name));
    sleep(TIME_TO_FALL_ASLEEP);
    run(shmtool(["write-int", "--offset", "4"])
        .arg(&name)
        .args(["-2", "3"]))
    .prints("");
    write(&name, "1");
    finish(waiter).prints("1\n-2\n3\n");
}

#[test]
fn until_works_with_every_type() {
    for (int_type, value) in [
        ("i8", "-128"),
        ("u8", "255"),
        ("i16", "-32768"),
        ("u16", "65535"),
        ("i32", "-2147483648"),
        ("u32", "4294967295"),
        ("i64", "-9223372036854775808"),
        ("u64", "0x100000000"),
    ] {
        // An 8-bit integer is the last byte of an object of 7 bytes: its futex word extends beyond the object.
        let width = int_type[1..].parse::<usize>().unwrap() / 8;
        let name = Name::holding(vec![1; 4 + width.next_multiple_of(4).min(3 * width)]);
        let offset =
            (fs::metadata(name.path()).unwrap().len() as usize / width * width - width).to_string();
        let location = ["-t", int_type, "--offset", &offset];
        let waiter = spawn(
            shmtool(["read-int", "--hex", "--until", value])
                .args(location)
                .arg(&name),
        );
        sleep(Duration::from_millis(50));
        run(shmtool(["write-int"]).args(location).arg(&name).arg(value)).prints("");
        let hex = run(shmtool(["read-int", "-x"]).args(location).arg(&name)).stdout;
        finish(waiter).prints(hex);
    }
}

#[test]
fn stores_by_programs_that_wake_nobody_are_noticed() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut program = Peer::start(Command::new(c).arg("assign").arg(&name));
    for value in ["5", "-6"] {
        let waiter = spawn_waiter(value, &name);
        assert_eq!(program.ask(value), value);
        finish(waiter).prints(format!("{value}\n"));
    }
}

#[test]
fn a_timeout_reports_what_was_seen_last() {
    let name = Name::new();
    let timed_out = |condition: &str, seen: &str| {
        for timeout in ["0", "0.05", "30ms"] {
            run(shmtool(["read-int", "--until", condition, "--timeout", timeout]).arg(&name))
                .fails(124)
                .says(format!("{name}: timed out waiting for {condition}: {seen}"));
        }
    };
    timed_out("ge:4", "no such object");
    fs::write(name.path(), "abc").unwrap();
    timed_out("0", "the object has only 3 bytes");
    fs::write(name.path(), 3_i32.to_ne_bytes()).unwrap();
    timed_out("-4", "the value is 3");
    fs::File::create(name.path()).unwrap().set_len(4).unwrap();
    timed_out("gt:0x0", "the value is 0");
}

#[test]
fn invalid_conditions_timeouts_and_objects_are_rejected() {
    let name = Name::holding([0; 16]);
    let until = |args: &[&str]| run(shmtool(["read-int"]).args(args).arg(&name));
    until(&["--until", "5", "--offset", "2"])
        .fails(2)
        .says("--until needs an offset that is a multiple of 4 (the width of i32), not 2");
    until(&["--until", "200", "-t", "i8"])
        .fails(2)
        .says("200: out of range: i8 is -128 to 127");
    until(&["--until", "is:5"]).fails(2).says(
        "is:5: not a condition: write VALUE or OP:VALUE, where OP is eq, ne, lt, le, gt or ge",
    );
    until(&["--timeout", "5"]).fails(2);
    for timeout in ["-1", "soon", "1h30"] {
        until(&["--until", "0", "--timeout", timeout]).fails(2).says(format!(
            "{timeout}: not a duration, or too long: use 250ms, 30s, 10m, 4h, 2d, 1h30m, or a number of seconds such as 0.5"
        ));
    }
    fs::remove_file(name.path()).unwrap();
    let waiter = spawn_waiter("1", &name);
    fs::create_dir(name.path()).unwrap();
    finish(waiter).fails(1).says(format!(
        "{name}: not a shared memory object: it is a directory"
    ));
}

#[test]
fn read_permission_is_enough_to_wait() {
    if !is_root() {
        return;
    }
    let name = Name::holding([0; 4]);
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let waiter = spawn(as_nobody(shmtool(["read-int", "--until", "1"]).arg(&name)));
    sleep(TIME_TO_FALL_ASLEEP);
    write(&name, "1");
    finish(waiter).prints("1\n");
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o600)).unwrap();
    run(as_nobody(shmtool(["read-int", "--until", "1"]).arg(&name)))
        .fails(1)
        .says(format!(
            "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
        ));
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
        let Some(mut read) = strace(&["-e", &inject], ["read-int", "--until", "2"]) else {
            return;
        };
        let waiter = spawn(read.arg(&name));
        sleep(TIME_TO_FALL_ASLEEP);
        write(&name, "1");
        sleep(TIME_TO_FALL_ASLEEP);
        write(&name, "2");
        finish(waiter).prints("2\n");
    }
}

#[test]
fn a_stopped_waiter_goes_on_waiting_when_continued() {
    let name = Name::holding([0; 4]);
    let waiter = spawn_waiter("1", &name);
    let pid = Pid::from_raw(waiter.id() as i32);
    for _ in 0..3 {
        kill(pid, Signal::SIGSTOP).unwrap();
        sleep(Duration::from_millis(30));
        kill(pid, Signal::SIGCONT).unwrap();
        sleep(Duration::from_millis(30));
    }
    write(&name, "1");
    finish(waiter).prints("1\n");
}

#[test]
fn the_value_that_met_the_condition_is_printed_even_if_it_has_changed() {
    let name = Name::holding(1_i32.to_ne_bytes());
    // The first search for holes belongs to the wait, the second to printing.
    let inject = "inject=lseek:delay_enter=1000000:when=2";
    let Some(mut read) = strace(&["-e", inject], ["read-int", "--until", "1"]) else {
        return;
    };
    let waiter = spawn(read.arg(&name));
    sleep(Duration::from_millis(500));
    write(&name, "2");
    finish(waiter).prints("1\n");
}
