//! `--follow`: objects that are missing, removed, replaced or truncated.

use super::{Follower, replace_object, set_len, write};
use crate::common::*;
use std::fs;

#[test]
fn a_missing_object_is_waited_for() {
    let name = Name::new();
    let follower = Follower::start(&[], &name);
    follower.stays_silent();
    write(&name, "0");
    follower.prints("0");
}

#[test]
fn a_too_small_object_is_waited_for() {
    let name = Name::holding("");
    let follower = Follower::start(&[], &name);
    follower.stays_silent();
    set_len(&name, 3);
    follower.stays_silent();
    set_len(&name, 4);
    follower.prints("0");
}

#[test]
fn consecutive_lines_differ_across_removal_and_recreation() {
    let name = Name::holding(5_i32.to_ne_bytes());
    let follower = Follower::start(&[], &name);
    follower.prints("5");
    fs::remove_file(name.path()).unwrap();
    follower.stays_silent();
    write(&name, "5");
    follower.stays_silent();
    replace_object(&name, 5);
    follower.stays_silent();
    write(&name, "6");
    follower.prints("6");
    fs::remove_file(name.path()).unwrap();
    follower.stays_silent();
    write(&name, "5");
    follower.prints("5");
}

#[test]
fn an_object_that_is_replaced_again_and_again_is_followed() {
    let name = Name::holding([0; 4]);
    let follower = Follower::start(&[], &name);
    follower.prints("0");
    for value in 1..=100 {
        replace_object(&name, value);
    }
    follower.reaches("100");
    write(&name, "101");
    follower.prints("101");
}

#[test]
fn a_truncated_object_that_grows_again_is_followed() {
    let name = Name::holding([1; 8192]);
    let follower = Follower::start(&["--offset", "4096"], &name);
    follower.prints("16843009");
    for size in [4098, 0] {
        set_len(&name, size);
        follower.stays_silent();
    }
    set_len(&name, 8192);
    follower.prints("0");
    run(shmtool(["write-int", "--offset", "4096"])
        .arg(&name)
        .arg("5"))
    .prints("");
    follower.prints("5");
}

#[test]
fn a_directory_that_takes_the_name_ends_the_following() {
    let name = Name::new();
    let child = spawn(shmtool(["read-int", "--follow"]).arg(&name));
    std::thread::sleep(super::A_MOMENT);
    fs::create_dir(name.path()).unwrap();
    finish(child).fails(1).says(format!(
        "{name}: not a shared memory object: it is a directory"
    ));
}
