//! `--follow`: which values are printed, and how.

use super::{Follower, write};
use crate::common::*;
use shmtool::sys::memory::int::{Int, IntType};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn the_value_is_printed_now_and_after_every_change() {
    let name = Name::holding(7_i32.to_ne_bytes());
    let follower = Follower::start(&[], &name);
    follower.prints("7");
    // Each line must be there before the next change: it is written at once.
    for value in ["8", "-1", "0", "2147483647", "8"] {
        write(&name, value);
        follower.prints(value);
    }
}

#[test]
fn a_write_that_does_not_change_the_value_prints_nothing() {
    let name = Name::holding(7_i32.to_ne_bytes());
    let follower = Follower::start(&[], &name);
    follower.prints("7");
    write(&name, "7");
    run(shmtool(["write-int", "--add"]).arg(&name).arg("0")).prints("7\n");
    follower.stays_silent();
    write(&name, "8");
    follower.prints("8");
}

#[test]
fn stores_by_a_program_that_wakes_nobody_are_printed() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut program = Peer::start(Command::new(c).arg("assign").arg(&name));
    let follower = Follower::start(&[], &name);
    follower.prints("0");
    for value in ["5", "-6", "0"] {
        assert_eq!(program.ask(value), value);
        follower.prints(value);
    }
}

#[test]
fn the_last_value_is_always_printed_and_no_line_comes_twice() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let start = Instant::now();
    let follower = Follower::start(&["--timeout", "1.5"], &name);
    let mut add = Command::new(c);
    let mut adding = add.arg("add").arg(&name).arg("2000000000").spawn().unwrap();
    sleep(Duration::from_millis(700));
    adding.kill().unwrap();
    adding.wait().unwrap();
    let last = run(shmtool(["read-int"]).arg(&name)).stdout;
    let (status, lines) = follower.ends();
    let elapsed = start.elapsed();
    assert_eq!(status, Some(124));
    let last = String::from_utf8(last).unwrap();
    assert_eq!(lines.last().map(String::as_str), Some(last.trim_end()));
    // The value only grows.
    let values: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a < b), "{values:?}");
    // After each line, at least a millisecond passes.
    assert!(
        values.len() as u128 <= elapsed.as_millis() + 1,
        "{elapsed:?}"
    );
}

#[test]
fn every_type_is_followed_in_both_orders() {
    for int_type in IntType::ALL {
        for order in ["big", "little"] {
            let width = int_type.width();
            let offset = (2 * width).to_string();
            let location = [
                "-t",
                int_type.name(),
                "--endian",
                order,
                "--offset",
                &offset,
            ];
            let name = Name::holding(vec![0; 3 * width]);
            let follower = Follower::start(&location, &name);
            let hex = Follower::start(&[&location[..], &["--hex"]].concat(), &name);
            let mut int = Int::zero(int_type);
            follower.prints("0");
            hex.prints(&format!("{int:#x}"));
            for value in [1, int_type.max(), int_type.min(), int_type.max() - 1] {
                if value == int.value() {
                    continue;
                }
                int = Int::new(int_type, value).unwrap();
                let value = value.to_string();
                run(shmtool(["write-int"]).args(location).arg(&name).arg(&value)).prints("");
                follower.prints(&value);
                hex.prints(&format!("{int:#x}"));
            }
        }
    }
}

#[test]
fn following_changes_nothing_and_allocates_nothing() {
    let name = Name::holding([0; 4]);
    let hole = Name::holding("");
    super::set_len(&hole, 4096);
    let snapshot = |name: &Name| {
        let now = fs::metadata(name.path()).unwrap();
        (
            now.len(),
            now.blocks(),
            now.modified().unwrap(),
            now.ctime_nsec(),
        )
    };
    let before = [&name, &hole].map(snapshot);
    let followers = [&name, &hole].map(|name| Follower::start(&[], name));
    for follower in &followers {
        follower.prints("0");
        follower.stays_silent();
    }
    assert_eq!([&name, &hole].map(snapshot), before);
    write(&hole, "5");
    followers[1].prints("5");
}

#[test]
fn read_permission_is_enough_to_follow() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return;
    }
    let name = Name::holding([0; 4]);
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o604)).unwrap();
    let mut command = shmtool(["read-int", "--follow"]);
    let follower = Follower::spawn(as_nobody(command.arg(&name)));
    follower.prints("0");
    write(&name, "1");
    follower.prints("1");
}

#[test]
fn several_processes_can_follow_the_same_integer() {
    let name = Name::holding([0; 4]);
    let followers: Vec<_> = (0..5).map(|_| Follower::start(&[], &name)).collect();
    for value in ["0", "1", "2"] {
        if value != "0" {
            write(&name, value);
        }
        for follower in &followers {
            follower.prints(value);
        }
    }
}
