//! `--wait`: objects that are missing, too small, removed, replaced, truncated or grown meanwhile.

use super::{
    TIME_TO_FALL_ASLEEP, replace_object, set_len, spawn_waiter, still_waits, stored, write,
    write_int,
};
use crate::common::*;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

#[test]
fn a_too_small_object_is_waited_for() {
    let name = Name::holding("ab");
    let waiter = spawn_waiter(&["--if", "0", "NAME", "5"], &name);
    set_len(&name, 3);
    let waiter = still_waits(waiter);
    // The first bytes stay.
    set_len(&name, 8);
    let waiter = still_waits(waiter);
    write(&name, "0");
    finish(waiter).prints("");
    assert_eq!(
        fs::read(name.path()).unwrap(),
        [5_i32.to_ne_bytes(), [0; 4]].concat()
    );
}

#[test]
fn an_object_that_shrinks_is_waited_for() {
    let name = Name::holding([1; 8192]);
    let args = ["--offset", "4096", "--if", "5", "--add", "NAME", "1"];
    let waiter = spawn_waiter(&args, &name);
    for size in [4098, 2, 8192] {
        set_len(&name, size);
        sleep(TIME_TO_FALL_ASLEEP);
    }
    let waiter = still_waits(waiter);
    run(&mut write_int(&["--offset", "4096", "NAME", "5"], &name)).prints("");
    finish(waiter).prints("6\n");
}

#[test]
fn an_object_that_becomes_empty_counts_as_0() {
    let name = Name::holding(9_i32.to_ne_bytes());
    let waiter = spawn_waiter(&["--if", "0", "--swap", "NAME", "5"], &name);
    set_len(&name, 0);
    finish(waiter).prints("0\n");
    assert_eq!(stored(&name), 5);

    let waiter = spawn_waiter(&["--if", "ge:8", "--add", "NAME", "1"], &name);
    set_len(&name, 0);
    let waiter = still_waits(waiter);
    assert_eq!(fs::read(name.path()).unwrap(), b"");
    write(&name, "8");
    finish(waiter).prints("9\n");
}

#[test]
fn the_next_one_gets_a_lock_that_is_removed() {
    let name = Name::holding(9_i32.to_ne_bytes());
    let waiter = spawn_waiter(&["--if", "0", "NAME", "5"], &name);
    fs::remove_file(name.path()).unwrap();
    finish(waiter).prints("");
    assert_eq!(stored(&name), 5);
}

#[test]
fn a_removed_and_recreated_object_is_followed() {
    let name = Name::holding([0; 4]);
    // A program that still maps the old object may go on changing it.
    let old = fs::File::options().write(true).open(name.path()).unwrap();
    let waiter = spawn_waiter(&["--if", "7", "--add", "NAME", "1"], &name);
    fs::remove_file(name.path()).unwrap();
    let waiter = still_waits(waiter);
    old.write_all_at(&7_i32.to_ne_bytes(), 0).unwrap();
    let waiter = still_waits(waiter);
    write(&name, "6");
    let waiter = still_waits(waiter);
    write(&name, "7");
    finish(waiter).prints("8\n");
}

#[test]
fn an_object_that_was_removed_during_the_sleep_is_not_changed_any_more() {
    let name = Name::holding([0; 4]);
    let file = fs::File::options().read(true).write(true).open(name.path());
    let removed = file.unwrap();
    let waiter = spawn_waiter(&["--if", "7", "--add", "NAME", "1"], &name);
    fs::remove_file(name.path()).unwrap();
    // The waiter may still sleep on this one. A program that maps it does not expect anybody else.
    removed.write_all_at(&7_i32.to_ne_bytes(), 0).unwrap();
    let waiter = still_waits(waiter);
    write(&name, "7");
    finish(waiter).prints("8\n");
    let mut bytes = [0; 4];
    removed.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(i32::from_ne_bytes(bytes), 7);
}

#[test]
fn with_no_create_a_removed_object_is_waited_for_and_not_created() {
    let name = Name::holding(9_i32.to_ne_bytes());
    let waiter = spawn_waiter(&["--no-create", "--if", "0", "NAME", "5"], &name);
    fs::remove_file(name.path()).unwrap();
    let waiter = still_waits(waiter);
    assert!(!name.path().exists());
    replace_object(&name, 0);
    finish(waiter).prints("");
    assert_eq!(stored(&name), 5);
}

#[test]
fn an_object_that_is_replaced_again_and_again_is_followed() {
    let name = Name::holding([0; 4]);
    let waiter = spawn_waiter(&["--if", "50", "--add", "NAME", "1"], &name);
    for value in 1..=50 {
        replace_object(&name, value);
    }
    finish(waiter).prints("51\n");
    assert_eq!(stored(&name), 51);
}

#[test]
fn a_directory_that_takes_the_name_ends_the_waiting() {
    let name = Name::new();
    let waiter = spawn_waiter(&["--if", "1", "NAME", "5"], &name);
    fs::create_dir(name.path()).unwrap();
    finish(waiter).fails(1).says(format!(
        "{name}: not a shared memory object: it is a directory"
    ));
}

/// Runs `write-int --wait` on an object of zeros, truncates it to `size` at the system call that is delayed, and returns
/// the waiter after the delay.
fn truncated_during(delayed: &str, name: &Name, size: u64) -> Option<Child> {
    let inject = format!("inject={delayed}=1000000:when=1");
    let args = ["write-int", "--if", "0", "--wait"];
    let mut command = strace(&["-e", &inject], args)?;
    let waiter = spawn(command.arg(name).arg("5"));
    truncate_when_open(&waiter, name, size);
    sleep(Duration::from_millis(700));
    Some(waiter)
}

#[test]
fn an_object_that_is_truncated_just_before_the_look_is_followed() {
    // The search for holes is the last system call before the load.
    let name = Name::holding([0; 4]);
    let Some(waiter) = truncated_during("lseek:delay_exit", &name, 0) else {
        return;
    };
    finish(waiter).prints("");
    assert_eq!(stored(&name), 5);

    let name = Name::holding([0; 4]);
    let Some(waiter) = truncated_during("lseek:delay_exit", &name, 2) else {
        return;
    };
    finish_when_grown(waiter, &name);
}

/// Asserts that the waiter takes an object of 2 bytes when it has grown and contains 0 again.
fn finish_when_grown(waiter: Child, name: &Name) {
    let waiter = still_waits(waiter);
    set_len(name, 4);
    // The swap may have changed the 2 bytes before the others were lost.
    write(name, "0");
    finish(waiter).prints("");
    assert_eq!(stored(name), 5);
}

#[test]
fn an_object_that_is_truncated_between_look_and_swap_is_followed() {
    // Memory is reserved after the look and before the swap. A swap behind the end of the object, but within its last page,
    // does not fail, but is lost.
    let name = Name::holding([0; 4]);
    let Some(waiter) = truncated_during("fallocate:delay_enter", &name, 0) else {
        return;
    };
    finish(waiter).prints("");
    assert_eq!(stored(&name), 5);

    let name = Name::holding([0; 4]);
    let Some(waiter) = truncated_during("fallocate:delay_enter", &name, 2) else {
        return;
    };
    finish_when_grown(waiter, &name);
}
