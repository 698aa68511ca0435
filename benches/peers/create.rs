//! What it takes to make an object of a gigabyte.

use crate::race::{Contender, Table, run};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const OBJECT: &str = "/dev/shm/gigabyte";

pub fn compare(table: &mut Table) {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let path = directory.path().join("gigabyte");
    let mut file = fs::File::create(&path).expect("a file");
    let mut chunk = vec![0; 1 << 20];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut chunk))
        .expect("random bytes");
    for index in 0..1024_u64 {
        chunk[..8].copy_from_slice(&index.to_ne_bytes());
        file.write_all(&chunk).expect("room for the file");
    }
    file.sync_all().expect("the file on the disk");
    let path = path.to_str().expect("its name is text");

    let make_from = || Contender::ours(&["create", "--from", path, "gigabyte"]);
    for (title, ours, peer, rounds) in [
        (
            "create 1 GiB from a file",
            make_from(),
            Contender::peer("cp", &[path, OBJECT]),
            7,
        ),
        (
            "create 1 GiB, reserved",
            Contender::ours(&["create", "-s", "1G", "gigabyte"]),
            Contender::peer("fallocate", &["-l", "1G", OBJECT]),
            7,
        ),
        (
            "create 1 GiB, sparse",
            Contender::ours(&["create", "--sparse", "-s", "1G", "gigabyte"]),
            Contender::peer("truncate", &["-s", "1G", OBJECT]),
            100,
        ),
    ] {
        table.race(title, ours, vec![peer], rounds, make);
    }
    let most = private_memory(make_from().command());
    fs::remove_file(OBJECT).expect("it was made");
    table.note(format!(
        "private memory of create --from with 1 GiB: {most} KiB at the most"
    ));
}

fn make(command: Command) -> Duration {
    let time = run(command);
    fs::remove_file(OBJECT).expect("it was made");
    time
}

/// The most KiB that it has for itself: what is mapped or in the object is shared.
fn private_memory(mut command: Command) -> u64 {
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .expect("it started before");
    let mut most = 0;
    while child.try_wait().expect("it is our child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(kib.unwrap_or(0));
    }
    most
}
