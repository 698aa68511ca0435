//! Runs commands in turn for many rounds, so that changes in the speed of the machine affect all of them alike.

use crate::build;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command that takes part in a comparison.
pub struct Contender {
    name: &'static str,
    program: OsString,
    args: Vec<String>,
}

impl Contender {
    /// The binary that [`build::build`] built.
    pub fn ours(args: &[&str]) -> Contender {
        Contender::new("shmtool", build::program(), args)
    }

    /// A program from PATH.
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

/// The printed table: a row for each comparison, then notes.
pub struct Table {
    start: Instant,
    /// The version of each peer that was looked for, or None if it is missing.
    peers: BTreeMap<&'static str, Option<String>>,
    notes: Vec<String>,
}

impl Table {
    /// Prints the load average and the header.
    pub fn start() -> Table {
        let load = fs::read_to_string("/proc/loadavg").expect("read the load average");
        let load = load.split(' ').next().unwrap_or_default();
        println!("load average before the first comparison, near 0 on a quiet machine: {load}\n");
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

    /// Adds a result that is not a comparison.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether the peer is installed.
    pub fn has(&mut self, peer: &Contender) -> bool {
        let version = self.peers.entry(peer.name).or_insert_with(|| {
            let output = Command::new(&peer.program).arg("--version").output().ok()?;
            // Some programs print their version on standard error.
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            let has_digit = |line: &&str| line.chars().any(|c| c.is_ascii_digit());
            Some(
                text.lines()
                    .find(has_digit)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            )
        });
        version.is_some()
    }

    /// Prints a row for each installed peer. `time` runs a command and returns how long it took. The first round is a
    /// warm-up.
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
            // Every other round goes backwards: whoever comes second finds in the caches what the first one has needed.
            for turn in 0..all.len() {
                let index = if round % 2 == 0 {
                    turn
                } else {
                    all.len() - 1 - turn
                };
                let (contender, (wall, cpu)) = (all[index], &mut times[index]);
                let before = children_cpu_time();
                let elapsed = time(contender.command());
                if round > 0 {
                    wall.push(elapsed.as_secs_f64() * 1e3);
                    cpu.push(children_cpu_time() - before);
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
            "\nratio: the time of the peer divided by that of shmtool, round by round; above 1, shmtool is faster.\n\
             cpu: the same ratio for CPU time.\n"
        );
        for note in self.notes {
            println!("{note}");
        }
        println!();
        for (peer, version) in self.peers {
            match version {
                Some(version) => println!("{peer}: {version}"),
                None => println!("{peer}: not found, skipped"),
            }
        }
        println!("total time: {} s", self.start.elapsed().as_secs());
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

pub fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * fraction).round() as usize]
}

/// User and system CPU time of all children that have ended, in milliseconds.
pub fn children_cpu_time() -> f64 {
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).expect("get the resource usage of the children");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3
}

/// Runs a command, which must succeed, and returns how long it took.
pub fn run(mut command: Command) -> Duration {
    let start = Instant::now();
    let status = command.status().expect("the command starts");
    let time = start.elapsed();
    assert!(status.success(), "{command:?} failed");
    time
}

/// Runs a command, which must succeed, without its output.
pub fn run_quiet(mut command: Command) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(command)
}

/// Runs a command and reads its output through a pipe. The exit status is ignored: `lsof` fails if no object is in use.
pub fn read_all(mut command: Command) -> Duration {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut output = child.stdout.take().expect("standard output is a pipe");
    let mut buffer = vec![0; 1 << 20];
    while output.read(&mut buffer).expect("read from the pipe") > 0 {}
    child.wait().expect("wait for the command");
    start.elapsed()
}

/// Runs `body` with a private tmpfs on `/dev/shm` and a private `/proc`. To do so, runs the whole program again, with an
/// extra argument.
pub fn in_private_shm(body: impl FnOnce()) {
    const IN_PRIVATE_SHM: &str = "--in-private-shm";
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == IN_PRIVATE_SHM) {
        return body();
    }
    let script = "mount -t tmpfs -o size=3g,nr_inodes=1m tmpfs /dev/shm && exec \"$0\" \"$@\"";
    let mut unshare = Command::new("unshare");
    // In a user namespace, /proc/kpageflags could not be read. Root does not need one.
    if !geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "--ipc", "--pid", "--fork", "--kill-child"]);
    unshare.arg("--mount-proc");
    unshare.args(["sh", "-c", script]);
    unshare.arg(std::env::current_exe().expect("get the path of the program"));
    let status = unshare.args(args).arg(IN_PRIVATE_SHM).status();
    if !status.is_ok_and(|status| status.success()) {
        println!(
            "the benchmark failed, or this system does not allow a private /dev/shm (unshare --user --mount)"
        );
        std::process::exit(1);
    }
}
