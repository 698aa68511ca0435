//! Compares listing and sweeping 124,000 objects, a number that has been seen on CI runners.

use crate::build;
use crate::race::{Contender, Table, read_all, run};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::process::{Child, Command};

const OBJECTS: usize = 124_000;
const PROCESSES: usize = 300;

pub fn compare(table: &mut Table) {
    create_objects();
    // This is the maximum of all children so far. The others use far less memory than ls.
    read_all(Contender::ours(&["ls"]).command());
    read_all(Contender::ours(&["ls", "-J"]).command());
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).expect("get the resource usage of the children");
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
            false => table.note("lsipc: too old to list POSIX shared memory, skipped"),
        }
    }
    match build::reference("list.c") {
        Some(reference) => peers.push(Contender::new("list.c", reference, &[])),
        None => table.note("cc: not found, list.c skipped"),
    }
    let ours = Contender::ours(&["ls"]);
    table.race("list 124,000 objects", ours, peers, 9, read_all);
    let ours = Contender::ours(&["ls", "-q"]);
    let peer = Contender::peer("ls", &["-U", "/dev/shm"]);
    table.race("names of 124,000 objects", ours, vec![peer], 15, read_all);
    let users = Users::start();
    let ours = Contender::ours(&["ls", "-p"]);
    let peer = Contender::peer("lsof", &["+D", "/dev/shm"]);
    table.race(
        "users of objects, 300 processes",
        ours,
        vec![peer],
        2,
        read_all,
    );
    drop(users);
    let ours = Contender::ours(&["unlink", "--unused"]);
    let mut peers = vec![Contender::peer(
        "find",
        &["/dev/shm", "-type", "f", "-delete"],
    )];
    let reference = build::reference("sweep.c");
    peers.extend(reference.map(|program| Contender::new("sweep.c", program, &[])));
    table.race("sweep 124,000 objects", ours, peers, 9, |command| {
        create_objects();
        let time = run(command);
        assert_eq!(fs::read_dir("/dev/shm").expect("read /dev/shm").count(), 0);
        time
    });
}

/// Creates the objects, of at most 5000 bytes each.
fn create_objects() {
    for index in 0..OBJECTS {
        let path = format!("/dev/shm/job-{index:06}-{}", &"x".repeat(index % 17));
        fs::write(path, vec![1; 1 + index % 5000]).expect("create an object");
    }
}

/// Processes that each have one object open. They are killed when this is dropped.
struct Users(Vec<Child>);

impl Users {
    fn start() -> Users {
        let spawn = |index| {
            let path = format!("/dev/shm/held-{index}");
            fs::write(&path, "1").expect("create an object");
            let mut sleep = Command::new("sleep");
            let object = fs::File::open(path).expect("open the object");
            sleep
                .arg("1000")
                .stdin(object)
                .spawn()
                .expect("sleep starts")
        };
        Users((0..PROCESSES).map(spawn).collect())
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
