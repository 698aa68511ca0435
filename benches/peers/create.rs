//! Compares ways to create an object of 1 GiB.

use crate::layout::{LARGE, write_file};
use crate::race::{Contender, Table, run};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const OBJECT: &str = "/dev/shm/gigabyte";

pub fn compare(table: &mut Table) {
    let directory = tempfile::tempdir().expect("create a temporary directory");
    let path = directory.path().join("gigabyte");
    write_file(&path, 1 << 30, LARGE);
    let path = path.to_str().expect("the path is valid UTF-8");

    let create_from = || Contender::ours(&["create", "--from", path, "gigabyte"]);
    for (title, ours, peer, rounds) in [
        (
            "create 1 GiB from a file",
            create_from(),
            Contender::peer("cp", &[path, OBJECT]),
            9,
        ),
        (
            "create 1 GiB, reserved",
            Contender::ours(&["create", "-s", "1G", "gigabyte"]),
            Contender::peer("fallocate", &["-l", "1G", OBJECT]),
            9,
        ),
        (
            "create 1 GiB, sparse",
            Contender::ours(&["create", "--sparse", "-s", "1G", "gigabyte"]),
            Contender::peer("truncate", &["-s", "1G", OBJECT]),
            100,
        ),
    ] {
        table.race(title, ours, vec![peer], rounds, time_and_remove);
    }
    let peak = peak_private_memory(create_from().command());
    fs::remove_file(OBJECT).expect("the object exists");
    table.note(format!(
        "peak private memory of create --from with 1 GiB: {peak} KiB"
    ));
}

fn time_and_remove(command: Command) -> Duration {
    let time = run(command);
    fs::remove_file(OBJECT).expect("the object exists");
    time
}

/// The peak of the private memory in KiB. Shared memory, that is, the mapped file and the object, does not count.
fn peak_private_memory(mut command: Command) -> u64 {
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut peak = 0;
    while child.try_wait().expect("wait for the command").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
    }
    peak
}
