//! Every type in both byte orders: which bytes change, and which futex word a waiter sleeps on.

use super::{TIME_TO_FALL_ASLEEP, write_int};
use crate::common::*;
use proptest::prelude::*;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::futex::Word;
use shmtool::sys::memory::int::{Endian, Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::fs;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

const ORDERS: [(Endian, &str); 2] = [(Endian::Big, "big"), (Endian::Little, "little")];

/// The bytes of an integer in memory.
fn bytes_in_order(int: Int, endian: Endian) -> Vec<u8> {
    let width = int.int_type().width();
    match endian {
        Endian::Big => int.to_bits().to_be_bytes()[8 - width..].to_vec(),
        Endian::Little => int.to_bits().to_le_bytes()[..width].to_vec(),
    }
}

#[test]
fn integers_of_every_type_can_be_waited_for_in_both_orders() {
    let mut waiters = Vec::new();
    for int_type in IntType::ALL {
        for (endian, order) in ORDERS {
            let width = int_type.width();
            // The last integer of the object. The futex word of a small one extends beyond the object.
            let offset = (2 * width).to_string();
            let name = Name::holding(vec![1; 3 * width]);
            let location = [
                "-t",
                int_type.name(),
                "--endian",
                order,
                "--offset",
                &offset,
            ];
            let location = location.map(str::to_owned);
            let max = int_type.max().to_string();
            let mut command = write_int(&["--if", &max, "--wait", "--swap", "NAME", "2"], &name);
            let waiter = spawn(command.args(&location));
            waiters.push((waiter, name, location, int_type, endian));
        }
    }
    sleep(TIME_TO_FALL_ASLEEP);
    for (waiter, name, location, int_type, endian) in waiters {
        let max = int_type.max();
        for value in [max - 1, max] {
            let value = value.to_string();
            run(write_int(&["NAME", &value], &name).args(&location)).prints("");
        }
        finish(waiter).prints(format!("{max}\n"));
        let two = bytes_in_order(Int::new(int_type, 2).unwrap(), endian);
        let expected = [vec![1; 2 * int_type.width()], two].concat();
        assert_eq!(fs::read(name.path()).unwrap(), expected, "{location:?}");
    }
}

#[test]
fn a_change_of_1_between_look_and_sleep_ends_the_sleep_at_once() {
    for int_type in IntType::ALL {
        for (endian, order) in ORDERS {
            let name = Name::holding([0; 8]);
            let file = fs::File::options().read(true).write(true).open(name.path());
            let file = file.unwrap();
            let length = NonZero::new(8).unwrap();
            let mapping = Mapping::shared_file(&file, 0, length, Access::Read).unwrap();
            let (int, word) = Word::load(&mapping, 0, int_type, endian).unwrap();
            assert_eq!(int.in_order(endian).value(), 0);
            let one = bytes_in_order(Int::new(int_type, 1).unwrap(), endian);
            file.write_all_at(&one, 0).unwrap();
            let start = Instant::now();
            word.sleep(&mapping, HANG).unwrap();
            assert!(start.elapsed() < HANG, "{order} {}", int_type.name());
        }
    }
}

#[test]
fn a_waiter_looks_again_instead_of_sleeping_if_a_swapped_64_bit_integer_has_just_changed() {
    for (_, order) in ORDERS {
        for int_type in ["i64", "u64"] {
            let name = Name::holding([0; 8]);
            let log = tempfile::NamedTempFile::new().unwrap();
            let log_path = log.path().to_str().unwrap();
            let inject = "inject=futex:delay_enter=1000000:when=1";
            let location = ["-t", int_type, "--endian", order];
            let options = ["-o", log_path, "-e", "trace=futex", "-e", inject];
            let Some(mut command) = strace(&options, ["write-int", "--if", "1", "--wait"]) else {
                return;
            };
            let waiter = spawn(command.args(location).arg(&name).arg("2"));
            wait_until_open(&waiter, &name);
            sleep(Duration::from_millis(300));
            // The waiter has seen 0 and does not sleep yet, so that nothing can wake it.
            run(write_int(&["NAME", "1"], &name).args(location)).prints("");
            finish(waiter).prints("");
            let calls = fs::read_to_string(log.path()).unwrap();
            let first = calls.lines().next().unwrap();
            assert!(
                first.contains("FUTEX_WAIT") && first.contains("EAGAIN"),
                "{calls}"
            );
        }
    }
}

/// Operands of any type: the type, the integer in memory, and VALUE.
fn operands() -> impl Strategy<Value = (IntType, Int, Int)> {
    let bits = prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>()];
    (0..IntType::ALL.len(), bits.clone(), bits).prop_map(|(index, a, b)| {
        let int_type = IntType::ALL[index];
        let shift = 64 - 8 * int_type.width();
        let int = |bits: u64| Int::from_bits(int_type, bits >> shift).unwrap();
        (int_type, int(a), int(b))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_change_gives_what_rust_calculates(
        (int_type, old, value) in operands(),
        (endian, order) in prop::sample::select(&ORDERS[..]),
    ) {
        let location = ["-t", int_type.name(), "--endian", order];
        let text = value.to_string();
        for option in ["--or", "--and", "--xor", "--add", "--swap"] {
            let new = match option {
                "--or" => Some(old.combine(value, |a, b| a | b)),
                "--and" => Some(old.combine(value, |a, b| a & b)),
                "--xor" => Some(old.combine(value, |a, b| a ^ b)),
                "--add" => Int::new(int_type, old.value() + value.value()),
                _ => Some(value),
            };
            let name = Name::holding(bytes_in_order(old, endian));
            let condition = format!("le:{old}");
            let mut command = write_int(&[option, "--if", &condition, "NAME", &text], &name);
            let ended = run(command.args(location));
            let printed = if option == "--swap" { Some(old) } else { new };
            match printed {
                Some(printed) => ended.prints(format!("{printed}\n")),
                None => ended.fails(1),
            };
            let expected = bytes_in_order(new.unwrap_or(old), endian);
            prop_assert_eq!(fs::read(name.path()).unwrap(), expected);
        }
    }
}
