//! Measures what reading, changing and waiting for an integer costs a script.

use crate::race::{self, Contender, Table, median, program, run};
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::futex::{self, Word};
use shmtool::sys::memory::int::{Endian, Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use shmtool::sys::shm::directory::Directory;
use shmtool::sys::shm::name::ShmName;
use shmtool::sys::shm::object::Object;
use std::io::{BufRead, BufReader};
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;

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
    let path = format!("/dev/shm{name}");

    let ours = || Contender::ours(&["read-int", &name]);
    let mut peers = vec![
        Contender::peer("od", &["-An", "-td4", "-N4", &path]),
        Contender::peer("cat", &[&path]),
        Contender::peer("true", &[]),
    ];
    if let Some(program) = std::env::var_os("SHMTOOL_STATIC") {
        peers.push(Contender::new(
            "static build",
            program,
            &["read-int", &name],
        ));
    }
    table.race("read an integer", ours(), peers, ROUNDS, run_quiet);
    let python = "import sys
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1])
resource_tracker.unregister(object._name, 'shared_memory')
print(int.from_bytes(object.buf[:4], sys.byteorder, signed=True))";
    let python = Contender::peer("python3", &["-c", python, &name]);
    table.race("read an integer", ours(), vec![python], 20, run_quiet);
    let add = Contender::ours(&["write-int", "--add", &name, "1"]);
    let peer = Contender::peer("true", &[]);
    table.race("add to an integer", add, vec![peer], ROUNDS, run_quiet);

    let file = Contender::ours(&["read-int", "--file", &path]);
    let object = Contender::new("read-int NAME", program(), &["read-int", &name]);
    table.race("read-int --file", file, vec![object], ROUNDS, run_quiet);

    latency(&counter.0, table);
    hand_over(&counter.0, table);
    cpu_time_of_waiting(&name, table);
    count_instructions(&name, table);
}

fn run_quiet(mut command: Command) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(command)
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

/// Counts instructions, which do not depend on the load of the machine.
fn count_instructions(name: &str, table: &mut Table) {
    let count = |program: &str, args: &[&str]| {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args([
                "--tool=callgrind",
                "--callgrind-out-file=/dev/null",
                program,
            ])
            .args(args);
        let text = valgrind.stdout(Stdio::null()).output().ok()?.stderr;
        let text = String::from_utf8_lossy(&text).into_owned();
        let after = text.split("Collected :").nth(1)?;
        after.split_whitespace().next().map(str::to_owned)
    };
    let path = format!("/dev/shm{name}");
    let ours = program().into_string().expect("the path is valid UTF-8");
    for (program, args) in [
        (&ours[..], &["read-int", name][..]),
        (&ours, &["write-int", name, "1"]),
        ("od", &["-An", "-td4", "-N4", &path]),
        ("cat", &[&path]),
    ] {
        let Some(count) = count(program, args) else {
            table.note("valgrind: not found, instructions not counted");
            return;
        };
        let program = program.rsplit('/').next().unwrap_or_default();
        table.note(format!(
            "instructions: {count:>9}  {program} {}",
            args.join(" ")
        ));
    }
}
