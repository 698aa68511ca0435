//! Objects in other places: `--target` and `--everywhere`.
//!
//! Each test has namespaces, a `/proc` and a `/dev/shm` of its own, in which it starts containers.

#[path = "../common/mod.rs"]
mod common;

mod attackers;
mod docker;
mod everywhere;
mod files;
mod identities;
mod links;
mod processes;
mod scoped;
mod servers;
mod sweep;
mod target;
mod unprivileged;
mod verbs;

use common::*;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The options of the tmpfs on `/dev/shm` of each test.
const SHM: &str = "size=4m,mode=1777";

/// The unprivileged user who attacks.
const NOBODY: u32 = 65534;

fn lines(ended: &Ended) -> Vec<&str> {
    str::from_utf8(&ended.stdout).unwrap().lines().collect()
}

/// The words of each line of the output of `ls --everywhere` with these columns.
fn rows(columns: &str, args: &[&str]) -> Vec<String> {
    let listed = run(shmtool(["ls", "--everywhere", "--no-header", "-o", columns]).args(args));
    assert!(listed.status.success(), "{listed:?}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines(&listed).into_iter().map(words).collect()
}

/// The output of `ls -J` with these arguments.
fn json(args: &[&str]) -> serde_json::Value {
    let listed = run(shmtool(["ls", "-J"]).args(args));
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice(&listed.stdout).unwrap()
}

/// Sweeps everything everywhere, and returns what the sweep printed: the name and the place of each removed object.
fn sweep_all(args: &[&str]) -> (Vec<String>, Ended) {
    let swept = run(shmtool(["unlink", "--everywhere", "-v", "--glob", "*"]).args(args));
    let removed = removed(&swept);
    (removed, swept)
}

/// The name and the place in each row that `unlink -v --everywhere` prints.
fn removed(swept: &Ended) -> Vec<String> {
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {}", words[0], words.last().unwrap())
    };
    let mut rows: Vec<_> = lines(swept).into_iter().map(row).collect();
    rows.sort_unstable();
    rows
}

/// The names of the files in a directory, sorted.
fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Creates a file with a mode and an owner, whose group is the same number.
fn create(path: impl AsRef<Path>, mode: u32, owner: u32) {
    let path = path.as_ref();
    fs::write(path, "text").unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Creates a directory with a mode and an owner, whose group is the same number.
fn create_directory(path: impl AsRef<Path>, mode: u32, owner: u32) {
    let path = path.as_ref();
    fs::create_dir(path).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Mounts a tmpfs on `/mnt` in the mount namespace of the test. The containers that are started later see it.
fn mount_volume(options: &str) {
    let (tmpfs, flags) = (Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    mount(tmpfs, "/mnt", tmpfs, flags, Some(options)).unwrap();
}

/// Waits until a condition holds, and panics if that takes too long.
#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "the condition never holds");
        sleep(Duration::from_millis(5));
    }
}
