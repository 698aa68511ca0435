//! Compares `cat` with other implementations of cat.

use crate::layout::{LARGE, Layout, SINGLE, write_file};
use crate::race::{Contender, Table};
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SIZE: usize = 512 << 20;
const ROUNDS: usize = 9;
const ON_TMPFS: &str = "/dev/shm/input";

/// Where the output goes.
enum Target {
    /// A pipe of 1 MiB, from which 1 MiB at a time is read.
    LargePipe,
    /// A pipe that has the size that the kernel gives it, unless the command enlarges it, read in the same way.
    Pipe,
    /// `wc -c`, which reads small pieces from a pipe that it does not enlarge.
    WordCount,
    File(PathBuf),
    Null,
}

pub fn compare(table: &mut Table) {
    let directory = tempfile::tempdir().expect("create a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let file_system = file_system(directory.path());
    let (on_disk, on_tmpfs) = (path("input"), PathBuf::from(ON_TMPFS));
    into_pipes(
        table,
        &format!("{file_system} large folios"),
        &on_disk,
        LARGE,
    );
    into_pipes(
        table,
        &format!("{file_system} single pages"),
        &on_disk,
        SINGLE,
    );
    into_pipes(table, "tmpfs", &on_tmpfs, LARGE);

    write_file(&on_disk, SIZE, LARGE);
    let (copy, copy_on_tmpfs) = (path("copy"), PathBuf::from("/dev/shm/copy"));
    for (from, input) in [(&file_system[..], &on_disk), ("tmpfs", &on_tmpfs)] {
        for (to, output) in [(&file_system[..], &copy), ("tmpfs", &copy_on_tmpfs)] {
            let title = format!("{from} file to {to} file");
            race(table, &title, input, Target::File(output.clone()), ROUNDS);
            fs::remove_file(output).expect("the copy exists");
        }
    }
    race(
        table,
        "large file to /dev/null",
        &on_disk,
        Target::Null,
        ROUNDS,
    );
    let (sparse, small) = (path("sparse"), path("small"));
    File::create(&sparse)
        .and_then(|file| file.set_len(SIZE as u64))
        .expect("create a sparse file");
    race(
        table,
        "hole to 1 MiB pipe",
        &sparse,
        Target::LargePipe,
        ROUNDS,
    );
    write_file(&small, SINGLE, SINGLE);
    race(table, "4 KiB to /dev/null", &small, Target::Null, 200);

    let (large_peak, small_peak) = (peak_memory(&on_disk, SIZE), peak_memory(&small, SINGLE));
    table.note(format!(
        "peak resident memory of cat: {large_peak} KiB with 512 MiB, {small_peak} KiB with 4 KiB: {} KiB more",
        large_peak.saturating_sub(small_peak)
    ));
    fs::remove_file(&on_tmpfs).expect("the input exists");
}

/// The type of the file system, such as `ext4`.
fn file_system(directory: &Path) -> String {
    let mut df = Command::new("df");
    let output = df.arg("--output=fstype").arg(directory).output();
    let text = output.expect("df starts").stdout;
    let text = String::from_utf8_lossy(&text);
    text.lines().last().unwrap_or("disk").to_owned()
}

/// Writes a file, races with it into each kind of pipe, and checks in which folios it was.
fn into_pipes(table: &mut Table, title: &str, input: &Path, piece: usize) {
    write_file(input, SIZE, piece);
    for (to, target) in [
        ("1 MiB pipe", Target::LargePipe),
        ("pipe", Target::Pipe),
        ("wc -c", Target::WordCount),
    ] {
        race(table, &format!("{title} to {to}"), input, target, ROUNDS);
    }
    // The kernel may split folios, but it does not merge them. So those that are large now were large during the race.
    table.note(match Layout::check(input) {
        Ok(layout) => format!("{title}: {layout}"),
        Err(error) => format!("{title}: folios not checked, because only root can do so: {error}"),
    });
}

fn race(table: &mut Table, title: &str, input: &Path, target: Target, rounds: usize) {
    let uutils = std::env::var_os("UUTILS_CAT").unwrap_or_else(|| "uu-cat".into());
    let peers = vec![
        Contender::peer("cat", &[]),
        Contender::new("uutils cat", uutils, &[]),
    ];
    let ours = Contender::ours(&["cat"]);
    table.race(title, ours, peers, rounds, |command| {
        time(command, input, &target)
    });
}

fn time(mut command: Command, input: &Path, target: &Target) -> Duration {
    let mut pipe = None;
    let output = match target {
        Target::LargePipe | Target::Pipe | Target::WordCount => {
            let (reader, writer) = io::pipe().expect("create a pipe");
            if let Target::LargePipe = target {
                fcntl(&reader, FcntlArg::F_SETPIPE_SZ(1 << 20)).expect("enlarge the pipe");
            }
            pipe = Some(reader);
            writer.into()
        }
        // Create the file again: truncating a large file would add to the time.
        Target::File(path) => {
            let _ = fs::remove_file(path);
            File::create(path).expect("create the output file").into()
        }
        Target::Null => Stdio::null(),
    };
    let mut buffer = vec![1; 1 << 20];
    let start = Instant::now();
    let child = command.arg(input).stdout(output).spawn();
    let mut child = child.expect("the command starts");
    // The command holds the writing end of the pipe open, so the reader would never see the end of the output.
    drop(command);
    match (pipe, target) {
        (Some(pipe), Target::WordCount) => {
            let wc = Command::new("wc")
                .arg("-c")
                .stdin(pipe)
                .stdout(Stdio::null())
                .status();
            assert!(wc.expect("wc starts").success(), "wc failed");
        }
        (Some(mut pipe), _) => while pipe.read(&mut buffer).expect("read from the pipe") > 0 {},
        (None, _) => {}
    }
    let status = child.wait().expect("wait for the command");
    let time = start.elapsed();
    assert!(status.success(), "cat {} failed", input.display());
    time
}

/// The peak of the resident memory in KiB after a file has been printed.
fn peak_memory(input: &Path, size: usize) -> u64 {
    // After the file, the command waits for its standard input.
    let mut command = Contender::ours(&["cat"]).command();
    command.arg(input).arg("-");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the command starts");
    let output = child.stdout.as_mut().expect("standard output is a pipe");
    let printed = io::copy(&mut output.take(size as u64), &mut io::sink());
    assert_eq!(printed.expect("read from the pipe"), size as u64);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.expect("read the status of the command");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
    // Waiting closes the standard input of the command.
    child.wait().expect("wait for the command");
    peak.expect("the status contains the peak")
}
