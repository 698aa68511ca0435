//! `--if` and `--wait`: changes that depend on the value.

mod lock;
mod met;
mod objects;
mod replaced;
mod semaphore;
mod usage;
mod waiting;
mod words;

use crate::common::*;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// Long enough for a waiter to start, or to check the integer again, and to fall asleep. If it is not, the tests pass
/// anyway.
const TIME_TO_FALL_ASLEEP: Duration = Duration::from_millis(150);

/// The options that change an integer. The first one stands for a plain store.
const CHANGES: [&str; 6] = ["--type=i32", "--add", "--swap", "--or", "--and", "--xor"];

/// Returns a command for `write-int`. The argument `NAME` stands for the name.
fn write_int(args: &[&str], name: &Name) -> Command {
    let mut command = shmtool(["write-int"]);
    command.args(with_name(args, name));
    command
}

fn with_name(args: &[&str], name: &Name) -> Vec<String> {
    let replace = |&arg: &&str| match arg {
        "NAME" => name.to_string(),
        _ => arg.to_owned(),
    };
    args.iter().map(replace).collect()
}

/// Starts `write-int` with these arguments and `--wait`, and gives it the time to fall asleep.
#[track_caller]
fn spawn_waiter(args: &[&str], name: &Name) -> Child {
    let waiter = spawn(write_int(args, name).arg("--wait"));
    still_waits(waiter)
}

/// Asserts that a process still runs after some time.
#[track_caller]
fn still_waits(mut waiter: Child) -> Child {
    sleep(TIME_TO_FALL_ASLEEP);
    if waiter.try_wait().unwrap().is_some() {
        panic!("the waiter ended early: {:?}", finish(waiter));
    }
    waiter
}

fn write(name: &Name, value: &str) {
    run(shmtool(["write-int"]).arg(name).arg(value)).prints("");
}

fn stored(name: &Name) -> i32 {
    let bytes = fs::read(name.path()).unwrap();
    i32::from_ne_bytes(bytes.try_into().expect("the object has 4 bytes"))
}

/// Creates an object that was last modified an hour ago.
fn old_object(bytes: impl AsRef<[u8]>) -> Name {
    let name = Name::holding(bytes);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600))
        .unwrap();
    name
}

/// The contents, and everything that a change would change.
fn snapshot(name: &Name) -> (Vec<u8>, u64, SystemTime, i64) {
    use std::os::unix::fs::MetadataExt;
    let now = fs::metadata(name.path()).unwrap();
    let modified = now.modified().unwrap();
    let (blocks, ctime) = (now.blocks(), now.ctime_nsec());
    (fs::read(name.path()).unwrap(), blocks, modified, ctime)
}

/// Replaces the object by a new one, without shmtool.
fn replace_object(name: &Name, value: i32) {
    let new = name.path().with_extension("new");
    fs::write(&new, value.to_ne_bytes()).unwrap();
    fs::rename(new, name.path()).unwrap();
}

fn set_len(name: &Name, size: u64) {
    let file = fs::File::options().write(true).open(name.path());
    file.unwrap().set_len(size).unwrap();
}

/// Starts a shell that runs the script, where `$shmtool` is the binary and `$name` the object.
fn spawn_shell(script: &str, name: &Name) -> Child {
    let mut sh = Command::new("sh");
    sh.args(["-euc", script])
        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"))
        .env("name", name);
    spawn(sh.stdin(Stdio::null()))
}
