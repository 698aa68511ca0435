//! `write-int --file` and `read-int --file`: what other programs, the disk and the shell see of it.

#[path = "../common/mod.rs"]
mod common;

mod changing;
mod descriptors;
mod devices;
mod disturbed;
mod endian;
mod file_systems;
mod full;
mod fuse;
mod mounts;
mod operands;
mod overlay;
mod refusals;
mod sync;
mod waiting;

use common::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Long enough for a waiter to start, or to check the integer again, and to fall asleep. If it is not, the tests pass
/// anyway.
const TIME_TO_FALL_ASLEEP: Duration = Duration::from_millis(150);

/// Maps a file, and for each line of input, `OFFSET` or `OFFSET VALUE`, stores the value and prints the integer.
const PYTHON_MMAP: &str = "
import mmap, struct, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    offset, *value = line.split()
    if value:
        struct.pack_into('@i', memory, int(offset), int(value[0]))
    print(struct.unpack_from('@i', memory, int(offset))[0], flush=True)
";

/// Returns the command `shmtool VERB --file FILE`, without the VALUEs and further options.
fn on_file(verb: &str, file: impl AsRef<OsStr>) -> Command {
    let mut command = shmtool([verb, "--file"]);
    command.arg(file);
    command
}

fn write_int(file: impl AsRef<OsStr>, args: &[&str]) -> Ended {
    run(on_file("write-int", file).args(args))
}

fn read_int(file: impl AsRef<OsStr>, args: &[&str]) -> Ended {
    run(on_file("read-int", file).args(args))
}

/// A file with these contents on a disk, not in memory.
fn file_with(bytes: impl AsRef<[u8]>) -> NamedTempFile {
    let file = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(&file, bytes).unwrap();
    file
}

/// Reads the `i32` at an offset of a file with read(2).
fn int_on_disk(file: impl AsRef<Path>, offset: u64) -> i32 {
    let mut bytes = [0; 4];
    let file = fs::File::open(file).unwrap();
    file.read_exact_at(&mut bytes, offset).unwrap();
    i32::from_ne_bytes(bytes)
}

/// Starts a command that waits, and gives it the time to fall asleep.
#[track_caller]
fn spawn_waiter(command: &mut Command) -> Child {
    let mut waiter = spawn(command);
    sleep(TIME_TO_FALL_ASLEEP);
    if waiter.try_wait().unwrap().is_some() {
        panic!("the waiter ended early: {:?}", finish(waiter));
    }
    waiter
}

/// Asserts that a command fails with status 1 and this problem of the file.
#[track_caller]
fn fails_with(ended: Ended, file: impl AsRef<Path>, problem: &str) {
    let message = format!("{}: {problem}", file.as_ref().display());
    ended.fails(1).says(message);
}

/// Asserts that a command failed with this status and that its only message contains all these parts.
#[track_caller]
fn fails_mentioning(ended: &Ended, status: i32, parts: &[&str]) {
    ended.fails(status);
    let has = |part: &&str| ended.stderr.contains(*part);
    assert!(parts.iter().all(has), "{parts:?}: {ended:?}");
}
