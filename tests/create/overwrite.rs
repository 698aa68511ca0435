//! `--overwrite`: FILE is stored in an existing object.

use crate::common::*;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

mod failures;

fn file_with(bytes: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

fn overwrite(args: &[&str], from: impl AsRef<Path>, name: &Name) -> Ended {
    let create = shmtool(["create", "--overwrite"]);
    run({ create }
        .args(args)
        .arg("--from")
        .arg(from.as_ref())
        .arg(name))
}

/// Starts to overwrite an object from a pipe.
fn spawn_from_pipe(args: &[&str], name: &Name) -> (Child, ChildStdin) {
    let mut create = shmtool(["create", "--overwrite", "--from", "-"]);
    let mut child = spawn(create.args(args).arg(name).stdin(Stdio::piped()));
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// The status of an object: what must not change if nothing is stored, and its contents.
fn state(name: &Name) -> (u64, u64, u64, i64, Vec<u8>) {
    let stat = fs::metadata(name.path()).unwrap();
    let contents = fs::read(name.path()).unwrap();
    let modified = stat.mtime() * 1_000_000_000 + stat.mtime_nsec();
    (stat.ino(), stat.len(), stat.blocks(), modified, contents)
}

#[test]
fn the_bytes_of_file_are_stored_in_the_same_object() {
    let name = Name::holding([9; 10_000]);
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let (inode, _, _, modified, _) = state(&name);
    sleep(Duration::from_millis(20));
    // A shorter FILE: the bytes after its end stay.
    let file = file_with([1; 5000]);
    overwrite(&["-m", "666"], file.path(), &name).prints("");
    let after = state(&name);
    assert_eq!((after.0, after.1), (inode, 10_000));
    assert!(after.3 > modified && after.4 == [[1; 5000], [9; 5000]].concat());
    let mode = fs::metadata(name.path()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
    // A longer FILE: the object grows.
    overwrite(&[], file_with([2; 50_000]).path(), &name).prints("");
    let after = state(&name);
    assert!(after.0 == inode && after.4 == [2; 50_000] && after.2 == 13 * 8);
    // An empty FILE changes only the modification time.
    sleep(Duration::from_millis(20));
    overwrite(&[], "/dev/null", &name).prints("");
    let last = state(&name);
    assert!(last.3 > after.3 && last.4 == after.4);
}

#[test]
fn bytes_up_to_size_become_zeros() {
    let file = file_with("short");
    for sparse in [&[][..], &["--sparse"]] {
        let name = Name::holding("a long line of text");
        let args = |size| [sparse, &["-s", size]].concat();
        overwrite(&args("10"), file.path(), &name).prints("");
        assert_eq!(fs::read(name.path()).unwrap(), b"short\0\0\0\0\0e of text");
        overwrite(&args("300K"), file.path(), &name).prints("");
        let expected = [b"short".to_vec(), vec![0; (300 << 10) - 5]].concat();
        assert!(fs::read(name.path()).unwrap() == expected);
        let before = state(&name);
        overwrite(&args("4"), file.path(), &name)
            .fails(1)
            .says(format!(
                "{}: larger than the requested size of 4B",
                file.path().display()
            ));
        let (child, mut stdin) = spawn_from_pipe(&args("4"), &name);
        let _ = stdin.write_all(b"12345");
        drop(stdin);
        finish(child)
            .fails(1)
            .says("-: larger than the requested size of 4B");
        assert!(state(&name) == before);
    }
}

#[test]
fn holes_of_file_become_zeros_and_holes_with_sparse() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(&[1; 4096], 1 << 20).unwrap();
    file.as_file().set_len(2 << 20).unwrap();
    let expected = fs::read(file.path()).unwrap();
    for (args, blocks) in [(&[][..], 4096), (&["--sparse"], 8)] {
        let name = Name::holding(vec![9; 2 << 20]);
        overwrite(args, file.path(), &name).prints("");
        assert!(fs::read(name.path()).unwrap() == expected);
        assert_eq!(fs::metadata(name.path()).unwrap().blocks(), blocks);
    }
    // A size that could never be reserved.
    let name = Name::holding("old");
    overwrite(&["--sparse", "-s", "1T"], file.path(), &name).prints("");
    let stat = fs::metadata(name.path()).unwrap();
    assert!(stat.len() == 1 << 40 && stat.blocks() <= 16, "{stat:?}");
}

#[test]
fn a_missing_object_is_created_and_several_names_are_overwritten() {
    let (file, new, old) = (file_with("text"), Name::new(), Name::holding("an object"));
    let create = ["create", "--overwrite", "-m", "640", "--from"];
    let mut create = shmtool(create);
    run(create.arg(file.path()).args([&new, &old, &new])).prints("");
    assert_eq!(fs::read(new.path()).unwrap(), b"text");
    assert_eq!(fs::read(old.path()).unwrap(), b"textbject");
    assert_eq!(fs::metadata(new.path()).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn an_object_that_is_created_while_a_pipe_is_read_is_overwritten() {
    let name = Name::new();
    let (child, mut stdin) = spawn_from_pipe(&[], &name);
    stdin.write_all(&[7; 100_000]).unwrap();
    sleep(Duration::from_millis(200));
    fs::write(name.path(), [9; 100_002]).unwrap();
    let inode = fs::metadata(name.path()).unwrap().ino();
    drop(stdin);
    finish(child).prints("");
    let (after, _, _, _, contents) = state(&name);
    assert!(after == inode && contents == [&[7; 100_000][..], &[9, 9]].concat());
}

#[test]
fn an_object_that_takes_the_name_meanwhile_is_overwritten_too() {
    for from_pipe in [false, true] {
        let (file, name) = (file_with("new"), Name::holding("first"));
        let inject = "inject=pwrite64:delay_exit=700000:when=1";
        let from = match from_pipe {
            true => "/proc/sys/kernel/ostype",
            false => file.path().to_str().unwrap(),
        };
        let create = ["create", "--overwrite", "--from", from];
        let Some(mut strace) = strace(&["-e", inject], create) else {
            return;
        };
        let child = spawn(strace.arg(&name));
        wait_until_open(&child, &name);
        sleep(Duration::from_millis(300));
        fs::remove_file(name.path()).unwrap();
        fs::write(name.path(), "the second").unwrap();
        finish(child).prints("");
        let expected: &[u8] = match from_pipe {
            true => b"Linux\ncond",
            false => b"new second",
        };
        assert_eq!(fs::read(name.path()).unwrap(), expected);
    }
}

#[test]
fn file_must_not_be_the_object() {
    let name = Name::holding("text");
    let path = name.path();
    let link = Name::new();
    fs::hard_link(&path, link.path()).unwrap();
    let before = state(&name);
    for from in [path.to_str().unwrap(), link.path().to_str().unwrap()] {
        overwrite(&["-s", "4K"], from, &name)
            .fails(1)
            .says(format!("{from}: input file is output file"));
    }
    for from in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let mut create = shmtool(["create", "--overwrite", "--from", from]);
        run(create.arg(&name).stdin(File::open(&path).unwrap()))
            .fails(1)
            .says(format!("{from}: input file is output file"));
    }
    assert!(state(&name) == before);
}

#[test]
fn an_object_that_can_only_be_written_is_overwritten_and_resized() {
    in_private_shm("size=4m,mode=1777", || {
        let name = Name::holding("old");
        std::os::unix::fs::chown(name.path(), Some(65534), None).unwrap();
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o200)).unwrap();
        for args in [
            &["--overwrite", "--from", "/proc/version"][..],
            &["--overwrite", "--sparse", "--from", "/proc/version"],
            &["--resize", "-s", "4K"],
        ] {
            run(as_nobody(shmtool(["create"]).args(args).arg(&name))).prints("");
        }
        fs::set_permissions(name.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let contents = fs::read(name.path()).unwrap();
        assert!(
            contents.starts_with(&fs::read("/proc/version").unwrap()) && contents.len() == 4096
        );
    });
}

#[test]
fn options_that_contradict_each_other_are_usage_errors() {
    let create = |args: &[&str]| run(shmtool(["create", "x"]).args(args));
    create(&["--overwrite"])
        .fails(2)
        .says("missing --from FILE\nhint: add --help to see the options and operands");
    for other in ["--exist-ok", "--replace"] {
        let ended = create(&["--overwrite", "--from", "-", other]);
        let (one, two) = (
            format!("--overwrite cannot be used with {other}"),
            ended.fails(2),
        );
        assert!(two.stderr.contains(&one), "{ended:?}");
    }
    create(&["--overwrite", "--from", "-", "--resize", "-s", "4"]).fails(2);
    let name = Name::holding("old");
    run(shmtool(["create", "--from", "/dev/null"]).arg(&name))
        .fails(4)
        .says(format!(
            "{name}: already exists\nhint: --exist-ok keeps it, --overwrite stores FILE in it (running programs see it), --replace makes a new object"
        ));
}

#[test]
fn programs_that_map_the_object_see_the_new_bytes() {
    let name = Name::holding(1_i32.to_ne_bytes().repeat(1024));
    let inode = fs::metadata(name.path()).unwrap().ino();
    let script = "
import sys
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1][1:])
resource_tracker.unregister(object._name, 'shared_memory')
try:
    import numpy
    array = numpy.ndarray((1024,), dtype='i4', buffer=object.buf)
except ImportError:
    array = object.buf.cast('i')
for line in sys.stdin:
    print(array[0], array[1023], flush=True)
";
    let Some(mut python) = python(script, &[&name.to_string()]) else {
        return;
    };
    let Some(c) = c_program() else { return };
    let mut python = Peer::start(&mut python);
    let mut c = Peer::start(Command::new(c).arg("hold").arg(&name));
    assert_eq!((python.ask("?"), c.ask("?")), ("1 1".into(), "1".into()));
    for value in [2_i32, 3] {
        let file = file_with(value.to_ne_bytes().repeat(1024));
        overwrite(&[], file.path(), &name).prints("");
        let seen = (python.ask("?"), c.ask("?"));
        assert_eq!(seen, (format!("{value} {value}"), value.to_string()));
    }
    assert_eq!(fs::metadata(name.path()).unwrap().ino(), inode);
}

