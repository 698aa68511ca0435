//! `cargo bench --bench integers`: what an integer costs a script, against the peers that this machine has.
//!
//! `SHMTOOL_STATIC` names a static build, if there is one to race too.

#[allow(dead_code, reason = "each bench uses its own part")]
mod common;

use common::{Contender, header, median, race, run};
use shmtool::sys::futex;
use shmtool::sys::int::{Int, IntType};
use shmtool::sys::mapping::Mapping;
use shmtool::sys::name::ShmName;
use shmtool::sys::object::{Access, Object};
use std::io::{BufRead, BufReader};
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ROUNDS: usize = 500;

/// An object of our own, removed in the end.
struct Counter(ShmName);

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = Object::unlink(&self.0);
    }
}

fn main() {
    // cargo test runs benches too, to see that they start; cargo bench says so.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let name = format!("/shmtool-bench-{}", std::process::id());
    let counter = Counter(ShmName::new(name.as_ref()).expect("a NAME"));
    run_quiet(Contender::ours("", &["write-int", &name, "42"]).command());
    let path = format!("/dev/shm{name}");

    let ours = Contender::ours("shmtool", &["read-int", &name]);
    let built = std::env::var_os("SHMTOOL_STATIC");
    let python = "import sys
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1])
resource_tracker.unregister(object._name, 'shared_memory')
print(int.from_bytes(object.buf[:4], sys.byteorder, signed=True))";
    let peers = [
        built.map(|program| Contender::new("static build", program, &["read-int", &name])),
        Contender::new("od", "od", &["-An", "-td4", "-N4", &path]).found(),
        Contender::new("cat", "cat", &[&path]).found(),
        Contender::new("true", "true", &[]).found(),
    ];
    let contenders: Vec<_> = [ours]
        .into_iter()
        .chain(peers.into_iter().flatten())
        .collect();
    let python = Contender::new("python3", "python3", &["-c", python, &name]).found();
    header();
    race("read an integer", &contenders, ROUNDS, run_quiet);
    let ours = || Contender::ours("shmtool", &["read-int", &name]);
    if let Some(python) = python {
        race("read an integer", &[ours(), python], 20, run_quiet);
    }
    let add = Contender::ours("shmtool --add", &["write-int", "--add", &name, "1"]);
    race("add to an integer", &[ours(), add], ROUNDS, run_quiet);

    latency(&counter.0);
    processor_time(&name);
    instructions(&name);
}

fn run_quiet(mut command: Command) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(command)
}

/// From a store and a wake-up, which are those of `write-int`, to the first byte that the waiter prints.
fn latency(name: &ShmName) {
    let object = Object::open(name, Access::ReadWrite).expect("our object");
    let length = NonZero::new(futex::WORD).expect("4 is not 0");
    let mapping = Mapping::shared_file(&object, 0, length, Access::ReadWrite).expect("a mapping");
    let store = |value| mapping.store(0, Int::new(IntType::I32, value).expect("a small integer"));
    let times = (0..200).map(|_| {
        store(0);
        let mut command =
            Contender::ours("", &["read-int", "--until", "1", &name.to_string()]).command();
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
    let median = median(times.into_iter());
    println!(
        "from a store to the waiter's output: median {median:.0} us, min {min:.0}, max {max:.0}"
    );
}

/// What waiting takes of the processor.
fn processor_time(name: &str) {
    let wait = ["read-int", "--until", "-1", "--timeout", "10s", name];
    let before = common::processor_time();
    let mut command = Contender::ours("", &wait).command();
    command
        .stderr(Stdio::null())
        .status()
        .expect("it started before");
    println!(
        "waiting for 10 s: {:.1} ms of the processor",
        common::processor_time() - before
    );
}

/// Instructions do not depend on the machine's load.
fn instructions(name: &str) {
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
    for (program, args) in [
        (env!("CARGO_BIN_EXE_shmtool"), &["read-int", name][..]),
        (env!("CARGO_BIN_EXE_shmtool"), &["write-int", name, "1"]),
        ("od", &["-An", "-td4", "-N4", &path]),
        ("cat", &[&path]),
    ] {
        let Some(count) = counted(program, args) else {
            println!("valgrind: not found, left out");
            return;
        };
        let program = program.rsplit('/').next().unwrap_or_default();
        println!("instructions: {count:>9}  {program} {}", args.join(" "));
    }
}
