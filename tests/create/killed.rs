//! `kill -9` at random moments: nothing half made is left, nothing at all once COMMAND has ended, and nothing is removed
//! early. Each test has a short form, and one of 500 rounds that is ignored unless it is asked for.

use crate::common::*;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SIZE: u64 = 4 << 20;
const SHORT: u64 = 60;
const FULL: u64 = 500;

/// Starts shmtool with these arguments and kills it at a random moment, before `longest` is over.
fn kill_at_random(args: &[&str], output: Option<&File>, longest: Duration) {
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

/// Kills `create` in many rounds, and looks at each object that it leaves.
fn leaves_whole_objects(rounds: u64, args: &[&str], is_whole: impl Fn(&[u8]) -> bool) {
    // As long as it takes undisturbed, so that most kills come while it is at work.
    let start = Instant::now();
    run(&mut shmtool(args)).prints("");
    let longest = start.elapsed() * 3 / 2;
    fs::remove_file("/dev/shm/big").unwrap();
    let mut whole = 0;
    for _ in 0..rounds {
        kill_at_random(args, None, longest);
        for entry in fs::read_dir("/dev/shm").unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.file_name(), "big");
            assert!(is_whole(&fs::read(entry.path()).unwrap()));
            fs::remove_file(entry.path()).unwrap();
            whole += 1;
        }
    }
    eprintln!("{whole} of {rounds} had been made before the kill");
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.len() as u64 == SIZE && bytes.iter().all(|&byte| byte == 0)
}

fn a_size(rounds: u64) {
    leaves_whole_objects(rounds, &["create", "-s", "4M", "/big"], is_zeros);
}

fn a_file(rounds: u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    fs::write(file.path(), &bytes).unwrap();
    let path = file.path().to_str().unwrap();
    leaves_whole_objects(rounds, &["create", "--from", path, "/big"], |found| {
        found == bytes
    });
}

fn a_replacement(rounds: u64) {
    fs::write("/dev/shm/x", vec![0; SIZE as usize]).unwrap();
    let args = ["create", "--replace", "-s", "4M", "x"];
    for _ in 0..rounds {
        kill_at_random(&args, None, Duration::from_millis(4));
        for entry in fs::read_dir("/dev/shm").unwrap() {
            assert!(is_zeros(&fs::read(entry.unwrap().path()).unwrap()));
        }
        assert!(fs::exists("/dev/shm/x").unwrap());
    }
    // What a kill left between the two calls of a replacement, the next one clears away.
    run(&mut shmtool(args)).prints("");
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
}

fn a_command(rounds: u64) {
    let output = tempfile::tempfile().unwrap();
    let script =
        "for i in 1 2 3; do [ -e /dev/shm/a ] && [ -e /dev/shm/b ] || echo early; sleep 0.01; done";
    let args = ["create", "-s", "64K", "a", "b", "--", "sh", "-c", script];
    for _ in 0..rounds {
        kill_at_random(&args, Some(&output), Duration::from_millis(40));
        let start = Instant::now();
        while fs::read_dir("/dev/shm").unwrap().count() > 0 {
            assert!(start.elapsed() < HANG, "the objects stay");
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
    ($($round:ident: $short:ident, $full:ident;)*) => {$(
        #[test]
        fn $short() {
            in_private_shm("size=64m", || $round(SHORT));
        }

        #[test]
        #[ignore = "500 rounds"]
        fn $full() {
            in_private_shm("size=64m", || $round(FULL));
        }
    )*};
}

short_and_full! {
    a_size: killed_while_it_reserves_it_leaves_nothing_or_the_whole_object, killed_500_times_while_it_reserves;
    a_file: killed_while_it_copies_it_leaves_nothing_or_the_whole_object, killed_500_times_while_it_copies;
    a_replacement: killed_while_it_replaces_it_leaves_complete_objects, killed_500_times_while_it_replaces;
    a_command: killed_beside_a_command_it_leaves_nothing_and_removes_nothing_early, killed_500_times_beside_a_command;
}
