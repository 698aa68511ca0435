//! Measures what reading and changing an integer costs a script, nearly all of which is the start of a program.

use crate::build::{program, static_program};
use crate::layout::{SINGLE, write_pieces};
use crate::race::{Contender, Table, run_quiet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const ROUNDS: usize = 300;
const NAME: &str = "/shmtool-bench";
const PATH: &str = "/dev/shm/shmtool-bench";

pub fn compare(table: &mut Table) {
    run_quiet(Contender::ours(&["write-int", NAME, "42"]).command());
    let ours = || Contender::ours(&["read-int", NAME]);
    let od = || Contender::peer("od", &["-An", "-td4", "-N4", PATH]);
    let peers = vec![
        od(),
        Contender::peer("cat", &[PATH]),
        Contender::peer("true", &[]),
    ];
    table.race("read an integer", ours(), peers, ROUNDS, run_quiet);
    in_single_pages(table);
    match static_program() {
        Some(program) => {
            let ours = Contender::new("shmtool", program, &["read-int", NAME]);
            table.race(
                "read an integer, static build",
                ours,
                vec![od()],
                ROUNDS,
                run_quiet,
            );
        }
        None => table.note("static build: skipped, because Rust's musl target is not installed"),
    }
    let python = "import sys
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1])
resource_tracker.unregister(object._name, 'shared_memory')
print(int.from_bytes(object.buf[:4], sys.byteorder, signed=True))";
    let python = Contender::peer("python3", &["-c", python, NAME]);
    table.race("read an integer", ours(), vec![python], 20, run_quiet);
    let add = Contender::ours(&["write-int", "--add", NAME, "1"]);
    let peer = Contender::peer("true", &[]);
    table.race("add to an integer", add, vec![peer], ROUNDS, run_quiet);
    let file = Contender::ours(&["read-int", "--file", PATH]);
    let object = Contender::new("read-int NAME", program(), &["read-int", NAME]);
    table.race("read-int --file", file, vec![object], ROUNDS, run_quiet);
    count_instructions(table);
    fs::remove_file(PATH).expect("the object exists");
}

/// Compares copies of both programs that the kernel keeps in single pages: each page is mapped separately then. So it is
/// with programs that were read from disk as they ran, and on most file systems before Linux 6.16.
fn in_single_pages(table: &mut Table) {
    let directory = tempfile::tempdir().expect("create a temporary directory");
    let copy = |name: &str, program: &Path| {
        let copy = directory.path().join(name);
        let bytes = fs::read(program).expect("read the program");
        write_pieces(&copy, &bytes, bytes.len(), SINGLE);
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("make it executable");
        copy
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let od = std::env::split_paths(&path).map(|directory| directory.join("od"));
    let Some(od) = od.into_iter().find(|path| path.is_file()) else {
        return;
    };
    let ours = copy("shmtool", program().as_ref());
    let ours = Contender::new("shmtool", ours, &["read-int", NAME]);
    let args = ["-An", "-td4", "-N4", PATH];
    let od = Contender::new("od", copy("od", &od), &args);
    let title = "read an integer, single pages";
    table.race(title, ours, vec![od], ROUNDS, run_quiet);
}

/// Counts instructions, which do not depend on the load of the machine.
fn count_instructions(table: &mut Table) {
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
    let ours = program().into_string().expect("the path is valid UTF-8");
    for (program, args) in [
        (&ours[..], &["read-int", NAME][..]),
        (&ours, &["write-int", NAME, "1"]),
        ("od", &["-An", "-td4", "-N4", PATH]),
        ("cat", &[PATH]),
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
