//! Commands that run in turn, again and again, so that a machine whose speed drifts treats all alike.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One of those that race.
pub struct Contender {
    name: &'static str,
    program: OsString,
    args: Vec<String>,
}

impl Contender {
    /// The binary that [`build`] made.
    pub fn ours(args: &[&str]) -> Contender {
        Contender::new("shmtool", program(), args)
    }

    /// A program that is called what it is.
    pub fn peer(name: &'static str, args: &[&str]) -> Contender {
        Contender::new(name, name, args)
    }

    pub fn new(name: &'static str, program: impl Into<OsString>, args: &[&str]) -> Contender {
        Contender {
            name,
            program: program.into(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
        }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command
    }
}

/// Where [`build`] puts what is raced.
const PROGRAM: &str = "SHMTOOL_BENCH_PROGRAM";

/// The binary under test.
pub fn program() -> OsString {
    std::env::var_os(PROGRAM).expect("build comes first")
}

/// Builds the program as its users do. What cargo builds for a benchmark has the features that the dependencies of
/// tests ask for, and takes a third longer to start.
pub fn build() {
    if std::env::var_os(PROGRAM).is_some() {
        return;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("users");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--bin", "shmtool"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory);
    let status = cargo.status().expect("cargo");
    assert!(status.success(), "{cargo:?} failed");
    // SAFETY: there are no other threads yet.
    unsafe { std::env::set_var(PROGRAM, directory.join("release/shmtool")) };
}

/// What is printed: a row for each comparison, and then what is to be known besides.
pub struct Table {
    start: Instant,
    /// Of each peer that was looked for: its version, or none where it is missing.
    peers: BTreeMap<&'static str, Option<String>>,
    notes: Vec<String>,
}

impl Table {
    /// Prints the header.
    pub fn start() -> Table {
        println!(
            "{:<32}{:>9}  {:<12}{:>9}{:>8}  {:<12}{:>8}",
            "milliseconds, medians", "shmtool", "peer", "", "ratio", "quartiles", "cpu"
        );
        Table {
            start: Instant::now(),
            peers: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Something that is no comparison.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether this machine has the peer.
    pub fn has(&mut self, peer: &Contender) -> bool {
        let version = self.peers.entry(peer.name).or_insert_with(|| {
            let output = Command::new(&peer.program).arg("--version").output().ok()?;
            // Some say it on standard error.
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            let first = |line: &&str| line.chars().any(|c| c.is_ascii_digit());
            Some(
                text.lines()
                    .find(first)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            )
        });
        version.is_some()
    }

    /// Prints a row for each peer that there is. `time` runs a command to its end. The first round warms up.
    pub fn race(
        &mut self,
        title: &str,
        ours: Contender,
        peers: Vec<Contender>,
        rounds: usize,
        time: impl Fn(Command) -> Duration,
    ) {
        let peers: Vec<_> = peers.into_iter().filter(|peer| self.has(peer)).collect();
        let all: Vec<_> = [&ours].into_iter().chain(&peers).collect();
        let mut times = vec![(Vec::new(), Vec::new()); all.len()];
        for round in 0..=rounds {
            for (contender, (wall, cpu)) in all.iter().zip(&mut times) {
                let before = processor_time();
                let elapsed = time(contender.command());
                if round > 0 {
                    wall.push(elapsed.as_secs_f64() * 1e3);
                    cpu.push(processor_time() - before);
                }
            }
        }
        let (our_wall, our_cpu) = times.remove(0);
        for (peer, (wall, cpu)) in peers.iter().zip(&times) {
            let walls = ratios(wall, &our_wall);
            println!(
                "{title:<32}{:>9.2}  {:<12}{:>9.2}{:>8.2}  {:<12}{:>8.2}",
                median(&our_wall),
                peer.name,
                median(wall),
                median(&walls),
                format!(
                    "{:.2}-{:.2}",
                    quantile(&walls, 0.25),
                    quantile(&walls, 0.75)
                ),
                median(&ratios(cpu, &our_cpu)),
            );
        }
    }

    /// Prints the notes.
    pub fn finish(self) {
        println!(
            "\nratio: the peer's time over that of shmtool, round by round; above 1, shmtool is faster. cpu: the same\n\
             of the processor's time.\n"
        );
        for note in self.notes {
            println!("{note}");
        }
        println!();
        for (peer, version) in self.peers {
            match version {
                Some(version) => println!("{peer}: {version}"),
                None => println!("{peer}: not found, left out"),
            }
        }
        println!("all of it took {} s", self.start.elapsed().as_secs());
    }
}

fn ratios(peer: &[f64], ours: &[f64]) -> Vec<f64> {
    peer.iter()
        .zip(ours)
        .map(|(peer, ours)| peer / ours)
        .collect()
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
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
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == INSIDE) {
        return body();
    }
    let script = "mount -t tmpfs -o size=3g,nr_inodes=1m tmpfs /dev/shm && exec \"$0\" \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    unshare.arg(std::env::current_exe().expect("our own path"));
    let status = unshare.args(args).arg(INSIDE).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("failed, or a private /dev/shm cannot be had here (unshare --user --mount)");
        std::process::exit(1);
    }
}
