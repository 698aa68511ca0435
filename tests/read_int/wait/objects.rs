//! `--until`: objects that are missing, too small, removed, replaced or truncated.

use super::{TIME_TO_FALL_ASLEEP, replace_object, spawn_waiter, write};
use crate::common::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::thread::sleep;

#[test]
fn a_missing_object_is_waited_for() {
    let name = Name::new();
    let first = spawn_waiter("5", &name);
    write(&name, "4");
    sleep(TIME_TO_FALL_ASLEEP);
    write(&name, "5");
    finish(first).prints("5\n");

    let Some(c) = c_program() else { return };
    fs::remove_file(name.path()).unwrap();
    let second = spawn_waiter("6", &name);
    run(Command::new(c).arg("write").arg(&name).arg("6")).prints("");
    finish(second).prints("6\n");
}

#[test]
fn a_too_small_object_is_waited_for() {
    let name = Name::holding("");
    let waiter = spawn_waiter("0", &name);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(3).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    file.set_len(4).unwrap();
    finish(waiter).prints("0\n");
}

#[test]
fn a_removed_and_recreated_object_is_followed() {
    let name = Name::holding([0; 4]);
    // A program that still maps the old object may go on changing it.
    let old = fs::File::options().write(true).open(name.path()).unwrap();
    let by_removal = spawn_waiter("7", &name);
    fs::remove_file(name.path()).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    write(&name, "7");
    finish(by_removal).prints("7\n");
    old.write_all_at(&8_i32.to_ne_bytes(), 0).unwrap();
    let by_rename = spawn_waiter("9", &name);
    replace_object(&name, 9);
    finish(by_rename).prints("9\n");
    let again_and_again = spawn_waiter("50", &name);
    for value in 10..=50 {
        replace_object(&name, value);
    }
    finish(again_and_again).prints("50\n");
}

#[test]
fn a_truncated_object_that_grows_again_is_followed() {
    let name = Name::holding([1; 8192]);
    let waiter = spawn(shmtool(["read-int", "--until", "5", "--offset", "4096"]).arg(&name));
    sleep(TIME_TO_FALL_ASLEEP);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(0).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    file.set_len(8192).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    run(shmtool(["write-int", "--offset", "4096"])
        .arg(&name)
        .arg("5"))
    .prints("");
    finish(waiter).prints("5\n");
}

#[test]
fn waiting_for_an_object_that_stays_removed_times_out() {
    let name = Name::holding([0; 4]);
    let waiter = spawn(shmtool(["read-int", "--until", "1", "--timeout", "400ms"]).arg(&name));
    sleep(TIME_TO_FALL_ASLEEP);
    fs::remove_file(name.path()).unwrap();
    finish(waiter)
        .fails(124)
        .says(format!("{name}: timed out waiting for 1: no such object"));
}
