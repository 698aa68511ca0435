//! `--add`, `--swap`, `--if`, `--no-create` and several VALUEs, used by one process at a time.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

fn write(args: &[&str], name: &Name, values: &[&str]) -> Ended {
    run(shmtool(["write-int"]).args(args).arg(name).args(values))
}

/// Creates an object that was last modified an hour ago, and returns that time with it.
fn old_object(bytes: impl AsRef<[u8]>) -> (Name, SystemTime) {
    let name = Name::holding(bytes);
    let old = SystemTime::now() - Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_modified(old).unwrap();
    (name, file.metadata().unwrap().modified().unwrap())
}

fn modification_time(name: &Name) -> SystemTime {
    fs::metadata(name.path()).unwrap().modified().unwrap()
}

fn stored_integer(name: &Name) -> i32 {
    i32::from_ne_bytes(fs::read(name.path()).unwrap().try_into().unwrap())
}

#[test]
fn several_values_are_stored_consecutively() {
    let name = Name::new();
    write(
        &["-t", "i16", "--offset", "1"],
        &name,
        &["1", "-2", "0xff", "-0x8000"],
    )
    .prints("");
    let ints: Vec<u8> = [1_i16, -2, 255, i16::MIN]
        .iter()
        .flat_map(|i| i.to_ne_bytes())
        .collect();
    assert_eq!(fs::read(name.path()).unwrap(), [&[0], &ints[..]].concat());

    let name = Name::holding([7; 12]);
    write(&["--offset", "4"], &name, &["-1", "-1", "-t", "i16"]).prints("");
    let bytes = [[7; 4], [0xff; 4], [7; 4]].concat();
    assert_eq!(fs::read(name.path()).unwrap(), bytes);
    write(&["--offset", "4"], &name, &["1", "2", "3"])
        .fails(1)
        .says(format!(
            "{name}: too small: 3 i32 at offset 4 need 16 bytes, the object has 12"
        ));
    write(&["-t", "u8"], &name, &["1", "2", "256"])
        .fails(2)
        .says("256: out of range: u8 is 0 to 255");
    assert_eq!(fs::read(name.path()).unwrap(), bytes);

    let name = Name::holding("");
    write(&["-t", "u8"], &name, &["1", "2", "3"]).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), [1, 2, 3]);
}

#[test]
fn no_create_reports_a_missing_object_and_does_not_create_it() {
    let name = Name::new();
    for option in ["--add", "--swap", "--if=0", "--no-create"] {
        write(
            &["--no-create", option][..if option == "--no-create" { 1 } else { 2 }],
            &name,
            &["1"],
        )
        .fails(3)
        .says(format!("{name}: no such object"));
    }
    assert!(!name.path().exists());
    let name = Name::holding([0; 4]);
    write(&["--no-create"], &name, &["5"]).prints("");
    assert_eq!(stored_integer(&name), 5);
}

#[test]
fn add_prints_the_new_integer() {
    let name = Name::holding(40_i32.to_ne_bytes());
    write(&["--add"], &name, &["2"]).prints("42\n");
    write(&["--add"], &name, &["-0x2b"]).prints("-1\n");
    // 0xffffffff has the bits of -1.
    write(&["--add"], &name, &["0xffffffff"]).prints("-2\n");
    assert_eq!(stored_integer(&name), -2);
}

#[test]
fn the_complement_of_a_mask_is_accepted_for_every_type_and_x_prints_all_bits() {
    let name = Name::holding([0xff; 8]);
    for (int_type, complement, bits) in [
        ("u8", "-17", "0xef"),
        ("i16", "-17", "0xffef"),
        ("u32", "-2147483649", "0x7fffffef"),
        ("u64", "-17", "0xffffffff7fffffef"),
    ] {
        let printed = format!("{bits}\n");
        write(&["-t", int_type, "--and", "-x"], &name, &[complement]).prints(printed);
    }
    write(&["-t", "u64", "--or", "-x"], &name, &["-1"]).prints("0xffffffffffffffff\n");
    write(&["-t", "u8", "--xor", "--hex"], &name, &["-1"]).prints("0x00\n");
    write(&["-t", "i32", "--swap", "-x"], &name, &["-1"]).prints("0xffffff00\n");
    write(&["-t", "u8", "--and"], &name, &["-257"])
        .fails(2)
        .says("-257: out of range: u8 is 0 to 255");
    // As an integer to store, a negative VALUE must fit.
    write(&["-t", "u8", "--swap"], &name, &["-17"]).fails(2);
}

#[test]
fn adding_a_negative_value_counts_an_unsigned_integer_down() {
    let name = Name::holding(u64::MAX.to_ne_bytes());
    write(&["-t", "u64", "--add"], &name, &["-18446744073709551615"]).prints("0\n");
    write(&["-t", "u64", "--add"], &name, &["-1"])
        .fails(1)
        .says(format!(
            "{name}: 0 plus -1 is out of range: u64 is 0 to 18446744073709551615"
        ));
    write(&["-t", "u8", "--add"], &name, &["-256"])
        .fails(2)
        .says("-256: out of range: u8 is 0 to 255");
}

#[test]
fn an_overflowing_sum_changes_nothing() {
    let (name, old) = old_object([100_i8 as u8, -100_i8 as u8]);
    write(&["-t", "i8", "--add"], &name, &["28"])
        .fails(1)
        .says(format!(
            "{name}: 100 plus 28 is out of range: i8 is -128 to 127"
        ));
    write(&["-t", "i8", "--offset", "1", "--add"], &name, &["-29"]).fails(1);
    assert_eq!(modification_time(&name), old);
    write(&["-t", "i8", "--add"], &name, &["27"]).prints("127\n");
    write(&["-t", "i8", "--offset", "1", "--add"], &name, &["-28"]).prints("-128\n");
    assert_eq!(fs::read(name.path()).unwrap(), [127, 128]);
    assert_ne!(modification_time(&name), old);
}

