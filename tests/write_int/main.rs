//! `write-int`: what it promises.

#[path = "../common/mod.rs"]
mod common;

mod missing_calls;
mod together;
mod update;
mod wake;

use common::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

#[test]
fn an_object_that_is_missing_is_made_just_large_enough() {
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
fn an_object_of_size_0_is_grown_to_fit() {
    let name = Name::holding("");
    run(shmtool(["write-int", "--offset", "4"]).arg(&name).arg("-1")).prints("");
    assert_eq!(
        fs::read(name.path()).unwrap(),
        [0, 0, 0, 0, 255, 255, 255, 255]
    );
}

#[test]
fn an_object_that_is_too_small_is_an_error_and_unchanged() {
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
fn an_offset_that_overflows_is_an_error_and_nothing_is_made() {
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
fn a_value_out_of_its_type_s_range_is_wrong_usage() {
    let name = Name::new();
    for (int_type, value, range) in [
        ("i8", "128", "-128 to 127"),
        ("u8", "-1", "0 to 255"),
        ("i16", "-32769", "-32768 to 32767"),
        ("u16", "0x10000", "0 to 65535"),
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
    assert!(!name.path().exists());
}

#[test]
fn a_value_that_is_no_integer_is_wrong_usage() {
    let name = Name::new();
    for value in ["", "ten", "1.5", "0x", "1__0", "-", "--", "+", "+-1"] {
        let wrong = run(shmtool(["write-int"]).arg(&name).arg(value));
        assert_eq!(
            (wrong.status.code(), wrong.stdout.len()),
            (Some(2), 0),
            "{value}: {wrong:?}"
        );
    }
    assert!(!name.path().exists());
}

#[test]
fn a_negative_value_needs_no_dashes_and_options_work_after_it() {
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
fn the_bytes_around_the_integer_are_left_alone() {
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
fn a_write_sets_the_modification_time() {
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
fn a_writer_needs_no_ownership() {
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
fn root_writes_to_what_others_own_in_a_sticky_directory() {
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

#[test]
fn a_full_dev_shm_is_an_error_and_not_a_bus_error() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        for name in ["hole", "new"] {
            run(&mut shmtool(["write-int", name, "1"]))
                .fails(1)
                .says(does_not_fit(&format!("/{name}"), "4B", "0B"));
        }
        assert_eq!(fs::read("/dev/shm/hole").unwrap(), [0; 4096]);
        assert!(!fs::exists("/dev/shm/new").unwrap());
    });
}

#[test]
fn an_object_truncated_at_the_worst_moment_is_an_error_and_not_a_bus_error() {
    // A compare-and-swap on zeros that take the place of the object's memory would succeed.
    let changes: [&[&str]; 3] = [&[], &["--add"], &["--if", "0"]];
    for (size, options) in [0, 2]
        .into_iter()
        .flat_map(|size| changes.map(|one| (size, one)))
    {
        let name = Name::holding([0; 4]);
        // The last call before the store reserves memory.
        let inject = "inject=fallocate:delay_exit=1000000";
        let Some(mut write) = strace(&["-e", inject], ["write-int"]) else {
            return;
        };
        write.args(options);
        let write = write
            .arg(&name)
            .arg("1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let write = write.spawn().unwrap();
        truncate_when_open(&write, &name, size);
        finish(write)
            .fails(1)
            .says(format!("{name}: another process truncated it"));
        assert_eq!(fs::metadata(name.path()).unwrap().len(), size);
    }
}

#[test]
fn a_hole_that_cannot_be_filled_is_an_error_and_not_a_bus_error() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        // It ends with ENOSPC.
        let _ = fs::write("/dev/shm/fill", [1; 64 << 10]);
        // As on a file system that reserves nothing.
        let inject = "inject=fallocate:retval=0";
        let Some(mut write) = strace(&["-e", inject], ["write-int", "hole", "1"]) else {
            return;
        };
        run(&mut write)
            .fails(1)
            .says("/hole: its memory is gone: another process truncated it, or no memory was left");
    });
}

#[test]
fn what_cannot_be_mapped_is_not_allocated_either() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    // The largest size there is: its last page would end beyond what mmap takes.
    file.set_len(i64::MAX as u64).unwrap();
    run(shmtool(["write-int", "--offset", "9223372036854775800"])
        .arg(&name)
        .arg("1"))
    .fails(1)
    .says(format!(
        "{name}: cannot map it: Value too large for defined data type"
    ));
    assert_eq!(file.metadata().unwrap().blocks(), 0);
}

#[test]
fn a_c_program_reads_what_was_written() {
    let Some(c) = c_program() else { return };
    let name = Name::new();
    run(shmtool(["write-int"]).arg(&name).arg("42")).prints("");
    run(Command::new(c).arg("read").arg(&name)).prints("42\n");
    let mut holder = Peer::start(Command::new(c).arg("hold").arg(&name));
    assert_eq!(holder.ask("?"), "42");
    run(shmtool(["write-int"]).arg(&name).arg("-43")).prints("");
    assert_eq!(holder.ask("?"), "-43");
}

#[test]
fn python_reads_what_was_written() {
    let script = "
import sys, struct
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1][1:], create=True, size=4096)
resource_tracker.unregister(object._name, 'shared_memory')
for line in sys.stdin:
    print(struct.unpack_from('@i', object.buf, 8)[0], flush=True)
";
    let name = Name::new();
    let Some(mut python) = python(script, &[&name.to_string()]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    assert_eq!(python.ask("?"), "0");
    run(shmtool(["write-int", "--offset", "8"]).arg(&name).arg("-7")).prints("");
    assert_eq!(python.ask("?"), "-7");
}

fn fits(int_type: &str) -> BoxedStrategy<String> {
    match int_type {
        "i8" => limit_or_any(i8::MIN, i8::MAX),
        "i16" => limit_or_any(i16::MIN, i16::MAX),
        "i32" => limit_or_any(i32::MIN, i32::MAX),
        "i64" => limit_or_any(i64::MIN, i64::MAX),
        "u8" => limit_or_any(u8::MIN, u8::MAX),
        "u16" => limit_or_any(u16::MIN, u16::MAX),
        "u32" => limit_or_any(u32::MIN, u32::MAX),
        _ => limit_or_any(u64::MIN, u64::MAX),
    }
}

fn limit_or_any<T: Arbitrary + Copy + ToString + 'static>(min: T, max: T) -> BoxedStrategy<String> {
    let ints = prop_oneof![Just(min), Just(max), any::<T>()];
    ints.prop_map(|int| int.to_string()).boxed()
}

const TYPES: [&str; 8] = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"];

fn a_typed_integer() -> impl Strategy<Value = (&'static str, String)> {
    prop::sample::select(&TYPES[..]).prop_flat_map(|int_type| (Just(int_type), fits(int_type)))
}

/// Stores and loads with `struct`, and answers each line.
const PYTHON: &str = "
import sys, struct
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1][1:])
resource_tracker.unregister(object._name, 'shared_memory')
formats = dict(i8='b', i16='h', i32='i', i64='q', u8='B', u16='H', u32='I', u64='Q')
for line in sys.stdin:
    type, offset, *value = line.split()
    if value:
        struct.pack_into('=' + formats[type], object.buf, int(offset), int(value[0]))
    print(*struct.unpack_from('=' + formats[type], object.buf, int(offset)), flush=True)
