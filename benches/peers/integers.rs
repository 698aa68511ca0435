//! What an integer costs a script.

use crate::race::{self, Contender, Table, median, program, run};
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::futex;
use shmtool::sys::memory::int::{Int, IntType};
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

/// An object of our own, removed in the end.
struct Counter(ShmName);

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = Object::unlink(&Directory::own(), &self.0);
    }
}

pub fn compare(table: &mut Table) {
    let name = format!("/shmtool-bench-{}", std::process::id());
    let counter = Counter(ShmName::new(name.as_ref()).expect("a NAME"));
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

    latency(&counter.0, table);
    processor_time(&name, table);
    instructions(&name, table);
}

fn run_quiet(mut command: Command) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(command)
}

/// From a store and a wake-up, which are those of `write-int`, to the first byte that the waiter prints.
fn latency(name: &ShmName, table: &mut Table) {
    let object = Object::open(&Directory::own(), name, Access::ReadWrite).expect("our object");
    let length = NonZero::new(futex::WORD).expect("4 is not 0");
    let mapping = Mapping::shared_file(&object, 0, length, Access::ReadWrite).expect("a mapping");
    let store = |value| {
        let int = Int::new(IntType::I32, value).expect("a small integer");
        mapping.store(0, int).expect("our object");
    };
    let times = (0..200).map(|_| {
        store(0);
        let mut command =
            Contender::ours(&["read-int", "--until", "1", &name.to_string()]).command();
        let mut waiter = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("it started before");
        let mut output = BufReader::new(waiter.stdout.take().expect("a pipe"));
        // Long enough for it to be asleep.
        sleep(Duration::from_millis(15));
        let start = Instant::now();
        store(1);
        futex::wake(&mapping, 0, futex::WORD);
        output.fill_buf().expect("the waiter prints");
        let elapsed = start.elapsed();
        waiter.wait().expect("it is our child");
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

/// What waiting takes of the processor.
fn processor_time(name: &str, table: &mut Table) {
    let wait = ["read-int", "--until", "-1", "--timeout", "10s", name];
    let before = race::processor_time();
    let mut command = Contender::ours(&wait).command();
    command
        .stderr(Stdio::null())
        .status()
        .expect("it started before");
    table.note(format!(
        "waiting for 10 s: {:.1} ms of the processor",
        race::processor_time() - before
    ));
}

/// Instructions do not depend on the machine's load.
fn instructions(name: &str, table: &mut Table) {
    let counted = |program: &str, args: &[&str]| {
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
    let ours = program().into_string().expect("a path of text");
    for (program, args) in [
        (&ours[..], &["read-int", name][..]),
        (&ours, &["write-int", name, "1"]),
        ("od", &["-An", "-td4", "-N4", &path]),
        ("cat", &[&path]),
    ] {
        let Some(count) = counted(program, args) else {
            table.note("valgrind: not found, instructions left out");
            return;
        };
        let program = program.rsplit('/').next().unwrap_or_default();
        table.note(format!(
            "instructions: {count:>9}  {program} {}",
            args.join(" ")
        ));
    }
}
