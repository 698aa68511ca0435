//! `--if` without `--wait`: when a change happens, and that nothing happens when it is refused.

use super::{CHANGES, old_object, snapshot, stored, write_int};
use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The result of a change of `old` with VALUE 6: the new integer, and what is printed.
fn expected(change: &str, old: i32) -> (i32, String) {
    let new = match change {
        "--add" => old + 6,
        "--or" => old | 6,
        "--and" => old & 6,
        "--xor" => old ^ 6,
        _ => 6,
    };
    let printed = match change {
        "--type=i32" => String::new(),
        "--swap" => format!("{old}\n"),
        _ => format!("{new}\n"),
    };
    (new, printed)
}

#[test]
fn every_operator_guards_every_change() {
    type Holds = fn(i32) -> bool;
    let conditions: [(&str, Holds); 8] = [
        ("-3", |int| int == -3),
        ("eq:-3", |int| int == -3),
        ("ne:-3", |int| int != -3),
        ("lt:-3", |int| int < -3),
        ("le:-3", |int| int <= -3),
        ("gt:-3", |int| int > -3),
        ("ge:-3", |int| int >= -3),
        // The bit pattern of -3.
        ("0xfffffffd", |int| int == -3),
    ];
    for change in CHANGES {
        for (condition, holds) in conditions {
            for old in [-4_i32, -3, -2] {
                let name = old_object(old.to_ne_bytes());
                let before = snapshot(&name);
                let ended = run(&mut write_int(
                    &[change, "--if", condition, "NAME", "6"],
                    &name,
                ));
                if holds(old) {
                    let (new, printed) = expected(change, old);
                    ended.prints(printed);
                    assert_eq!(stored(&name), new, "{change} {condition} {old}");
                    assert_ne!(snapshot(&name).2, before.2, "the modification time");
                } else {
                    assert_eq!(ended.fails(5).stderr, "");
                    assert_eq!(snapshot(&name), before, "{change} {condition} {old}");
                }
            }
        }
    }
}

#[test]
fn a_condition_compares_in_the_range_of_the_type() {
    for (int_type, bytes, condition) in [
        ("u8", &[0xff][..], "gt:0x7f"),
        ("i8", &[0xff], "lt:0"),
        ("u64", &[0xff; 8], "ge:18446744073709551615"),
        ("i64", &[0xff; 8], "le:-1"),
        ("i64", &i64::MIN.to_ne_bytes(), "-9223372036854775808"),
        ("u32", &[0xff; 4], "ne:0"),
    ] {
        let name = Name::holding(bytes);
        run(&mut write_int(
            &["-t", int_type, "--if", condition, "NAME", "0"],
            &name,
        ))
        .prints("");
        assert_eq!(fs::read(name.path()).unwrap(), vec![0; bytes.len()]);
    }
}

#[test]
fn an_overflow_is_an_error_if_the_condition_holds_and_refused_otherwise() {
    let name = old_object([127]);
    let before = snapshot(&name);
    let add = ["-t", "i8", "--add", "NAME", "1", "--if"];
    for more in [&["ge:100"][..], &["ge:100", "--wait"]] {
        run(&mut write_int(&[&add, more].concat(), &name))
            .fails(1)
            .says(format!(
                "{name}: 127 plus 1 is out of range: i8 is -128 to 127"
            ));
    }
    let refused = run(&mut write_int(&[&add[..], &["lt:100"]].concat(), &name));
    assert_eq!(refused.fails(5).stderr, "");
    assert_eq!(snapshot(&name), before);
}

#[test]
fn a_missing_or_empty_object_counts_as_0() {
    for change in CHANGES {
        for wait in ["--type=i32", "--wait"] {
            let (new, printed) = expected(change, 0);
            for name in [Name::new(), Name::holding("")] {
                run(&mut write_int(
                    &[change, wait, "--if", "le:0", "NAME", "6"],
                    &name,
                ))
                .prints(&printed);
                assert_eq!(stored(&name), new);
            }
        }
        let name = Name::new();
        let refused = run(&mut write_int(
            &[change, "--if", "ne:0", "NAME", "6"],
            &name,
        ));
        assert_eq!(refused.fails(5).stderr, "");
        assert!(!name.path().exists());
        let name = old_object("");
        let before = snapshot(&name);
        let refused = run(&mut write_int(
            &[change, "--if", "ne:0", "NAME", "6"],
            &name,
        ));
        assert_eq!(refused.fails(5).stderr, "");
        assert_eq!(snapshot(&name), before);
    }
}

#[test]
fn an_overflow_in_a_missing_object_creates_nothing() {
    let name = Name::new();
    let args = ["-t", "u8", "--if", "0", "--add", "NAME", "-1"];
    run(&mut write_int(&args, &name))
        .fails(1)
        .says(format!("{name}: 0 plus -1 is out of range: u8 is 0 to 255"));
    assert!(!name.path().exists());
}

#[test]
fn no_create_without_wait_is_status_3_for_a_missing_object_whatever_the_condition() {
    let name = Name::new();
    for change in CHANGES {
        for condition in ["0", "1"] {
            run(&mut write_int(
                &[change, "--no-create", "--if", condition, "NAME", "6"],
                &name,
            ))
            .fails(3)
            .says(format!("{name}: no such object"));
        }
    }
    assert!(!name.path().exists());
    // An empty object exists.
    let name = Name::holding("");
    run(&mut write_int(
        &["--no-create", "--if", "0", "NAME", "6"],
        &name,
    ))
    .prints("");
    assert_eq!(stored(&name), 6);
}

#[test]
fn a_too_small_object_is_an_error_without_wait() {
    let name = old_object("abc");
    let before = snapshot(&name);
    run(&mut write_int(&["--if", "0", "NAME", "6"], &name))
        .fails(1)
        .says(format!(
            "{name}: too small: i32 at offset 0 needs 4 bytes, the object has 3"
        ));
    assert_eq!(snapshot(&name), before);
}

#[test]
fn a_refused_change_allocates_nothing_in_a_hole() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(8192).unwrap();
    for change in CHANGES {
        let args = [change, "--if", "ne:0", "--offset", "4096", "NAME", "6"];
        run(&mut write_int(&args, &name)).fails(5);
    }
    assert_eq!(file.metadata().unwrap().blocks(), 0);
}

#[test]
fn changes_and_conditions_are_about_the_integer_whatever_the_order_of_its_bytes() {
    for (order, bytes) in [
        ("big", [0x00, 0x00, 0x00, 0xff]),
        ("little", [0xff, 0x00, 0x00, 0x00]),
    ] {
        let name = Name::holding(bytes);
        let change = |args: &[&str]| {
            let args = [&["--endian", order, "-t", "u32", "NAME"], args].concat();
            run(&mut write_int(&args, &name))
        };
        change(&["--if", "ge:256", "--add", "1"]).fails(5);
        change(&["--if", "255", "--add", "1"]).prints("256\n");
        change(&["--if", "lt:257", "--or", "0x80000000"]).prints("2147483904\n");
        change(&["--add", "0x7fffffff"]).fails(1).says(format!(
            "{name}: 2147483904 plus 2147483647 is out of range: u32 is 0 to 4294967295"
        ));
        change(&["--if", "0x80000100", "--swap", "0x01020304"]).prints("2147483904\n");
        let mut expected = [1, 2, 3, 4];
        if order == "little" {
            expected.reverse();
        }
        assert_eq!(fs::read(name.path()).unwrap(), expected);
        run(shmtool(["read-int", "--hex", "--endian", order]).arg(&name)).prints("0x01020304\n");
    }
}
