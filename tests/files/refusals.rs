//! Files that cannot hold integers, or that are protected. The message says why, and nobody notices the attempt.

use crate::common::*;
use crate::*;
use nix::sys::stat::Mode;
use std::process::Stdio;
use std::thread;

/// Runs reading, waiting and changing verbs on a file, and asserts that each fails with this problem.
#[track_caller]
fn all_are_refused(file: impl AsRef<Path>, problem: &str) {
    let file = file.as_ref();
    for args in [&[][..], &["--until", "1"], &["--follow"]] {
        fails_with(read_int(file, args), file, problem);
    }
    changes_are_refused(file, problem);
}

#[track_caller]
fn changes_are_refused(file: &Path, problem: &str) {
    for args in [&["1"][..], &["--add", "1"], &["--if", "0", "--wait", "1"]] {
        fails_with(write_int(file, args), file, problem);
    }
}

#[test]
fn directories_and_sockets_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let only = "only regular files and devices contain integers";
    all_are_refused(&directory, &format!("it is a directory; {only}"));
    all_are_refused(&socket, &format!("it is a socket; {only}"));
    let error = listener.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "nobody connects"
    );
}

#[test]
fn a_fifo_is_refused_and_nobody_at_the_other_end_notices() {
    let directory = tempfile::tempdir().unwrap();
    let problem = "it is a pipe or FIFO; only regular files and devices contain integers";
    for is_writer in [false, true] {
        let fifo = directory.path().join(format!("fifo-{is_writer}"));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let open = |is_writer: bool| {
            let mut options = fs::File::options();
            options
                .read(!is_writer)
                .write(is_writer)
                .open(&fifo)
                .unwrap()
        };
        thread::scope(|scope| {
            // This waits until somebody opens the other end.
            let waiting = scope.spawn(|| open(is_writer));
            sleep(TIME_TO_FALL_ASLEEP);
            all_are_refused(&fifo, problem);
            assert!(!waiting.is_finished(), "the other end was opened");
            let _other_end = open(!is_writer);
            waiting.join().unwrap();
        });
    }
}

#[test]
fn an_inherited_pipe_is_refused_and_nothing_is_taken_from_it() {
    use std::io::{Read, Write};
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"abcdefgh").unwrap();
    drop(writer);
    let mut command = on_file("read-int", "/dev/stdin");
    let ended = run(command.stdin(reader.try_clone().unwrap()));
    let problem = "it is a pipe or FIFO; only regular files and devices contain integers";
    fails_with(ended, "/dev/stdin", problem);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "abcdefgh");
}

#[test]
fn terminals_are_refused() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let path = nix::unistd::ttyname(&pty.slave).unwrap();
    let problem = "a terminal has no memory that can be mapped";
    all_are_refused(&path, problem);
    all_are_refused("/dev/tty", problem);
    let mut command = on_file("read-int", "/dev/stdin");
    fails_with(run(command.stdin(pty.slave)), "/dev/stdin", problem);
}

#[test]
fn devices_that_keep_nothing_are_refused() {
    for path in ["/dev/zero", "/dev/null", "/dev/full"] {
        all_are_refused(path, "this device keeps nothing that is stored in it");
    }
    let ended = run(&mut on_file("read-int", "/dev/stdin"));
    let problem = "this device keeps nothing that is stored in it";
    fails_with(ended, "/dev/stdin", problem);
}

#[test]
fn a_running_program_is_read_but_not_changed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("program");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut running = Command::new(&program).arg("60").spawn().unwrap();
    let magic = read_int(&program, &["-t", "u8", "--offset", "1"]);
    let changed = [&["1"][..], &["--add", "1"]].map(|args| write_int(&program, args));
    running.kill().unwrap();
    running.wait().unwrap();
    magic.prints("69\n");
    let problem = "it cannot be changed, because it is a program that is running";
    for ended in changed {
        match ended.status.success() {
            true => skipped("this kernel lets running programs be changed"),
            false => fails_with(ended, &program, problem),
        }
    }
}

#[test]
fn immutable_and_append_only_files_are_read_but_not_changed() {
    for (flag, problem) in [
        ("i", "it is immutable (chattr -i)"),
        ("a", "it is append-only (chattr -a)"),
    ] {
        let file = file_with([0; 8]);
        let chattr = |change: String| {
            let mut chattr = Command::new("chattr");
            chattr.arg(change).arg(file.path()).stderr(Stdio::null());
            chattr.status().is_ok_and(|status| status.success())
        };
        if !chattr(format!("+{flag}")) {
            return skipped("no chattr");
        }
        let read = read_int(file.path(), &["--until", "0"]);
        let changed = [&["1"][..], &["--add", "1"], &["--if", "0", "--wait", "1"]];
        let changed = changed.map(|args| write_int(file.path(), args));
        assert!(chattr(format!("-{flag}")));
        read.prints("0\n");
        for ended in changed {
            fails_with(ended, &file, problem);
        }
        assert_eq!(int_on_disk(&file, 0), 0);
    }
}

#[test]
#[ignore = "activates swap space for a moment"]
fn swap_space_is_not_changed() {
    let file = file_with(vec![0; 64 << 10]);
    file.as_file().sync_all().unwrap();
    let system = |program: &str| {
        let mut command = Command::new(program);
        let command = command.arg(file.path()).stdout(Stdio::null());
        command
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !is_root() || !system("mkswap") || !system("swapon") {
        return skipped("no swap space");
    }
    let changed = [&["1"][..], &["--add", "1"]].map(|args| write_int(file.path(), args));
    assert!(system("swapoff"));
    let problem = "it cannot be changed, because the system swaps to it (see swapon --show)";
    for ended in changed {
        fails_with(ended, &file, problem);
    }
}

#[test]
fn a_path_through_something_that_is_no_directory_is_explained() {
    let file = file_with([0; 8]);
    let path = file.path().join("x");
    fails_with(
        read_int(&path, &[]),
        &path,
        "cannot open it: Not a directory",
    );
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("link", &link).unwrap();
    let ended = read_int(&link, &[]);
    fails_mentioning(&ended, 1, &["cannot open it: ", "symbolic link"]);
}
