//! Every write wakes all that sleep on the integer. The sleepers here never check the integer themselves: without the
//! wake-up they would sleep for longer than [`HANG`], and the test would fail.

use crate::common::*;
use nix::unistd::gettid;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::futex::Word;
use shmtool::sys::memory::int::{Endian, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::fs;
use std::num::NonZero;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Asserts that `write-int` with these arguments wakes a thread that sleeps on the integer at this offset.
#[track_caller]
fn assert_write_wakes(content: [u8; 16], int_type: IntType, offset: usize, args: &[&str]) {
    let name = Name::holding(content);
    let file = fs::File::open(name.path()).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let length = NonZero::new(16).unwrap();
        let mapping = Mapping::shared_file(file, 0, length, Access::Read).unwrap();
        let (_, word) = Word::load(&mapping, offset, int_type, Endian::NATIVE).unwrap();
        sender.send(gettid()).unwrap();
        word.sleep(&mapping, Duration::from_secs(3600)).unwrap();
        sender.send(gettid()).unwrap();
    });
    let sleeper = receiver.recv().unwrap();
    // State S means that the thread sleeps. From here on it sleeps on nothing but the integer.
    let stat = format!("/proc/self/task/{sleeper}/stat");
    while !fs::read_to_string(&stat).unwrap().contains(") S ") {
        thread::sleep(Duration::from_millis(1));
    }
    let name_and_args = args.iter().map(|&arg| {
        if arg == "NAME" {
            name.to_string()
        } else {
            arg.to_owned()
        }
    });
    assert!(
        run(shmtool(["write-int"]).args(name_and_args))
            .status
            .success()
    );
    receiver.recv_timeout(HANG).expect("the sleeper wakes");
}

#[test]
fn every_kind_of_write_wakes() {
    for args in [
        &["NAME", "1"][..],
        &["--add", "NAME", "1"],
        &["--swap", "NAME", "1"],
        &["--if", "0", "NAME", "1"],
        // Storing the same value wakes too, because a sleeper may wait for exactly this write.
        &["NAME", "0"],
    ] {
        assert_write_wakes([0; 16], IntType::I32, 0, args);
    }
}

#[test]
fn writes_of_every_width_wake() {
    for (int_type, name) in IntType::ALL.map(|int_type| (int_type, int_type.name())) {
        let last = 16 - int_type.width();
        assert_write_wakes(
            // Every word differs, so that a futex call on the wrong word fails at once.
            std::array::from_fn(|i| i as u8),
            int_type,
            last,
            &["-t", name, "--offset", &last.to_string(), "NAME", "1"],
        );
    }
}

#[test]
fn a_change_of_either_half_of_a_64_bit_integer_wakes() {
    for value in ["1", "0x100000000"] {
        assert_write_wakes([0; 16], IntType::U64, 0, &["-t", "u64", "NAME", value]);
    }
}

#[test]
fn each_of_several_values_wakes() {
    for index in 0..4 {
        assert_write_wakes(
            [0; 16],
            IntType::I32,
            4 * index,
            &["NAME", "1", "2", "3", "4"],
        );
    }
}

#[test]
fn an_unaligned_store_wakes_every_integer_that_it_touches() {
    for offset in [0, 4] {
        assert_write_wakes(
            [0; 16],
            IntType::I32,
            offset,
            &["--offset", "2", "NAME", "-1"],
        );
    }
}