";

#[test]
fn every_integer_at_any_offset_is_the_same_in_python_and_in_hexadecimal() {
    let name = Name::holding([0xaa; 4096]);
    let Some(mut python) = python(PYTHON, &[&name.to_string()]) else {
        return;
    };
    let python = std::cell::RefCell::new(Peer::start(&mut python));
    let cases = (a_typed_integer(), 0..4088_u64);
    let check = |((int_type, value), offset): ((&str, String), u64)| {
        let offset = offset.to_string();
        let place = ["-t", int_type, "--offset", &offset];
        let ask = |text: &str| {
            python
                .borrow_mut()
                .ask(&format!("{int_type} {offset} {text}"))
        };
        run(shmtool(["write-int"]).args(place).arg(&name).arg(&value)).prints("");
        assert_eq!(ask(""), value);
        let hex = run(shmtool(["read-int", "--hex"]).args(place).arg(&name)).stdout;
        assert_eq!(ask("0"), "0");
        run(shmtool(["read-int"]).args(place).arg(&name)).prints("0\n");
        let hex = String::from_utf8(hex).unwrap();
        run(shmtool(["write-int"])
            .args(place)
            .arg(&name)
            .arg(hex.trim_end()))
        .prints("");
        assert_eq!(ask(""), value, "{hex}");
        assert_eq!(ask(&value), value);
        run(shmtool(["read-int"]).args(place).arg(&name)).prints(format!("{value}\n"));
        Ok(())
    };
    let config = ProptestConfig::with_cases(64);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&cases, check).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_integer_at_any_offset_is_what_c_and_read_int_find(
        (int_type, value) in a_typed_integer(),
        offset in 0..9000_u64,
    ) {
        let name = Name::new();
        let place = ["-t", int_type, "--offset", &offset.to_string()];
        run(shmtool(["write-int"]).args(place).arg(&name).arg(&value)).prints("");
        run(shmtool(["read-int"]).args(place).arg(&name)).prints(format!("{value}\n"));
        if let Some(c) = c_program() {
            run(Command::new(c).args(["load", int_type]).arg(&name).arg(offset.to_string()))
                .prints(format!("{value}\n"));
        }
    }

    #[test]
    fn every_integer_that_c_stores_is_what_read_int_prints(
        (int_type, value) in a_typed_integer(),
        offset in 0..4088_u64,
    ) {
        if let Some(c) = c_program() {
            let name = Name::new();
            fs::File::create(name.path()).unwrap().write_all_at(&[0xaa; 4096], 0).unwrap();
            run(Command::new(c).args(["store", int_type]).arg(&name).args([&offset.to_string(), &value])).prints("");
            run(shmtool(["read-int", "-t", int_type, "--offset", &offset.to_string()]).arg(&name))
                .prints(format!("{value}\n"));
        }
    }
}
