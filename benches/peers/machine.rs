//! Compares what looks at the whole machine: the places of all containers, memory without a name, and the summary.
//!
//! No other tool lists the objects of all containers or adds up shared memory, so `machine.c` is the peer: a program that
//! reads the same files and makes the same system calls, and does nothing else.

use crate::build;
use crate::race::{Contender, Table, read_all};
use nix::sys::wait::waitpid;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const NAMESPACES: usize = 100;
const PROCESSES_EACH: usize = 10;
const PROCESSES: usize = 300;
const ROUNDS: usize = 20;

pub fn compare(table: &mut Table) {
    let Some(reference) = build::reference("machine.c") else {
        table.note("cc: not found, the comparisons with machine.c are skipped");
        return;
    };
    let reference = |mode| Contender::new("machine.c", &reference, &[mode]);
    let containers = Processes::start(
        NAMESPACES,
        "unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm; echo 1 > /dev/shm/job; \
         for i in $(seq 2 \"$0\"); do sleep 1000 & done; exec sleep 1000' \"$1\"",
        &PROCESSES_EACH.to_string(),
    );
    containers.wait_for(NAMESPACES * PROCESSES_EACH);
    table.race(
        "100 containers, 1,000 processes",
        Contender::ours(&["ls", "--everywhere"]),
        vec![reference("everywhere")],
        ROUNDS,
        read_all,
    );
    drop(containers);
    let processes = Processes::start(PROCESSES, "exec sleep 1000", "");
    processes.wait_for(PROCESSES);
    // lsfd and lsof take long and empty the caches, so that they do not take part in the race with machine.c.
    let lists = vec![Contender::peer("lsfd", &[]), Contender::peer("lsof", &[])];
    for (peers, rounds) in [(vec![reference("nameless")], ROUNDS), (lists, 5)] {
        let ours = Contender::ours(&["ls", "--nameless"]);
        table.race(
            "without a name, 300 processes",
            ours,
            peers,
            rounds,
            read_all,
        );
    }
    let peers = vec![reference("summary"), Contender::peer("smem", &["-w"])];
    let ours = Contender::ours(&["ls", "--summary"]);
    table.race("summary, 300 processes", ours, peers, ROUNDS, read_all);
}

/// Shells that run a script each. They and their children are killed when this is dropped.
struct Processes(Vec<Child>);

impl Processes {
    fn start(count: usize, script: &str, argument: &str) -> Processes {
        let spawn = |_| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script, "sh", argument]);
            shell
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            shell.spawn().expect("sh starts")
        };
        Processes((0..count).map(spawn).collect())
    }

    /// Waits until this many `sleep` are running.
    fn wait_for(&self, count: usize) {
        let running = || {
            let pgrep = Command::new("pgrep").args(["-xc", "sleep"]).output();
            let text = pgrep.expect("pgrep starts").stdout;
            String::from_utf8_lossy(&text).trim().parse().unwrap_or(0)
        };
        while running() < count {
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let _ = Command::new("pkill")
            .args(["-KILL", "-x", "sleep"])
            .status();
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
        // This process is the init of its PID namespace: the other children have become its own.
        while waitpid(None, None).is_ok() {}
    }
}
