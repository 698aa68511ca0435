//! `cat`: what it promises. The measure is what the system's `cat` prints.

#[path = "../common/mod.rs"]
mod common;

mod changing;
mod parts;
mod pipe;
mod unmappable;

use common::*;
use nix::sys::resource::Resource;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

/// 100 MB that repeat nowhere near, in a file that no name is left of.
fn big() -> File {
    let mut file = tempfile::tempfile().unwrap();
    let mut state = 1_u64;
    for _ in 0..100 {
        let bytes: Vec<u8> = (0..125_000)
            .flat_map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                state.to_ne_bytes()
            })
            .collect();
        file.write_all(&bytes).unwrap();
    }
    file.rewind().unwrap();
    file
}

/// What `cat` prints.
fn cat(stdin: impl Into<Stdio>, args: &[&str]) -> Vec<u8> {
    let output = Command::new("cat")
        .args(args)
        .stdin(stdin)
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// What a command prints into a regular file.
fn into_file(command: &mut Command) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    assert!(
        command
            .stdout(file.try_clone().unwrap())
            .status()
            .unwrap()
            .success()
    );
    let mut printed = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut printed).unwrap();
    printed
}

/// A path that leads to an open file for as long as this process has it.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// A file without a name, of these bytes, at its start.
fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_text_is_printed_as_cat_prints_it_to_a_pipe_a_file_and_a_terminal() {
    let expected = cat(Stdio::null(), &[TEXT]);
    run(&mut shmtool(["cat", TEXT])).prints(&expected);

    assert!(into_file(&mut shmtool(["cat", TEXT])) == expected);

    assert!(on_terminal(&mut shmtool(["cat", TEXT])) == expected);
}

#[test]
fn a_hundred_megabytes_are_printed_as_cat_prints_them() {
    let mut big = big();
    let path = path_of(&big);
    let mut expected = Vec::new();
    big.read_to_end(&mut expected).unwrap();
    assert_eq!(expected.len(), 100_000_000);
    run(&mut shmtool(["cat", &path])).prints(&expected);
    assert!(cat(Stdio::null(), &[&path]) == expected);

    assert!(into_file(&mut shmtool(["cat", &path])) == expected);
}

#[test]
fn an_object_is_printed() {
    let (one, two) = (Name::holding("one\n"), Name::holding("two\n"));
    run(shmtool(["cat", "--shm"]).args([&one, &two])).prints("one\ntwo\n");
    run(&mut shmtool(["cat", "--shm", &one.to_string()[1..]])).prints("one\n");
}

#[test]
fn a_missing_object_is_status_3_and_the_others_are_printed() {
    let (missing, there) = (Name::new(), Name::holding("there\n"));
    let printed = run(shmtool(["cat", "--shm"]).args([&missing, &there]));
    printed.says(format!("{missing}: no such object"));
    assert_eq!(
        (printed.status.code(), &printed.stdout[..]),
        (Some(3), &b"there\n"[..])
    );
}

#[test]
fn shm_needs_a_name_that_is_one() {
    assert_eq!(run(&mut shmtool(["cat", "--shm"])).status.code(), Some(2));
    run(&mut shmtool(["cat", "--shm", "a/b"])).fails(2).says(
        "a/b: not an object name: no \"/\" is allowed except at the start\n\
             hint: only objects in /dev/shm can be used here",
    );
}

#[test]
fn an_empty_file_prints_nothing() {
    run(shmtool(["cat"]).stdin(file_of(b""))).prints("");
    run(&mut shmtool(["cat", "/dev/null"])).prints("");
}

#[test]
fn what_cannot_be_mapped_is_printed_all_the_same() {
    // Sizes in /proc are 0, and in /sys they are a page whatever there is.
    for path in [
        "/proc/version",
        "/proc/filesystems",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        if fs::exists(path).unwrap() {
            run(&mut shmtool(["cat", path])).prints(fs::read(path).unwrap());
        }
    }
    let maps = String::from_utf8(run(&mut shmtool(["cat", "/proc/self/maps"])).stdout).unwrap();
    assert!(
        maps.contains(env!("CARGO_BIN_EXE_shmtool")) && maps.ends_with('\n'),
        "{maps}"
    );

    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = shmtool(["cat"])
        .arg(&fifo)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = File::options().write(true).open(&fifo).unwrap();
    writer.write_all(b"through a ").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    writer.write_all(b"fifo\n").unwrap();
    drop(writer);
    finish(child).prints("through a fifo\n");
}

#[test]
fn a_pipe_a_socket_and_a_terminal_are_read_as_they_speak() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"pipe\n").unwrap();
    drop(writer);
    run(shmtool(["cat"]).stdin(reader)).prints("pipe\n");

    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    far.write_all(b"socket\n").unwrap();
    drop(far);
    run(shmtool(["cat", "-"]).stdin(std::os::fd::OwnedFd::from(near))).prints("socket\n");

    let pty = nix::pty::openpty(None, None).unwrap();
    let mut keyboard = File::from(pty.master);
    keyboard.write_all(b"typed\n\x04").unwrap();
    run(shmtool(["cat"]).stdin(pty.slave)).prints("typed\n");
}

