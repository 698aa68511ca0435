//! `cargo bench --bench cat`: `shmtool cat` against the peers that this machine has.
//!
//! The commands of one row run in turn, again and again, so that a machine whose speed drifts treats all
//! alike. A ratio is the median of the peer's time over ours, round by round: above 1, ours is faster.
//! `UUTILS_CAT` names the `cat` of uutils, if its path is not `uu-cat`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;

struct Contender {
    name: &'static str,
    program: OsString,
    args: &'static [&'static str],
}

/// Where the output goes.
enum Target {
    /// A reader that does nothing but read, 1 MiB at a time.
    Pipe,
    File(PathBuf),
    Null,
}

fn main() {
    // cargo test runs benches too, to see that they start; cargo bench says so.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory for the files");
    let path = |name: &str| directory.path().join(name);
    let (full, sparse, small) = (path("full"), path("sparse"), path("small"));
    fill(&full, GIB);
    File::create(&sparse)
        .and_then(|file| file.set_len(GIB))
        .expect("a sparse file");
    fill(&small, 4096);

    let contenders = contenders();
    println!(
        "{:<34}{:<12}{:>11}{:>11}{:>11}{:>9}",
        "", "", "min ms", "median", "max", "ratio"
    );
    race("1 GiB into a pipe", &contenders, &full, &Target::Pipe, 11);
    race(
        "1 GiB of hole into a pipe",
        &contenders,
        &sparse,
        &Target::Pipe,
        11,
    );
    race(
        "1 GiB to a file",
        &contenders,
        &full,
        &Target::File(path("copy")),
        7,
    );
    race("1 GiB to /dev/null", &contenders, &full, &Target::Null, 7);
    race(
        "4 KiB to /dev/null (start-up)",
        &contenders,
        &small,
        &Target::Null,
        300,
    );
}

fn contenders() -> Vec<Contender> {
    let ours = env!("CARGO_BIN_EXE_shmtool").into();
    let uutils = std::env::var_os("UUTILS_CAT").unwrap_or_else(|| "uu-cat".into());
    let mut found = vec![Contender {
        name: "shmtool cat",
        program: ours,
        args: &["cat"],
    }];
    for (name, program) in [("GNU cat", "cat".into()), ("uutils cat", uutils)] {
        match Command::new(&program).arg("--version").output() {
            Ok(version) => {
                let text = String::from_utf8_lossy(&version.stdout);
                println!("{name}: {}", text.lines().next().unwrap_or_default());
                found.push(Contender {
                    name,
                    program,
                    args: &[],
                });
            }
            Err(_) => println!("{name}: not found, left out"),
        }
    }
    found
}

/// Bytes that do not repeat, written a MiB at a time and in the page cache afterwards.
fn fill(path: &Path, size: u64) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .expect("a file");
    let mut chunk = vec![0; size.min(1 << 20) as usize];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut chunk))
        .expect("random bytes");
    for offset in (0..size).step_by(chunk.len()) {
        chunk[..8].copy_from_slice(&offset.to_ne_bytes());
        file.write_all_at(&chunk, offset)
            .expect("room for the file");
    }
    file.sync_all()
        .expect("the file on the disk, so that nothing is written while we measure");
}

fn race(title: &str, contenders: &[Contender], input: &Path, target: &Target, rounds: usize) {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let time = time(contender, input, target);
            // The first round warms up.
            if round > 0 {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    for (contender, own) in contenders.iter().zip(&times) {
        let ratio = median(own.iter().zip(&times[0]).map(|(peer, ours)| peer / ours));
        let (min, max) = own
            .iter()
            .fold((f64::MAX, 0.0), |(min, max), &t| (t.min(min), t.max(max)));
        let median = median(own.iter().copied());
        println!(
            "{title:<34}{:<12}{min:>11.2}{median:>11.2}{max:>11.2}{ratio:>9.2}",
            contender.name
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn time(contender: &Contender, input: &Path, target: &Target) -> Duration {
    let mut command = Command::new(&contender.program);
    command.args(contender.args).arg(input);
    let output = match target {
        Target::Pipe => Stdio::piped(),
        Target::Null => Stdio::null(),
        // Made anew: to empty a large file takes its time too.
        Target::File(path) => {
            let _ = std::fs::remove_file(path);
            File::create(path).expect("a file to write to").into()
        }
    };
    let mut buffer = vec![1; 1 << 20];
    let start = Instant::now();
    let mut child = command.stdout(output).spawn().expect("it started before");
    if let Some(mut pipe) = child.stdout.take() {
        while pipe.read(&mut buffer).expect("a pipe can be read") > 0 {}
    }
    assert!(
        child.wait().expect("it is our child").success(),
        "{} failed",
        contender.name
    );
    let time = start.elapsed();
    std::io::stdout().flush().expect("standard output");
    time
}
