//! Integers that programs in C and Python exchange with `write-int` and `read-int`.

use crate::common::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

#[test]
fn a_c_program_reads_a_stored_integer() {
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
fn python_reads_a_stored_integer() {
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

fn values_of_type(int_type: &str) -> BoxedStrategy<String> {
    match int_type {
        "i8" => limits_or_any(i8::MIN, i8::MAX),
        "i16" => limits_or_any(i16::MIN, i16::MAX),
        "i32" => limits_or_any(i32::MIN, i32::MAX),
        "i64" => limits_or_any(i64::MIN, i64::MAX),
        "u8" => limits_or_any(u8::MIN, u8::MAX),
        "u16" => limits_or_any(u16::MIN, u16::MAX),
        "u32" => limits_or_any(u32::MIN, u32::MAX),
        _ => limits_or_any(u64::MIN, u64::MAX),
    }
}

fn limits_or_any<T: Arbitrary + Copy + ToString + 'static>(
    min: T,
    max: T,
) -> BoxedStrategy<String> {
    let ints = prop_oneof![Just(min), Just(max), any::<T>()];
    ints.prop_map(|int| int.to_string()).boxed()
}

const TYPES: [&str; 8] = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"];

fn any_typed_integer() -> impl Strategy<Value = (&'static str, String)> {
    prop::sample::select(&TYPES[..])
        .prop_flat_map(|int_type| (Just(int_type), values_of_type(int_type)))
}

/// For each line, stores or loads an integer with `struct`, and prints it.
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
fn integers_survive_a_round_trip_through_python_and_hexadecimal() {
    let name = Name::holding([0xaa; 4096]);
    let Some(mut python) = python(PYTHON, &[&name.to_string()]) else {
        return;
    };
    let python = std::cell::RefCell::new(Peer::start(&mut python));
    let cases = (any_typed_integer(), 0..4088_u64);
    let check = |((int_type, value), offset): ((&str, String), u64)| {
        let offset = offset.to_string();
        let location = ["-t", int_type, "--offset", &offset];
        let ask = |text: &str| {
            python
                .borrow_mut()
                .ask(&format!("{int_type} {offset} {text}"))
        };
        run(shmtool(["write-int"]).args(location).arg(&name).arg(&value)).prints("");
        assert_eq!(ask(""), value);
        let hex = run(shmtool(["read-int", "--hex"]).args(location).arg(&name)).stdout;
        assert_eq!(ask("0"), "0");
        run(shmtool(["read-int"]).args(location).arg(&name)).prints("0\n");
        let hex = String::from_utf8(hex).unwrap();
        run(shmtool(["write-int"])
            .args(location)
            .arg(&name)
            .arg(hex.trim_end()))
        .prints("");
        assert_eq!(ask(""), value, "{hex}");
        assert_eq!(ask(&value), value);
        run(shmtool(["read-int"]).args(location).arg(&name)).prints(format!("{value}\n"));
        Ok(())
    };
    let config = ProptestConfig::with_cases(64);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&cases, check).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c_and_read_int_load_what_write_int_stores(
        (int_type, value) in any_typed_integer(),
        offset in 0..9000_u64,
    ) {
        let name = Name::new();
        let location = ["-t", int_type, "--offset", &offset.to_string()];
        run(shmtool(["write-int"]).args(location).arg(&name).arg(&value)).prints("");
        run(shmtool(["read-int"]).args(location).arg(&name)).prints(format!("{value}\n"));
        if let Some(c) = c_program() {
            run(Command::new(c).args(["load", int_type]).arg(&name).arg(offset.to_string()))
                .prints(format!("{value}\n"));
        }
    }

    #[test]
    fn read_int_prints_what_c_stores(
        (int_type, value) in any_typed_integer(),
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