#[test]
fn standard_input_is_the_dash_and_the_default() {
    run(shmtool(["cat"]).stdin(file_of(b"input\n"))).prints("input\n");
    run(shmtool(["cat", "/proc/version", "-", "/proc/version"]).stdin(file_of(b"input\n"))).prints(
        [
            fs::read("/proc/version").unwrap(),
            b"input\n".to_vec(),
            fs::read("/proc/version").unwrap(),
        ]
        .concat(),
    );
}

#[test]
fn a_regular_standard_input_is_printed_from_its_offset_and_left_at_its_end() {
    for offset in [0, 1, 4096, 9999, 10000, 20000] {
        let mut file = file_of(&(0..10000).map(|i| i as u8).collect::<Vec<_>>());
        file.seek(SeekFrom::Start(offset)).unwrap();
        let expected: Vec<u8> = (offset..10000).map(|i| i as u8).collect();
        run(shmtool(["cat"]).stdin(file.try_clone().unwrap())).prints(&expected);
        assert_eq!(file.stream_position().unwrap(), offset.max(10000));
    }
}

#[test]
fn a_missing_file_and_a_directory_are_status_1_and_the_others_are_printed() {
    let printed = run(&mut shmtool(["cat", "/no/such", "/", "/proc/version"]));
    assert_eq!(printed.status.code(), Some(1));
    assert_eq!(
        printed.stderr,
        "shmtool: /no/such: No such file or directory\nshmtool: /: Is a directory\n"
    );
    assert_eq!(printed.stdout, fs::read("/proc/version").unwrap());
}

#[test]
fn a_file_name_is_escaped_where_a_person_reads_it() {
    run(&mut shmtool(["cat", "no\n\u{1b}[2J"]))
        .fails(1)
        .says(r"no\n\u{1b}[2J: No such file or directory");
}

#[test]
fn a_file_that_may_not_be_read_is_status_1() {
    if is_root() {
        let name = Name::holding("secret");
        fs::set_permissions(
            name.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        run(as_nobody(shmtool(["cat"]).arg(name.path())))
            .fails(1)
            .says(format!("{}: Permission denied", name.path().display()));
        run(as_nobody(shmtool(["cat", "--shm"]).arg(&name)))
            .fails(1)
            .says(format!(
                "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
            ));
    }
}

#[test]
fn a_full_device_and_a_closed_output_are_errors() {
    output_fails(&mut shmtool(["cat", TEXT]));

    let binary = env!("CARGO_BIN_EXE_shmtool");
    let closed = |redirection: &str| {
        run(Command::new("sh").args(["-c", &format!("'{binary}' cat '{TEXT}' - {redirection}")]))
    };
    closed(">&-")
        .fails(1)
        .says("standard output: Bad file descriptor");
    let printed = closed("<&-");
    printed.says("-: Bad file descriptor");
    assert_eq!(
        (printed.status.code(), printed.stdout),
        (Some(1), fs::read(TEXT).unwrap())
    );
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = shmtool(["cat", "/dev/zero"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [1];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let ended = finish(child);
    assert_eq!(
        (ended.signal(), ended.stderr.as_str()),
        (Some(nix::libc::SIGPIPE), "")
    );
}

#[test]
fn a_file_is_not_printed_onto_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let shell = |script: &str, content: &str| {
        fs::write(&path, content).unwrap();
        let script = script.replace("shmtool", concat!("exec ", env!("CARGO_BIN_EXE_shmtool")));
        run(Command::new("sh")
            .args(["-c", &script])
            .current_dir(&directory))
    };
    for (script, label) in [
        ("shmtool cat f >> f", "f"),
        ("shmtool cat < f >> f", "-"),
        ("shmtool cat - <f >>f", "-"),
    ] {
        shell(script, "content")
            .fails(1)
            .says(format!("{label}: input file is output file"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "content");
    }
    // The shell has emptied it, or nothing is behind the place where it is read: all as `cat` does.
    shell("shmtool cat < f > f", "content").prints("");
    shell("shmtool cat f >> f", "").prints("");
    shell("(head -c 4 >/dev/null; shmtool cat) < f 1<> f", "content").prints("");
    shell("shmtool cat f 1<> f", "content").prints("");
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
}

#[test]
fn no_room_for_a_mapping_is_no_error() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let mut command = shmtool(["cat"]);
    limited(&mut command, Resource::RLIMIT_AS, 256 << 20);
    let mut child = command.stdin(file).stdout(Stdio::piped()).spawn().unwrap();
    let printed = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed, 1 << 30);
}
