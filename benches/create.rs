//! `cargo bench --bench create`: what it takes to make an object of a gigabyte, against the peers that this
//! machine has. All of it in a private `/dev/shm`.

#[allow(dead_code, reason = "each bench uses its own part")]
mod common;

use common::{Contender, header, in_private_shm, race, run};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const OBJECT: &str = "/dev/shm/gigabyte";

fn main() {
    // cargo test runs benches too, to see that they start; cargo bench says so.
    if std::env::args().any(|arg| arg == "--bench") {
        in_private_shm(inside);
    }
}

fn inside() {
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

    let ours = |args: &[&str]| Contender::ours("shmtool", args);
    let peer = |name, args: &[&str]| Contender::new(name, name, args).found();
    let row = |ours, peer: Option<Contender>| -> Vec<Contender> {
        [ours].into_iter().chain(peer).collect()
    };
    let copy = row(
        ours(&["create", "--from", path, "gigabyte"]),
        peer("cp", &[path, OBJECT]),
    );
    let reserve = row(
        ours(&["create", "-s", "1G", "gigabyte"]),
        peer("fallocate", &["-l", "1G", OBJECT]),
    );
    let sparse = row(
        ours(&["create", "--sparse", "-s", "1G", "gigabyte"]),
        peer("truncate", &["-s", "1G", OBJECT]),
    );
    header();
    race("1 GiB from a file", &copy, 9, make);
    race("1 GiB reserved", &reserve, 9, make);
    race("1 GiB sparse", &sparse, 100, make);
    private_memory(copy[0].command());
}

fn make(command: Command) -> Duration {
    let time = run(command);
    fs::remove_file(OBJECT).expect("it was made");
    time
}

/// The most that it has for itself: what is mapped or in the object is shared.
fn private_memory(mut command: Command) {
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
    println!("private memory of a copy of 1 GiB: {most} KiB at the most");
}
