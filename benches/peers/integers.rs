//! Measures what waiting for an integer costs a script.

use crate::build::program;
use crate::race::{self, Contender, Table, median, run_quiet};
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::futex::{self, Word};
use shmtool::sys::memory::int::{Endian, Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use shmtool::sys::shm::directory::Directory;
use shmtool::sys::shm::name::ShmName;
use shmtool::sys::shm::object::Object;
use std::io::{BufRead, BufReader};
use std::num::NonZero;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The object that the benchmark uses. It is removed when it is dropped.
struct Counter(ShmName);

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = Object::unlink(&Directory::own(), &self.0);
    }
}

pub fn compare(table: &mut Table) {
    let name = format!("/shmtool-bench-{}", std::process::id());
    let counter = Counter(ShmName::new(name.as_ref()).expect("the name is valid"));
    run_quiet(Contender::ours(&["write-int", &name, "42"]).command());
    latency(&counter.0, table);
    hand_over(&counter.0, table);
    semaphores(&name, table);
    cpu_time_of_waiting(&name, table);
}

/// Measures the time from a store and a wake-up, as in `write-int`, to the first byte that the waiter prints.
fn latency(name: &ShmName, table: &mut Table) {
    let object = Object::open(&Directory::own(), name, Access::ReadWrite).expect("open the object");
    let length = NonZero::new(futex::WORD_SIZE).expect("4 is not 0");
    let mapping =
        Mapping::shared_file(&object, 0, length, Access::ReadWrite).expect("map the object");
    let store = |value| {
        let int = Int::new(IntType::I32, value).expect("the value fits");
        mapping.store(0, int).expect("store the integer");
    };
    let times = (0..200).map(|_| {
        store(0);
        let mut command =
            Contender::ours(&["read-int", "--until", "1", &name.to_string()]).command();
        let mut waiter = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut output = BufReader::new(waiter.stdout.take().expect("standard output is a pipe"));
        // Give the waiter time to fall asleep.
        sleep(Duration::from_millis(15));
        let start = Instant::now();
        store(1);
        futex::wake(&mapping, 0, futex::WORD_SIZE);
        output.fill_buf().expect("the waiter prints");
        let elapsed = start.elapsed();
        waiter.wait().expect("wait for the command");
        elapsed.as_secs_f64() * 1e6
    });
    let times: Vec<_> = times.collect();
    let (min, max) = times
        .iter()
        .fold((f64::MAX, 0.0), |(min, max), &t| (t.min(min), t.max(max)));
    table.note(format!(
        "from a store to the output of read-int --until: median {:.0} us, min {min:.0}, max {max:.0}",
        median(&times)
    ));
}

/// Measures the time from a store and a wake-up to the change that `write-int --wait` makes then.
fn hand_over(name: &ShmName, table: &mut Table) {
    let object = Object::open(&Directory::own(), name, Access::ReadWrite).expect("open the object");
    let length = NonZero::new(futex::WORD_SIZE).expect("4 is not 0");
    let mapping =
        Mapping::shared_file(&object, 0, length, Access::ReadWrite).expect("map the object");
    let int = |value| Int::new(IntType::I32, value).expect("the value fits");
    let times = (0..200).map(|_| {
        mapping.store(0, int(0)).expect("store the integer");
        let wait = ["write-int", "--if", "1", "--wait", &name.to_string(), "2"];
        let mut waiter = Contender::ours(&wait).command();
        let mut waiter = waiter.spawn().expect("the command starts");
        // Give the waiter time to fall asleep.
        sleep(Duration::from_millis(15));
        let start = Instant::now();
        mapping.store(0, int(1)).expect("store the integer");
        futex::wake(&mapping, 0, futex::WORD_SIZE);
        // Sleep too, so that a processor is idle.
        loop {
            let loaded = Word::load(&mapping, 0, IntType::I32, Endian::NATIVE);
            let (now, word) = loaded.expect("load the integer");
            if now == int(2) {
                break;
            }
            let slept = word.sleep(&mapping, Duration::from_secs(1));
            slept.expect("sleep on the integer");
        }
        let elapsed = start.elapsed();
        waiter.wait().expect("wait for the command");
        elapsed.as_secs_f64() * 1e6
    });
    let times: Vec<_> = times.collect();
    table.note(format!(
        "from a store to the change by write-int --wait: median {:.0} us",
        median(&times)
    ));
}

/// Compares a semaphore with a lock of `flock`. Scripts take and release them many times.
fn semaphores(name: &str, table: &mut Table) {
    // The version of flock is looked up here, because the program of the contender is a shell.
    if !table.has(&Contender::peer("flock", &[])) {
        return;
    }
    let semaphore =
        "\"$0\" write-int --if ge:1 --wait --add \"$1\" -1; \"$0\" write-int --add \"$1\" 1";
    let shmtool = program().into_string().expect("the path is valid UTF-8");
    let lock = format!("/dev/shm{name}");
    run_quiet(Contender::ours(&["write-int", name, "1"]).command());
    for (title, processes, rounds) in [
        ("take a lock 50 times", 1, 20),
        ("the same in 4 processes", 4, 9),
    ] {
        let script = |take: &str| {
            format!(
                "for process in $(seq {processes}); do \
                 (exec 9>>\"$1\"; for time in $(seq 50); do {take}; done) & done; wait"
            )
        };
        let contender = |name, take, program| {
            Contender::new(name, "sh", &["-c", &script(take), program, &lock])
        };
        let ours = contender("shmtool", semaphore, &shmtool);
        let peer = contender("flock", "flock 9; flock -u 9", "sh");
        table.race(title, ours, vec![peer], rounds, run_quiet);
    }
    // The script ignores errors. A process that failed to take the semaphore would have released it all the same.
    run_quiet(Contender::ours(&["write-int", "--if", "1", name, "0"]).command());
}

/// Measures the CPU time that waiting takes.
fn cpu_time_of_waiting(name: &str, table: &mut Table) {
    let wait = ["read-int", "--until", "-1", "--timeout", "10s", name];
    let before = race::children_cpu_time();
    let mut command = Contender::ours(&wait).command();
    command
        .stderr(Stdio::null())
        .status()
        .expect("the command starts");
    table.note(format!(
        "waiting for 10 s: {:.1} ms of CPU time",
        race::children_cpu_time() - before
    ));
}
