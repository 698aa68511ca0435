//! `cargo bench --bench listing`: 124,000 objects, as runners are known to collect them, against the peers
//! that this machine has. All of it in a private `/dev/shm`, so that nobody's objects are swept.

#[allow(dead_code, reason = "each bench uses its own part")]
mod common;

use common::{Contender, header, race, run};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OBJECTS: usize = 124_000;
const PROCESSES: usize = 300;

fn main() {
    // cargo test runs benches too, to see that they start; cargo bench says so.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    common::in_private_shm(inside);
}

fn inside() {
    fill();
    let ours = |args: &[&str]| Contender::ours("shmtool", args);
    let peer = |name, args: &[&str]| Contender::new(name, name, args).found();
    let row = |ours, peers: Vec<Option<Contender>>| -> Vec<Contender> {
        [ours]
            .into_iter()
            .chain(peers.into_iter().flatten())
            .collect()
    };

    read_all(ours(&["ls"]).command());
    read_all(ours(&["ls", "-J"]).command());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of our children");
    println!(
        "peak memory of ls and ls -J, the larger: {} KiB",
        usage.max_rss()
    );

    let lsipc = peer("lsipc", &["-M"]).filter(|lsipc| {
        let text = lsipc.command().output().map(|output| output.stdout);
        let knows_posix = text.is_ok_and(|text| text.len() > OBJECTS);
        if !knows_posix {
            println!("lsipc: too old to list POSIX shared memory, left out");
        }
        knows_posix
    });
    let list = row(ours(&["ls"]), vec![peer("ls", &["-l", "/dev/shm"]), lsipc]);
    let names = row(ours(&["ls", "-q"]), vec![peer("ls", &["-U", "/dev/shm"])]);
    let sweep = row(
        ours(&["unlink", "--unused"]),
        vec![peer("find", &["/dev/shm", "-type", "f", "-delete"])],
    );
    let who = row(
        ours(&["ls", "-p"]),
        vec![Contender::new("lsof", "lsof", &["+D", "/dev/shm"]).found()],
    );
    header();
    race("list 124,000 objects", &list, 7, read_all);
    race("names of 124,000 objects", &names, 15, read_all);
    race("sweep 124,000 objects", &sweep, 5, |command| {
        fill();
        let time = run(command);
        assert_eq!(fs::read_dir("/dev/shm").expect("/dev/shm").count(), 0);
        time
    });
    fill();
    let others = Others::start();
    race("who uses what, 300 processes", &who, 3, read_all);
    drop(others);
}

/// Makes the objects that are missing, of a few bytes each.
fn fill() {
    for index in 0..OBJECTS {
        let path = format!("/dev/shm/job-{index:06}-{}", &"x".repeat(index % 17));
        fs::write(path, vec![1; 1 + index % 5000]).expect("room for the objects");
    }
}

/// Runs a command whose output goes through a pipe. What peers think of it is not our matter: `lsof` fails
/// where nobody uses anything.
fn read_all(mut command: Command) -> Duration {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it started before");
    let mut output = child.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 20];
    while output.read(&mut buffer).expect("a pipe can be read") > 0 {}
    child.wait().expect("it is our child");
    start.elapsed()
}

/// Processes that hold an object each, and go in the end.
struct Others(Vec<Child>);

impl Others {
    fn start() -> Others {
        let spawn = |index| {
            let path = format!("/dev/shm/held-{index}");
            fs::write(&path, "1").expect("room for it");
            let mut sleep = Command::new("sleep");
            let object = fs::File::open(path).expect("it was just made");
            sleep.arg("1000").stdin(object).spawn().expect("sleep")
        };
        Others((0..PROCESSES).map(spawn).collect())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
