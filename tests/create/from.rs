//! `--from`, `--sparse` and `--progress`.

use crate::common::*;
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A file in which no two pages are equal.
fn file_of_distinct_pages(length: usize) -> tempfile::NamedTempFile {
    let bytes: Vec<u8> = (0_u64..).flat_map(u64::to_ne_bytes).take(length).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

fn create(args: &[&str], from: &Path, name: &Name) -> Ended {
    run(shmtool(["create"])
        .args(args)
        .arg("--from")
        .arg(from)
        .arg(name))
}

/// Runs `create --from -` with these bytes in a pipe on standard input.
fn create_from_pipe(args: &[&str], name: &Name, bytes: &[u8]) -> Ended {
    let mut create = shmtool(["create", "--from", "-"]);
    create.args(args).arg(name).stdin(Stdio::piped());
    let mut child = spawn(&mut create);
    let mut stdin = child.stdin.take().unwrap();
    // Writing fails if shmtool does not read everything; the caller checks what shmtool reports.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    finish(child)
}

#[test]
fn the_object_gets_the_contents_of_the_file() {
    for length in [0, 1, 4096, 3_000_001] {
        let (file, name) = (file_of_distinct_pages(length), Name::new());
        create(&["-m", "640"], file.path(), &name).prints("");
        assert!(
            fs::read(name.path()).unwrap() == fs::read(file.path()).unwrap(),
            "{length}"
        );
        let stat = fs::metadata(name.path()).unwrap();
        assert_eq!(
            (stat.mode() & 0o777, stat.blocks() * 512),
            (0o640, length.next_multiple_of(4096) as u64)
        );
    }
}

#[test]
fn a_larger_size_appends_zeros_and_a_smaller_one_is_an_error() {
    let file = file_of_distinct_pages(5000);
    let name = Name::new();
    create(&["-s", "9000"], file.path(), &name).prints("");
    assert!(
        fs::read(name.path()).unwrap() == [fs::read(file.path()).unwrap(), vec![0; 4000]].concat()
    );
    let name = Name::new();
    create(&["-s", "5000"], file.path(), &name).prints("");
    let name = Name::new();
    let path = file.path().display();
    create(&["-s", "4999"], file.path(), &name)
        .fails(1)
        .says(format!("{path}: larger than the requested size of 4.9KiB"));
    create_from_pipe(&["-s", "10"], &name, &[1; 11])
        .fails(1)
        .says("-: larger than the requested size of 10B");
    assert!(!name.path().exists());
    create_from_pipe(&["-s", "10"], &name, b"12345").prints("");
    assert_eq!(fs::read(name.path()).unwrap(), b"12345\0\0\0\0\0");
}

#[test]
fn standard_input_is_read_to_its_end() {
    let bytes = fs::read(file_of_distinct_pages(2_500_000).path()).unwrap();
    let name = Name::new();
    create_from_pipe(&[], &name, &bytes).prints("");
    assert!(fs::read(name.path()).unwrap() == bytes);
    let name = Name::new();
    create_from_pipe(&[], &name, b"").prints("");
    assert_eq!(fs::read(name.path()).unwrap(), b"");
    let other = Name::new();
    run(shmtool(["create", "--from", "-"]).arg(&other).arg(&name))
        .fails(2)
        .says("--from - can be read only once: give one NAME");
    assert!(!other.path().exists());
    // A pipe can be read only once, whatever its name: the second object would be empty, or shmtool would wait forever.
    let (a, b) = (Name::new(), Name::new());
    let from_pipe = Command::new("sh")
        .args([
            "-c",
            "echo text | \"$0\" create --from /dev/stdin \"$1\" \"$2\"",
        ])
        .arg(env!("CARGO_BIN_EXE_shmtool"))
        .args([&a, &b])
        .output()
        .unwrap();
    assert_eq!(from_pipe.status.code(), Some(2), "{from_pipe:?}");
    assert!(!a.path().exists() && !b.path().exists());
}

#[test]
fn a_file_on_standard_input_is_read_from_its_offset() {
    let file = file_of_distinct_pages(10_000);
    let mut stdin = File::open(file.path()).unwrap();
    stdin.seek(SeekFrom::Start(3000)).unwrap();
    let name = Name::new();
    run(shmtool(["create", "--from", "-"])
        .arg(&name)
        .stdin(stdin.try_clone().unwrap()))
    .prints("");
    assert!(fs::read(name.path()).unwrap() == fs::read(file.path()).unwrap()[3000..]);
    assert_eq!(stdin.stream_position().unwrap(), 10_000);
}

#[test]
fn a_file_of_unknown_size_is_streamed() {
    let name = Name::new();
    create(&[], Path::new("/proc/self/status"), &name).prints("");
    assert!(
        fs::read(name.path())
            .unwrap()
            .starts_with(b"Name:\tshmtool\n")
    );
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let name = Name::new();
    let mut create = shmtool(["create", "--from"]);
    let child = create
        .arg(&fifo)
        .arg(&name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(fifo, "through a FIFO").unwrap();
    finish(child).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), b"through a FIFO");
}

