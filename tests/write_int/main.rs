//! `write-int`: plain stores, their operands, and the permissions that they need.

#[path = "../common/mod.rs"]
mod common;

mod concurrent;
mod conditional;
mod interop;
mod memory;
mod missing_calls;
mod update;
mod wake;

use common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

#[test]
fn a_missing_object_is_created_just_large_enough() {
    let name = Name::new();
    run(shmtool(["write-int"]).arg(&name).arg("42")).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), 42_i32.to_ne_bytes());
    assert_eq!(
        fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777,
        0o600
    );

    let name = Name::new();
    run(shmtool(["write-int", "-t", "u16", "--offset", "10"])
        .arg(&name)
        .arg("0xabcd"))
    .prints("");
    assert_eq!(
        fs::read(name.path()).unwrap(),
        [&[0; 10][..], &0xabcd_u16.to_ne_bytes()].concat()
    );
}

#[test]
fn an_empty_object_is_grown_to_fit() {
    let name = Name::holding("");
    run(shmtool(["write-int", "--offset", "4"]).arg(&name).arg("-1")).prints("");
    assert_eq!(
        fs::read(name.path()).unwrap(),
        [0, 0, 0, 0, 255, 255, 255, 255]
    );
}

#[test]
fn a_too_small_object_is_an_error_and_stays_unchanged() {
    let name = Name::holding("abc");
    run(shmtool(["write-int"]).arg(&name).arg("1"))
        .fails(1)
        .says(format!(
            "{name}: too small: i32 at offset 0 needs 4 bytes, the object has 3"
        ));
    run(shmtool(["write-int", "-t", "u8", "--offset", "3"])
        .arg(&name)
        .arg("1"))
    .fails(1)
    .says(format!(
        "{name}: too small: u8 at offset 3 needs 4 bytes, the object has 3"
    ));
    assert_eq!(fs::read(name.path()).unwrap(), b"abc");
}

#[test]
fn an_overflowing_offset_is_an_error_and_creates_nothing() {
    let name = Name::new();
    run(shmtool(["write-int", "--offset", "0x7fffffffffffffff"])
        .arg(&name)
        .arg("1"))
    .fails(1)
    .says(format!("{name}: cannot set its size: File too large"));
    run(shmtool(["write-int", "--offset", "0x8000000000000000"])
        .arg(&name)
        .arg("1"))
    .fails(2);
    assert!(!name.path().exists());

    let name = Name::holding([0; 8]);
    run(shmtool(["write-int", "--offset", "0x7fffffffffffffff"])
        .arg(&name)
        .arg("1"))
    .fails(1);
    assert_eq!(fs::read(name.path()).unwrap(), [0; 8]);
}

#[test]
fn out_of_range_values_are_usage_errors() {
    let name = Name::new();
    for (int_type, value, range) in [
        ("i8", "128", "-128 to 127"),
        ("u8", "-1", "0 to 255"),
        ("i16", "-32769", "-32768 to 32767"),
        ("u16", "65536", "0 to 65535"),
        ("i32", "2147483648", "-2147483648 to 2147483647"),
        ("u32", "4294967296", "0 to 4294967295"),
        (
            "i64",
            "9223372036854775808",
            "-9223372036854775808 to 9223372036854775807",
        ),
        ("u64", "18446744073709551616", "0 to 18446744073709551615"),
    ] {
        run(shmtool(["write-int", "-t", int_type]).arg(&name).arg(value))
            .fails(2)
            .says(format!("{value}: out of range: {int_type} is {range}"));
    }
    // 0xffff fits, so that the range in decimal would not explain it.
    run(shmtool(["write-int", "-t", "i16"])
        .arg(&name)
        .arg("0x10000"))
    .fails(2)
    .says("0x10000: out of range: i16 has 16 bits");
    assert!(!name.path().exists());
}

#[test]
fn values_that_are_not_integers_are_usage_errors() {
    let name = Name::new();
    for value in ["", "ten", "1.5", "0x", "1__0", "-", "--", "+", "+-1"] {
        let ended = run(shmtool(["write-int"]).arg(&name).arg(value));
        assert_eq!(
            (ended.status.code(), ended.stdout.len()),
            (Some(2), 0),
            "{value}: {ended:?}"
        );
    }
    assert!(!name.path().exists());
}

#[test]
fn negative_values_need_no_double_dash_and_may_precede_options() {
    let name = Name::new();
    for (value, bits) in [
        ("-5", -5_i64),
        ("-0x10", -16),
        ("-1_000", -1000),
        ("-0b101", -5),
    ] {
        run(shmtool(["write-int"])
            .arg(&name)
            .args([value, "-t", "i64", "--offset=0"]))
        .prints("");
        assert_eq!(fs::read(name.path()).unwrap(), bits.to_ne_bytes());
    }
    run(shmtool(["write-int", "-t", "i64"])
        .arg(&name)
        .args(["--", "-7"]))
    .prints("");
    assert_eq!(fs::read(name.path()).unwrap(), (-7_i64).to_ne_bytes());
}

#[test]
fn a_store_leaves_the_bytes_around_it_unchanged() {
    let name = Name::holding([0xee; 8193]);
    run(shmtool(["write-int", "-t", "i64", "--offset", "4093"])
        .arg(&name)
        .arg("0"))
    .prints("");
    let mut expected = [0xee; 8193];
    expected[4093..4101].fill(0);
    assert_eq!(fs::read(name.path()).unwrap(), expected);
}

#[test]
fn a_store_updates_the_modification_time() {
    let name = Name::holding([0; 4]);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    run(shmtool(["write-int"]).arg(&name).arg("1")).prints("");
    let age = fs::metadata(name.path())
        .unwrap()
        .modified()
        .unwrap()
        .elapsed()
        .unwrap_or_default();
    assert!(age < Duration::from_secs(3600), "{age:?}");
}

#[test]
fn read_and_write_permission_is_enough_to_store() {
    if is_root() {
        let name = Name::holding([0; 4]);
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o622)).unwrap();
        run(as_nobody(shmtool(["write-int"]).arg(&name)).arg("1"))
            .fails(1)
            .says(format!(
                "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
            ));
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o666)).unwrap();
        run(as_nobody(shmtool(["write-int"]).arg(&name)).arg("1")).prints("");
    }
}

#[test]
fn root_can_store_into_objects_of_others_in_a_sticky_directory() {
    if is_root() {
        let name = Name::new();
        run(as_nobody(shmtool(["write-int"]).arg(&name)).arg("1")).prints("");
        run(shmtool(["write-int"]).arg(&name).arg("2")).prints("");
        assert_eq!(fs::metadata(name.path()).unwrap().uid(), 65534);
        assert_eq!(fs::read(name.path()).unwrap(), 2_i32.to_ne_bytes());
    }
}

#[test]
fn racing_writers_to_a_missing_object_all_succeed() {
    for _ in 0..20 {
        let name = Name::new();
        let writers: Vec<_> = (1..=6)
            .map(|i| {
                shmtool(["write-int"])
                    .arg(&name)
                    .arg(i.to_string())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for writer in writers {
            finish(writer).prints("");
        }
        let value = i32::from_ne_bytes(fs::read(name.path()).unwrap().try_into().unwrap());
        assert!((1..=6).contains(&value), "{value}");
    }
}