#[test]
fn a_waiting_process_notices_the_change_within_50_milliseconds() {
    let name = Name::holding([0; 4096]);
    let mut times = Vec::new();
    for value in 1..=5_i32 {
        let mut waiter = shmtool(["read-int", "--offset", "8", "--until", &value.to_string()]);
        let waiter = spawn(waiter.arg(&name));
        sleep(Duration::from_millis(100));
        let file = file_with([[0; 8], i64::from(value).to_ne_bytes()].concat());
        overwrite(&[], file.path(), &name).prints("");
        let start = Instant::now();
        finish(waiter).prints(format!("{value}\n"));
        times.push(start.elapsed());
    }
    times.sort();
    // The slowest ones may have waited for a processor.
    assert!(times[2] < Duration::from_millis(60), "{times:?}");
}

#[test]
fn an_object_that_existed_before_stays_when_the_command_ends() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/old", "old and long").unwrap();
        let file = file_with("new");
        let path = file.path().to_str().unwrap();
        let create = ["create", "--overwrite", "--from", path, "old", "new", "--"];
        run(shmtool(create).args(["cat", "/dev/shm/old", "/dev/shm/new"]))
            .prints("new and longnew");
        assert_eq!(fs::read("/dev/shm/old").unwrap(), b"new and long");
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
        // A FILE that cannot be read is an error before the command runs.
        let create = [
            "create",
            "--overwrite",
            "--from",
            "/nonexistent",
            "old",
            "--",
        ];
        run(shmtool(create).args(["echo", "run"]))
            .fails(125)
            .says("/nonexistent: No such file or directory");
    });
}
