//! After a change, the name must still lead to the object that was changed. strace delays `write-int` between its look at
//! the integer and its change, and somebody removes the object meanwhile.

use super::{set_len, still_waits, stored, with_name, write, write_int};
use crate::common::*;
use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

/// Memory is reserved between the look and the change.
const BEFORE_CHANGE: &str = "fallocate:delay_enter";

/// The search for holes comes between opening the object and looking at it.
const BEFORE_LOOK: &str = "lseek:delay_exit";

/// Starts `write-int` with these arguments on an object that holds `value`. It is delayed at this system call. Calls
/// `meanwhile` during the delay, and returns after the delay.
fn delayed(
    at: &str,
    value: i32,
    args: &[&str],
    meanwhile: impl FnOnce(&Name),
) -> Option<(Child, Name)> {
    let name = Name::holding(value.to_ne_bytes());
    let inject = format!("inject={at}=1500000:when=1");
    let mut command = strace(&["-e", &inject], ["write-int"])?;
    let child = spawn(command.args(with_name(args, &name)));
    wait_until_open(&child, &name);
    sleep(Duration::from_millis(300));
    meanwhile(&name);
    sleep(Duration::from_millis(1500));
    Some((child, name))
}

/// Removes the object, and creates one that holds `value`.
fn recreate(name: &Name, value: &str) {
    fs::remove_file(name.path()).unwrap();
    run(&mut write_int(&["--if", "0", "NAME", value], name)).prints("");
}

#[test]
fn a_lock_that_was_removed_between_look_and_swap_is_not_taken() {
    let args = ["--if", "0", "--wait", "NAME", "1"];
    let Some((first, name)) = delayed(BEFORE_CHANGE, 0, &args, |name| recreate(name, "2")) else {
        return;
    };
    let first = still_waits(first);
    // The second process still has the lock, and now releases it.
    run(&mut write_int(&["--if", "2", "NAME", "0"], &name)).prints("");
    finish(first).prints("");
    assert_eq!(stored(&name), 1);
}

#[test]
fn a_refused_change_is_refused_by_the_object_that_has_the_name_now() {
    // The old object would meet the condition.
    let args = ["--if", "0", "--swap", "NAME", "1"];
    let Some((child, name)) = delayed(BEFORE_CHANGE, 0, &args, |name| recreate(name, "2")) else {
        return;
    };
    assert_eq!(finish(child).fails(5).stderr, "");
    assert_eq!(stored(&name), 2);
    // Only the new object meets the condition.
    let args = ["--if", "2", "--swap", "NAME", "1"];
    let Some((child, name)) = delayed(BEFORE_LOOK, 0, &args, |name| recreate(name, "2")) else {
        return;
    };
    finish(child).prints("2\n");
    assert_eq!(stored(&name), 1);
}

#[test]
fn stores_and_additions_reach_the_object_that_has_the_name_now() {
    let cases = [
        (&["NAME", "1"][..], "", 1),
        (&["--add", "NAME", "1"], "8\n", 8),
        (&["--swap", "NAME", "1"], "7\n", 1),
        (&["--xor", "NAME", "2"], "5\n", 5),
    ];
    std::thread::scope(|scope| {
        for (args, printed, new) in cases {
            scope.spawn(move || {
                let recreate = |name: &Name| recreate(name, "7");
                let Some((child, name)) = delayed(BEFORE_CHANGE, 40, args, recreate) else {
                    return;
                };
                finish(child).prints(printed);
                assert_eq!(stored(&name), new, "{args:?}");
            });
        }
    });
}

#[test]
fn a_change_of_an_object_that_was_removed_creates_it_again_unless_no_create_is_given() {
    let remove = |name: &Name| fs::remove_file(name.path()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let args = ["--add", "NAME", "1"];
            let Some((child, name)) = delayed(BEFORE_CHANGE, 40, &args, remove) else {
                return;
            };
            finish(child).prints("1\n");
            assert_eq!(stored(&name), 1);
        });
        scope.spawn(|| {
            let args = ["--no-create", "--add", "NAME", "1"];
            let Some((child, name)) = delayed(BEFORE_CHANGE, 40, &args, remove) else {
                return;
            };
            finish(child)
                .fails(3)
                .says(format!("{name}: no such object"));
            assert!(!name.path().exists());
        });
        scope.spawn(|| {
            let args = ["--no-create", "--if", "40", "--wait", "--add", "NAME", "1"];
            let Some((child, name)) = delayed(BEFORE_CHANGE, 40, &args, remove) else {
                return;
            };
            let child = still_waits(child);
            assert!(!name.path().exists());
            write(&name, "40");
            finish(child).prints("41\n");
        });
    });
}

#[test]
fn an_overflow_is_one_of_the_object_that_has_the_name_now() {
    let args = ["--add", "NAME", "1"];
    let recreate = |name: &Name| recreate(name, "7");
    let Some((child, name)) = delayed(BEFORE_LOOK, i32::MAX, &args, recreate) else {
        return;
    };
    finish(child).prints("8\n");
    assert_eq!(stored(&name), 8);
}

#[test]
fn an_error_about_an_object_that_was_truncated_and_removed_does_not_count() {
    let cases = [
        (&["NAME", "1"][..], "", 1),
        (&["--add", "NAME", "1"], "8\n", 8),
    ];
    std::thread::scope(|scope| {
        for (args, printed, new) in cases {
            scope.spawn(move || {
                let truncate_and_recreate = |name: &Name| {
                    set_len(name, 0);
                    recreate(name, "7");
                };
                let Some((child, name)) = delayed(BEFORE_CHANGE, 40, args, truncate_and_recreate)
                else {
                    return;
                };
                finish(child).prints(printed);
                assert_eq!(stored(&name), new, "{args:?}");
            });
        }
    });
}

#[test]
fn an_object_that_another_process_creates_first_counts() {
    std::thread::scope(|scope| {
        for (args, printed, new) in [
            (&["--add", "NAME", "1"][..], Some("8\n"), 8),
            (&["NAME", "1"], Some(""), 1),
            (&["--if", "0", "NAME", "1"], None, 7),
        ] {
            scope.spawn(move || {
                let name = Name::new();
                // The new object gets its name by linkat(2).
                let inject = "inject=linkat:delay_enter=1000000:when=1";
                let Some(mut command) = strace(&["-e", inject], ["write-int"]) else {
                    return;
                };
                let child = spawn(command.args(with_name(args, &name)));
                sleep(Duration::from_millis(500));
                assert!(!name.path().exists());
                write(&name, "7");
                let ended = finish(child);
                match printed {
                    Some(printed) => ended.prints(printed),
                    None => ended.fails(5),
                };
                assert_eq!(stored(&name), new, "{args:?}");
            });
        }
    });
}
