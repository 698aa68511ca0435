//! Tests of `cat`. Its output is compared with that of the system's `cat`.

#[path = "../common/mod.rs"]
mod common;

mod changing;
mod parts;
mod pipe;
mod random;
mod unmappable;

use common::*;
use nix::sys::resource::Resource;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

/// An unnamed file with 100 MB of pseudorandom data.
fn big_file() -> File {
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

/// Returns what the system's `cat` prints.
fn system_cat(stdin: impl Into<Stdio>, args: &[&str]) -> Vec<u8> {
    let output = Command::new("cat")
        .args(args)
        .stdin(stdin)
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Returns what a command writes to a regular file.
fn output_to_file(command: &mut Command) -> Vec<u8> {
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

/// A path that opens this file, as long as this process keeps it open.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// An unnamed file with these contents, positioned at its start.
fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_text_file_is_printed_to_a_pipe_a_file_and_a_terminal() {
    let expected = system_cat(Stdio::null(), &[TEXT]);
    run(&mut shmtool(["cat", TEXT])).prints(&expected);

    assert!(output_to_file(&mut shmtool(["cat", TEXT])) == expected);

    assert!(on_terminal(&mut shmtool(["cat", TEXT])) == expected);
}

#[test]
fn a_large_file_is_printed_to_a_pipe_and_a_file() {
    let mut file = big_file();
    let path = path_of(&file);
    let mut expected = Vec::new();
    file.read_to_end(&mut expected).unwrap();
    assert_eq!(expected.len(), 100_000_000);
    run(&mut shmtool(["cat", &path])).prints(&expected);
    assert!(system_cat(Stdio::null(), &[&path]) == expected);

    assert!(output_to_file(&mut shmtool(["cat", &path])) == expected);
}

#[test]
fn objects_are_printed_with_shm() {
    let (one, two) = (Name::holding("one\n"), Name::holding("two\n"));
    run(shmtool(["cat", "--shm"]).args([&one, &two])).prints("one\ntwo\n");
    run(&mut shmtool(["cat", "--shm", &one.to_string()[1..]])).prints("one\n");
}

#[test]
fn a_missing_object_is_status_3_and_the_others_are_still_printed() {
    let (missing, there) = (Name::new(), Name::holding("there\n"));
    let printed = run(shmtool(["cat", "--shm"]).args([&missing, &there]));
    printed.says(format!("{missing}: no such object"));
    assert_eq!(
        (printed.status.code(), &printed.stdout[..]),
        (Some(3), &b"there\n"[..])
    );
}

#[test]
fn shm_requires_valid_names() {
    assert_eq!(run(&mut shmtool(["cat", "--shm"])).status.code(), Some(2));
    run(&mut shmtool(["cat", "--shm", "a/b"])).fails(2).says(
        "a/b: not an object name: no \"/\" is allowed except at the start\n\
             hint: only objects in /dev/shm can be used here",
    );
}

#[test]
fn an_empty_file_prints_nothing() {
    run(shmtool(["cat"]).stdin(file_with(b""))).prints("");
    run(&mut shmtool(["cat", "/dev/null"])).prints("");
}

#[test]
fn files_that_cannot_be_mapped_are_printed() {
    // Files in /proc report size 0, and files in /sys the size of a page, whatever they contain.
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
fn standard_input_may_be_a_pipe_a_socket_or_a_terminal() {
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
fn standard_input_is_read_for_a_dash_and_by_default() {
    run(shmtool(["cat"]).stdin(file_with(b"input\n"))).prints("input\n");
    run(shmtool(["cat", "/proc/version", "-", "/proc/version"]).stdin(file_with(b"input\n")))
        .prints(
            [
                fs::read("/proc/version").unwrap(),
                b"input\n".to_vec(),
                fs::read("/proc/version").unwrap(),
            ]
            .concat(),
        );
}

#[test]
fn a_file_on_standard_input_is_printed_from_its_offset_and_left_at_its_end() {
    for offset in [0, 1, 4096, 9999, 10000, 20000] {
        let mut file = file_with(&(0..10000).map(|i| i as u8).collect::<Vec<_>>());
        file.seek(SeekFrom::Start(offset)).unwrap();
        let expected: Vec<u8> = (offset..10000).map(|i| i as u8).collect();
        run(shmtool(["cat"]).stdin(file.try_clone().unwrap())).prints(&expected);
        assert_eq!(file.stream_position().unwrap(), offset.max(10000));
    }
}

#[test]
fn a_missing_file_or_a_directory_is_status_1_and_the_others_are_still_printed() {
    let printed = run(&mut shmtool(["cat", "/no/such", "/", "/proc/version"]));
    assert_eq!(printed.status.code(), Some(1));
    assert_eq!(
        printed.stderr,
        "shmtool: /no/such: No such file or directory\nshmtool: /: Is a directory\n"
    );
    assert_eq!(printed.stdout, fs::read("/proc/version").unwrap());
}

#[test]
fn file_names_are_escaped_in_messages() {
    run(&mut shmtool(["cat", "no\n\u{1b}[2J"]))
        .fails(1)
        .says(r"no\n\u{1b}[2J: No such file or directory");
}

#[test]
fn a_file_without_read_permission_is_status_1() {
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
fn full_and_closed_streams_are_errors() {
    output_fails(&mut shmtool(["cat", TEXT]));

    let binary = env!("CARGO_BIN_EXE_shmtool");
    let cat_with = |redirection: &str| {
        run(Command::new("sh").args(["-c", &format!("'{binary}' cat '{TEXT}' - {redirection}")]))
    };
    cat_with(">&-")
        .fails(1)
        .says("standard output: Bad file descriptor");
    let printed = cat_with("<&-");
    printed.says("-: Bad file descriptor");
    assert_eq!(
        (printed.status.code(), printed.stdout),
        (Some(1), fs::read(TEXT).unwrap())
    );
}

#[test]
fn a_closed_pipe_ends_cat_quietly() {
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
fn printing_a_file_onto_itself_is_refused() {
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
    // As with the system's cat, it is no error if the shell has emptied the file, or if no data follows the current offset.
    shell("shmtool cat < f > f", "content").prints("");
    shell("shmtool cat f >> f", "").prints("");
    shell("(head -c 4 >/dev/null; shmtool cat) < f 1<> f", "content").prints("");
    shell("shmtool cat f 1<> f", "content").prints("");
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
}

#[test]
fn a_file_is_printed_when_the_address_space_is_full() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let mut command = shmtool(["cat"]);
    limited(&mut command, Resource::RLIMIT_AS, 256 << 20);
    let mut child = command.stdin(file).stdout(Stdio::piped()).spawn().unwrap();
    let printed = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed, 1 << 30);
}

#[test]
fn a_missing_file_gets_a_hint_if_an_object_has_its_name() {
    let name = Name::holding("object");
    for operand in [&name.to_string()[..], &name.to_string()[1..]] {
        run(&mut shmtool(["cat", operand])).fails(1).says(format!(
            "{operand}: No such file or directory\n\
             hint: add --shm to print the shared memory object of that name"
        ));
    }
    run(&mut shmtool(["cat", "/shmtool-test-no-such-object"]))
        .fails(1)
        .says("/shmtool-test-no-such-object: No such file or directory");
}

#[test]
fn a_missing_object_gets_a_hint_if_a_file_has_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let name = "shmtool-test-only-a-file";
    std::fs::write(directory.path().join(name), "").unwrap();
    run(shmtool(["cat", "--shm", name]).current_dir(directory.path()))
        .fails(3)
        .says(format!(
            "/{name}: no such object\nhint: omit --shm to print the file of that name"
        ));
}

#[test]
fn a_descriptor_that_the_caller_does_not_have_is_an_error_and_the_others_are_printed() {
    let script = "printf one > one; printf four > four; for fd in 3 4 5 6 7 8; do \"$0\" cat one /dev/fd/$fd four 2>&1; echo; done";
    let directory = tempfile::tempdir().unwrap();
    let mut sh = Command::new("bash");
    let script = format!("exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; {script}");
    sh.args(["-c", &script, env!("CARGO_BIN_EXE_shmtool")]);
    let error = "there is no such descriptor: it was not open when shmtool started";
    let expected: String = (3..9)
        .map(|fd| format!("oneshmtool: /dev/fd/{fd}: {error}\nfour\n"))
        .collect();
    run(sh.current_dir(directory.path())).prints(expected);
}
