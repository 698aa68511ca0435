//! Compares `cat` with other implementations of cat.

use crate::race::{Contender, Table};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;

/// Where the output goes.
enum Target {
    /// A pipe whose reader only reads, 1 MiB at a time.
    Pipe,
    File(PathBuf),
    Null,
}

pub fn compare(table: &mut Table) {
    let directory = tempfile::tempdir().expect("create a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let (full, sparse, small) = (path("full"), path("sparse"), path("small"));
    create_file(&full, GIB);
    File::create(&sparse)
        .and_then(|file| file.set_len(GIB))
        .expect("create a sparse file");
    create_file(&small, 4096);
    let uutils = std::env::var_os("UUTILS_CAT").unwrap_or_else(|| "uu-cat".into());
    for (title, input, target, rounds) in [
        ("cat 1 GiB into a pipe", &full, Target::Pipe, 7),
        ("cat 1 GiB of hole into a pipe", &sparse, Target::Pipe, 7),
        ("cat 1 GiB to a file", &full, Target::File(path("copy")), 5),
        ("cat 1 GiB to /dev/null", &full, Target::Null, 9),
        ("cat 4 KiB to /dev/null", &small, Target::Null, 200),
    ] {
        let peers = vec![
            Contender::peer("cat", &[]),
            Contender::new("uutils cat", uutils.clone(), &[]),
        ];
        let ours = Contender::ours(&["cat"]);
        table.race(title, ours, peers, rounds, |command| {
            time(command, input, &target)
        });
    }
}

/// Writes a file in chunks of at most 1 MiB, no two of which are equal. Afterwards the file is in the page cache.
fn create_file(path: &Path, size: u64) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .expect("create a file");
    let mut chunk = vec![0; size.min(1 << 20) as usize];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut chunk))
        .expect("read random bytes");
    for offset in (0..size).step_by(chunk.len()) {
        chunk[..8].copy_from_slice(&offset.to_ne_bytes());
        file.write_all_at(&chunk, offset).expect("write the file");
    }
    file.sync_all()
        .expect("the file is written to disk before the measurement");
}

fn time(mut command: Command, input: &Path, target: &Target) -> Duration {
    command.arg(input);
    let output = match target {
        Target::Pipe => Stdio::piped(),
        Target::Null => Stdio::null(),
        // Create the file again: truncating a large file would add to the time.
        Target::File(path) => {
            let _ = std::fs::remove_file(path);
            File::create(path).expect("create the output file").into()
        }
    };
    let mut buffer = vec![1; 1 << 20];
    let start = Instant::now();
    let mut child = command.stdout(output).spawn().expect("the command starts");
    if let Some(mut pipe) = child.stdout.take() {
        while pipe.read(&mut buffer).expect("read from the pipe") > 0 {}
    }
    let status = child.wait().expect("wait for the command");
    let time = start.elapsed();
    assert!(status.success(), "{command:?} failed");
    time
}