#[test]
fn swap_prints_the_old_integer() {
    let (name, old) = old_object(7_i32.to_ne_bytes());
    write(&["--swap"], &name, &["-8"]).prints("7\n");
    assert_ne!(modification_time(&name), old);
    write(&["--swap"], &name, &["9"]).prints("-8\n");
    assert_eq!(stored_integer(&name), 9);
}

#[test]
fn if_stores_when_the_condition_holds_and_is_silent_otherwise() {
    let (name, old) = old_object((-1_i32).to_ne_bytes());
    let refused = write(&["--if", "1"], &name, &["5"]);
    assert_eq!(refused.fails(5).stderr, "");
    assert_eq!((stored_integer(&name), modification_time(&name)), (-1, old));
    write(&["--if", "-1"], &name, &["5"]).prints("");
    assert_eq!(stored_integer(&name), 5);
    assert_ne!(modification_time(&name), old);
    write(&["--if=0x5"], &name, &["-0x6"]).prints("");
    assert_eq!(stored_integer(&name), -6);
}

#[test]
fn a_missing_or_empty_object_counts_as_0() {
    for (option, value, printed) in [
        ("--add", "-5", "-5\n"),
        ("--swap", "6", "0\n"),
        ("--if=0", "7", ""),
    ] {
        let name = Name::new();
        write(&[option], &name, &[value]).prints(printed);
        assert_eq!(stored_integer(&name).to_string(), value);
        let name = Name::holding("");
        write(&[option], &name, &[value]).prints(printed);
        assert_eq!(stored_integer(&name).to_string(), value);
    }
    let name = Name::new();
    assert_eq!(write(&["--if", "1"], &name, &["5"]).fails(5).stderr, "");
    assert!(!name.path().exists());
    let name = Name::holding("");
    assert_eq!(write(&["--if", "1"], &name, &["5"]).fails(5).stderr, "");
    assert_eq!(fs::read(name.path()).unwrap(), b"");
}

#[test]
fn a_refused_change_allocates_nothing_in_a_hole() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(8192).unwrap();
    write(&["--if", "1"], &name, &["5"]).fails(5);
    write(&["-t", "u8", "--add"], &name, &["-1"]).fails(1);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    write(&["--if", "0", "--offset", "4096"], &name, &["5"]).prints("");
    assert_eq!(file.metadata().unwrap().blocks(), 8);
}

#[test]
fn an_unaligned_atomic_change_is_a_usage_error() {
    let name = Name::holding([1; 16]);
    for option in ["--add", "--swap", "--if"] {
        let condition: &[&str] = if option == "--if" {
            &["0x01010101"]
        } else {
            &[]
        };
        for (int_type, offset, width) in [("i32", "2", 4), ("u64", "4", 8), ("i16", "5", 2)] {
            let location = ["-t", int_type, "--offset", offset, option];
            write(&[&location, condition].concat(), &name, &["0"]).fails(2).says(format!(
                "{option} needs an offset that is a multiple of {width} (the width of {int_type}), not {offset}"
            ));
        }
    }
    write(&["-t", "u8", "--offset", "5", "--swap"], &name, &["0"]).prints("1\n");
    write(&["--offset", "2"], &name, &["0"]).prints("");
    assert_eq!(
        fs::read(name.path()).unwrap()[..8],
        [1, 1, 0, 0, 0, 0, 1, 1]
    );
}

#[test]
fn atomic_changes_take_one_value_and_exclude_each_other() {
    let name = Name::new();
    for option in ["--add", "--swap", "--or", "--and", "--xor", "--if=0"] {
        let shown = option.trim_end_matches("=0");
        write(&[option], &name, &["1", "2"])
            .fails(2)
            .says(format!("{shown} takes one VALUE"));
        for other in ["--add", "--swap", "--or", "--and", "--xor"] {
            // A condition goes with each of them.
            if other != option && option != "--if=0" {
                write(&[option, other], &name, &["1"]).fails(2);
            }
        }
    }
    write(&["--if", "300", "-t", "u8"], &name, &["1"]).fails(2);
    write(&[], &name, &[]).fails(2);
    assert!(!name.path().exists());
}

#[test]
fn atomic_changes_in_a_hole_fail_when_dev_shm_is_full() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        for option in ["--add", "--swap", "--if=0"] {
            run(&mut shmtool(["write-int", option, "hole", "1"]))
                .fails(1)
                .says(does_not_fit("/hole", "4B", "0B"));
        }
        assert_eq!(fs::read("/dev/shm/hole").unwrap(), [0; 4096]);
    });
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error() {
    let name = Name::holding([0; 4]);
    output_fails(shmtool(["write-int", "--add"]).arg(&name).arg("1"));
}

#[test]
fn reserved_memory_counts_as_zeros() {
    let name = Name::new();
    run(shmtool(["create", "-s", "8"]).arg(&name)).prints("");
    write(&["--if", "0"], &name, &["5"]).prints("");
    write(&["--offset", "4", "--add"], &name, &["-1"]).prints("-1\n");
    let file = fs::File::open(name.path()).unwrap();
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [5_i32.to_ne_bytes(), [0xff; 4]].concat()[..]);
}