#[test]
fn an_unreadable_file_is_an_error_and_creates_nothing() {
    let name = Name::new();
    for (from, why) in [
        ("/nonexistent", "No such file or directory"),
        ("/", "Is a directory"),
    ] {
        create(&[], Path::new(from), &name)
            .fails(1)
            .says(format!("{from}: {why}"));
    }
    let mut sh = Command::new("sh");
    sh.args([
        "-c",
        "exec \"$0\" create --from - \"$1\" <&-",
        env!("CARGO_BIN_EXE_shmtool"),
    ]);
    run(sh.arg(&name)).fails(1).says("-: Bad file descriptor");
    assert!(!name.path().exists());
}

#[test]
fn a_file_that_changes_its_size_while_it_is_copied_is_an_error_and_creates_nothing() {
    for size in [100, 3 << 20] {
        let (file, name) = (file_of_distinct_pages(2 << 20), Name::new());
        let inject = "inject=ftruncate:delay_exit=1000000";
        let Some(mut strace) = strace(&["-e", inject], ["create", "--from"]) else {
            return;
        };
        let child = strace
            .arg(file.path())
            .arg(&name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        sleep(Duration::from_millis(500));
        File::options()
            .write(true)
            .open(file.path())
            .unwrap()
            .set_len(size)
            .unwrap();
        let path = file.path().display();
        finish(child)
            .fails(1)
            .says(format!("{path}: grew or shrank while it was copied"));
        assert!(!name.path().exists());
    }
}

#[test]
fn a_file_that_does_not_fit_fails_and_leaves_nothing_behind() {
    in_private_shm("size=1m", || {
        let file = file_of_distinct_pages((1 << 20) + 1);
        fs::write("/dev/shm/there", [1; 4096]).unwrap();
        let path = file.path().to_str().unwrap();
        run(&mut shmtool(["create", "--from", path, "new"]))
            .fails(1)
            .says(does_not_fit("/new", "1MiB", "1020KiB"));
        run(&mut shmtool(["create", "--replace", "-s", "1M", "there"]))
            .fails(1)
            .says(does_not_fit("/there", "1MiB", "1020KiB"));
        run(&mut shmtool(["create", "--resize", "-s", "2M", "there"])).fails(1);
        run(&mut shmtool(["create", "--sparse", "--from", path, "new"])).fails(1);
        let mut stream = shmtool(["create", "--from", "-", "new"]);
        stream
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = stream.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(&[1; 2 << 20]);
        let ended = finish(child);
        assert!(
            ended
                .fails(1)
                .stderr
                .contains("do not fit into /dev/shm, where 1020KiB are free"),
            "{ended:?}"
        );
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
        assert_eq!(fs::read("/dev/shm/there").unwrap(), [1; 4096]);
        let space = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
        assert_eq!(
            space.blocks_free() * space.fragment_size(),
            (1 << 20) - 4096
        );
    });
}

#[test]
fn a_sparse_object_allocates_only_what_is_written() {
    let name = Name::new();
    run(shmtool(["create", "--sparse", "-s", "1T"]).arg(&name)).prints("");
    let stat = fs::metadata(name.path()).unwrap();
    assert_eq!((stat.len(), stat.blocks()), (1 << 40, 0));

    // With --sparse the holes of the file become holes of the object; without it they become allocated zeros.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10 << 20).unwrap();
    file.as_file().write_all_at(&[7; 4096], 5 << 20).unwrap();
    for (option, blocks) in [(&["--sparse"][..], 8), (&[], 20 << 10)] {
        let name = Name::new();
        create(option, file.path(), &name).prints("");
        assert!(fs::read(name.path()).unwrap() == fs::read(file.path()).unwrap());
        assert_eq!(fs::metadata(name.path()).unwrap().blocks(), blocks);
    }
}

#[test]
fn progress_is_shown_only_on_a_terminal() {
    let (file, name) = (file_of_distinct_pages(1 << 20), Name::new());
    create(&["--progress"], file.path(), &name).prints("");
    let pty = nix::pty::openpty(None, None).unwrap();
    let name = Name::new();
    let mut create = shmtool(["create", "--progress", "--from"]);
    let status = create
        .arg(file.path())
        .arg(&name)
        .stderr(pty.slave)
        .status()
        .unwrap();
    drop(create);
    let mut shown = Vec::new();
    let _ = File::from(pty.master).read_to_end(&mut shown);
    assert!(status.success() && !shown.is_empty());
    assert!(fs::read(name.path()).unwrap() == fs::read(file.path()).unwrap());
}

#[test]
fn progress_counts_the_zeros_after_file() {
    let (file, name) = (file_of_distinct_pages(1 << 20), Name::holding("old"));
    let pty = nix::pty::openpty(None, None).unwrap();
    // The bar is drawn at most 20 times a second.
    let options = ["-e", "inject=pwrite64:delay_enter=60000"];
    let create = ["create", "--progress", "--overwrite", "-s", "2M", "--from"];
    let Some(mut strace) = strace(&options, create) else {
        return;
    };
    strace.arg(file.path()).arg(&name).stderr(pty.slave);
    assert!(strace.status().unwrap().success());
    drop(strace);
    let mut shown = Vec::new();
    let _ = File::from(pty.master).read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("1.50 MiB/2.00 MiB"), "{shown}");
    assert!(!shown.contains("/1.00 MiB"), "{shown}");
}
