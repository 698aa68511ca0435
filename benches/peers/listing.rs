//! 124,000 objects, as runners are known to collect them.

use crate::race::{Contender, Table, run};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OBJECTS: usize = 124_000;
const PROCESSES: usize = 300;

pub fn compare(table: &mut Table) {
    fill();
    // The most of all children so far: none of the others is near it.
    read_all(Contender::ours(&["ls"]).command());
    read_all(Contender::ours(&["ls", "-J"]).command());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of our children");
    table.note(format!(
        "peak memory of ls and ls -J with 124,000 objects, the larger: {} KiB",
        usage.max_rss()
    ));

    let mut peers = vec![Contender::peer("ls", &["-l", "/dev/shm"])];
    let lsipc = Contender::peer("lsipc", &["-M"]);
    if table.has(&lsipc) {
        let text = lsipc.command().output().map(|output| output.stdout);
        match text.is_ok_and(|text| text.len() > OBJECTS) {
            true => peers.push(lsipc),
            false => table.note("lsipc: too old to list POSIX shared memory, left out"),
        }
    }
    let ours = Contender::ours(&["ls"]);
    table.race("list 124,000 objects", ours, peers, 5, read_all);
    let ours = Contender::ours(&["ls", "-q"]);
    let peer = Contender::peer("ls", &["-U", "/dev/shm"]);
    table.race("names of 124,000 objects", ours, vec![peer], 15, read_all);
    let others = Others::start();
    let ours = Contender::ours(&["ls", "-p"]);
    let peer = Contender::peer("lsof", &["+D", "/dev/shm"]);
    table.race(
        "who uses them, 300 processes",
        ours,
        vec![peer],
        2,
        read_all,
    );
    drop(others);
    let ours = Contender::ours(&["unlink", "--unused"]);
    let peer = Contender::peer("find", &["/dev/shm", "-type", "f", "-delete"]);
    table.race("sweep 124,000 objects", ours, vec![peer], 3, |command| {
        fill();
        let time = run(command);
        assert_eq!(fs::read_dir("/dev/shm").expect("/dev/shm").count(), 0);
        time
    });
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
