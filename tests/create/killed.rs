//! `kill -9` at random moments: no incomplete object is left behind, no object outlives COMMAND, and none is removed
//! before COMMAND ends. Each test has a short form, and a form with 500 rounds that runs only with `--ignored`.

use crate::common::*;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SIZE: u64 = 4 << 20;
const SHORT_ROUNDS: u64 = 60;
const FULL_ROUNDS: u64 = 500;

/// Starts shmtool with these arguments and kills it after a random time of at most `longest`.
fn kill_at_random_moment(args: &[&str], output: Option<&File>, longest: Duration) {
    let mut command = shmtool(args);
    if let Some(output) = output {
        command.stdout(output.try_clone().unwrap());
    }
    let mut child = command.spawn().unwrap();
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    sleep(longest.mul_f64(random));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills `create` again and again, and asserts that each object that it leaves behind is complete.
fn assert_no_incomplete_objects(rounds: u64, args: &[&str], is_complete: impl Fn(&[u8]) -> bool) {
    // Measure how long an undisturbed run takes, so that most kills happen while shmtool works.
    let start = Instant::now();
    run(&mut shmtool(args)).prints("");
    let longest = start.elapsed() * 3 / 2;
    fs::remove_file("/dev/shm/big").unwrap();
    let mut completed = 0;
    for _ in 0..rounds {
        kill_at_random_moment(args, None, longest);
        for entry in fs::read_dir("/dev/shm").unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.file_name(), "big");
            assert!(is_complete(&fs::read(entry.path()).unwrap()));
            fs::remove_file(entry.path()).unwrap();
            completed += 1;
        }
    }
    eprintln!("{completed} of {rounds} objects were complete before the kill");
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.len() as u64 == SIZE && bytes.iter().all(|&byte| byte == 0)
}

fn kill_while_reserving(rounds: u64) {
    assert_no_incomplete_objects(rounds, &["create", "-s", "4M", "/big"], is_zeros);
}

fn kill_while_copying(rounds: u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    fs::write(file.path(), &bytes).unwrap();
    let path = file.path().to_str().unwrap();
    assert_no_incomplete_objects(rounds, &["create", "--from", path, "/big"], |found| {
        found == bytes
    });
}

fn kill_while_replacing(rounds: u64) {
    fs::write("/dev/shm/x", vec![0; SIZE as usize]).unwrap();
    let args = ["create", "--replace", "-s", "4M", "x"];
    for _ in 0..rounds {
        kill_at_random_moment(&args, None, Duration::from_millis(4));
        for entry in fs::read_dir("/dev/shm").unwrap() {
            assert!(is_zeros(&fs::read(entry.unwrap().path()).unwrap()));
        }
        assert!(fs::exists("/dev/shm/x").unwrap());
    }
    // The next --replace removes what a kill between the two steps of --replace left behind.
    run(&mut shmtool(args)).prints("");
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
}

fn kill_beside_command(rounds: u64) {
    let output = tempfile::tempfile().unwrap();
    let script =
        "for i in 1 2 3; do [ -e /dev/shm/a ] && [ -e /dev/shm/b ] || echo early; sleep 0.01; done";
    let args = ["create", "-s", "64K", "a", "b", "--", "sh", "-c", script];
    for _ in 0..rounds {
        kill_at_random_moment(&args, Some(&output), Duration::from_millis(40));
        let start = Instant::now();
        while fs::read_dir("/dev/shm").unwrap().count() > 0 {
            assert!(start.elapsed() < HANG, "the objects are not removed");
            sleep(Duration::from_millis(2));
        }
    }
    assert_eq!(
        output.metadata().unwrap().len(),
        0,
        "removed while COMMAND ran"
    );
}

macro_rules! short_and_full {
    ($($kill:ident: $short:ident, $full:ident;)*) => {$(
        #[test]
        fn $short() {
            in_private_shm("size=64m", || $kill(SHORT_ROUNDS));
        }

        #[test]
        #[ignore = "500 rounds"]
        fn $full() {
            in_private_shm("size=64m", || $kill(FULL_ROUNDS));
        }
    )*};
}

short_and_full! {
    kill_while_reserving: a_kill_while_reserving_leaves_no_incomplete_object, killed_500_times_while_reserving;
    kill_while_copying: a_kill_while_copying_leaves_no_incomplete_object, killed_500_times_while_copying;
    kill_while_replacing: a_kill_while_replacing_leaves_only_complete_objects, killed_500_times_while_replacing;
    kill_beside_command: a_kill_beside_the_command_removes_the_objects_when_it_ends, killed_500_times_beside_the_command;
}
