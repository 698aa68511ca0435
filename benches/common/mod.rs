//! Commands that run in turn, again and again, so that a machine whose speed drifts treats all alike.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::process::Command;
use std::time::{Duration, Instant};

/// One of those that race.
pub struct Contender {
    pub name: &'static str,
    program: std::ffi::OsString,
    args: Vec<String>,
}

impl Contender {
    /// The binary under test.
    pub fn ours(name: &'static str, args: &[&str]) -> Contender {
        Contender::new(name, env!("CARGO_BIN_EXE_shmtool"), args)
    }

    pub fn new(
        name: &'static str,
        program: impl Into<std::ffi::OsString>,
        args: &[&str],
    ) -> Contender {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Contender {
            name,
            program: program.into(),
            args,
        }
    }

    /// The same, if this machine has it; if not, that is said.
    pub fn found(self) -> Option<Contender> {
        let version = Command::new(&self.program).arg("--version").output();
        let text = match &version {
            Ok(version) => String::from_utf8_lossy(&version.stdout),
            Err(_) => "not found, left out".into(),
        };
        println!("{}: {}", self.name, text.lines().next().unwrap_or_default());
        version.is_ok().then_some(self)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command
    }
}

/// What the columns of a row are. A ratio is the median of the peer's time over ours, round by round:
/// above 1, ours is faster.
pub fn header() {
    println!(
        "{:<34}{:<14}{:>9}{:>9}{:>9}{:>8}{:>9}{:>8}",
        "", "", "min ms", "median", "max", "ratio", "cpu ms", "ratio"
    );
}

/// Prints a row for each contender; the first is ours. `time` runs a command to its end.
pub fn race(
    title: &str,
    contenders: &[Contender],
    rounds: usize,
    time: impl Fn(Command) -> Duration,
) {
    let mut times = vec![(Vec::new(), Vec::new()); contenders.len()];
    for round in 0..=rounds {
        for (contender, (wall, cpu)) in contenders.iter().zip(&mut times) {
            let before = processor_time();
            let elapsed = time(contender.command());
            let used = processor_time() - before;
            // The first round warms up.
            if round > 0 {
                wall.push(elapsed.as_secs_f64() * 1e3);
                cpu.push(used);
            }
        }
    }
    let (our_wall, our_cpu) = times[0].clone();
    for (contender, (wall, cpu)) in contenders.iter().zip(&times) {
        let (min, max) = wall
            .iter()
            .fold((f64::MAX, 0.0), |(min, max), &t| (t.min(min), t.max(max)));
        println!(
            "{title:<34}{:<14}{min:>9.2}{:>9.2}{max:>9.2}{:>8.2}{:>9.2}{:>8.2}",
            contender.name,
            median(wall.iter().copied()),
            median(ratios(wall, &our_wall)),
            median(cpu.iter().copied()),
            median(ratios(cpu, &our_cpu)),
        );
    }
}

fn ratios(peer: &[f64], ours: &[f64]) -> impl Iterator<Item = f64> {
    peer.iter().zip(ours).map(|(peer, ours)| peer / ours)
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of all children that have ended, user and system, in milliseconds.
pub fn processor_time() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of our children");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3
}

/// Runs a command to its end, which must be a good one.
pub fn run(mut command: Command) -> Duration {
    let start = Instant::now();
    let status = command.status().expect("it started before");
    let time = start.elapsed();
    assert!(status.success(), "{command:?} failed");
    time
}

/// Runs `body` where `/dev/shm` is a tmpfs of our own: the whole program again, with an argument that says so.
pub fn in_private_shm(body: impl FnOnce()) {
    const INSIDE: &str = "--in-a-private-shm";
    if std::env::args().any(|arg| arg == INSIDE) {
        return body();
    }
    let script =
        "mount -t tmpfs -o size=3g,nr_inodes=1m tmpfs /dev/shm && exec \"$0\" --bench \"$1\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    let program = std::env::current_exe().expect("our own path");
    match unshare.arg(program).arg(INSIDE).status() {
        Ok(status) if status.success() => {}
        _ => println!("a private /dev/shm cannot be had here: left out"),
    }
}
