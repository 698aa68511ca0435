//! `--follow`: what ends it, and what it cannot be combined with.

use super::{A_MOMENT, Follower, write};
use crate::common::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;

fn follow(args: &[&str], name: &Name) -> Command {
    let mut command = shmtool(["read-int", "--follow"]);
    command.args(args).arg(name);
    command
}

#[test]
fn count_ends_it_with_status_0_after_that_many_lines() {
    let name = Name::holding([0; 4]);
    run(&mut follow(&["--count", "0"], &name)).prints("");
    run(&mut follow(&["--count", "1"], &name)).prints("0\n");
    let follower = Follower::start(&["--count", "3"], &name);
    follower.prints("0");
    write(&name, "0");
    follower.stays_silent();
    write(&name, "1");
    follower.prints("1");
    write(&name, "2");
    assert_eq!(follower.ends(), (Some(0), vec!["2".into()]));
    // The last line counts, even if no time is left.
    run(&mut follow(&["--count", "1", "--timeout", "0"], &name)).prints("2\n");
}

#[test]
fn a_timeout_ends_it_with_status_124_and_without_a_message() {
    let name = Name::holding(7_i32.to_ne_bytes());
    for timeout in ["0", "0.05", "30ms"] {
        let ended = run(&mut follow(&["--timeout", timeout], &name));
        assert_eq!(ended.status.code(), Some(124));
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), (&b"7\n"[..], ""));
        let ended = run(&mut follow(&["--timeout", timeout], &Name::new()));
        assert_eq!(ended.fails(124).stderr, "");
    }
    let follower = Follower::start(&["--count", "3", "--timeout", "1"], &name);
    follower.prints("7");
    write(&name, "8");
    assert_eq!(follower.ends(), (Some(124), vec!["8".into()]));
}

/// A pipe whose ends are inherited only as standard streams.
fn new_pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

/// A pipe that is full.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = new_pipe();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut file = File::from(writer.try_clone().unwrap());
    file.write_all(&[b'.'; 4096]).unwrap();
    (reader, writer)
}

fn spawn_into(stdout: impl Into<Stdio>, command: &mut Command) -> Child {
    command.stdout(stdout).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The command holds a copy of the descriptor.
    command.stdout(Stdio::null());
    child
}

#[test]
fn the_timeout_holds_although_the_reader_does_not_read() {
    let name = Name::holding([0; 4]);
    for timeout in ["0", "0.2"] {
        let (_reader, writer) = full_pipe();
        let child = spawn_into(writer, &mut follow(&["--timeout", timeout], &name));
        assert_eq!(finish(child).fails(124).stderr, "");
    }
    // This one fills the pipe itself.
    let Some(c) = c_program() else { return };
    let (_reader, writer) = new_pipe();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut add = Command::new(c);
    let mut adding = add.arg("add").arg(&name).arg("2000000000").spawn().unwrap();
    let child = spawn_into(writer, &mut follow(&["--timeout", "1.5"], &name));
    assert_eq!(finish(child).fails(124).stderr, "");
    adding.kill().unwrap();
    adding.wait().unwrap();
}

#[test]
fn a_reader_that_reads_again_gets_the_last_value() {
    let name = Name::holding([0; 4]);
    let (reader, writer) = full_pipe();
    let mut child = spawn_into(writer, &mut follow(&[], &name));
    sleep(A_MOMENT);
    write(&name, "1");
    sleep(A_MOMENT);
    write(&name, "2");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(File::from(reader)));
    let first = lines.next().unwrap().unwrap();
    let mut value = first.trim_start_matches('.').to_owned();
    while value != "2" {
        let next = lines.next().unwrap().unwrap();
        assert_ne!(next, value);
        value = next;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Asserts that the process ends by SIGPIPE, without a message.
#[track_caller]
fn ends_quietly(child: Child) {
    let ended = finish(child);
    assert_eq!(
        (ended.signal(), ended.stderr.as_str()),
        (Some(libc::SIGPIPE), "")
    );
}

#[test]
fn it_ends_when_its_reader_goes_away_although_nothing_changes() {
    let name = Name::holding([0; 4]);
    for name in [name, Name::new(), Name::holding("abc")] {
        let (reader, writer) = new_pipe();
        let child = spawn_into(writer, &mut follow(&[], &name));
        sleep(A_MOMENT);
        drop(reader);
        ends_quietly(child);

        let (reader, writer) = UnixStream::pair().unwrap();
        let child = spawn_into(OwnedFd::from(writer), &mut follow(&[], &name));
        sleep(A_MOMENT);
        drop(reader);
        ends_quietly(child);
    }
}

#[test]
fn it_ends_when_the_reader_of_a_full_pipe_goes_away() {
    let name = Name::holding([0; 4]);
    let (reader, writer) = full_pipe();
    let child = spawn_into(writer, &mut follow(&[], &name));
    sleep(A_MOMENT);
    drop(reader);
    ends_quietly(child);
}

#[test]
fn it_ends_in_a_pipeline_when_head_has_enough() {
    let name = Name::holding(5_i32.to_ne_bytes());
    let script = "\"$0\" read-int --follow \"$1\" | head -n 1";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    run(sh.arg(&name)).prints("5\n");
}

#[test]
fn a_failed_write_to_standard_output_is_an_error() {
    output_fails(&mut follow(&[], &Name::holding([0; 4])));
}

#[test]
fn closed_standard_output_is_an_error() {
    let script = "exec \"$0\" read-int --follow --timeout 10 \"$1\" >&-";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    let ended = run(sh.arg(Name::holding([0; 4])));
    assert!(
        ended
            .fails(1)
            .stderr
            .starts_with("shmtool: standard output: ")
    );
}

#[test]
fn it_conflicts_with_until_and_with_count_all_and_needs_an_aligned_offset() {
    let name = Name::holding([0; 16]);
    let rejected = |args: &[&str], message: &str| {
        run(&mut follow(args, &name)).fails(2).says(message);
    };
    rejected(
        &["--until", "0"],
        "--follow cannot be used with --until [OP:]VALUE",
    );
    rejected(&["--count", "all"], "--follow prints one integer, not all");
    rejected(
        &["--offset", "2"],
        "--follow needs an offset that is a multiple of 4 (the width of i32), not 2",
    );
    run(shmtool(["read-int", "--timeout", "1"]).arg(&name))
        .fails(2)
        .says("--timeout needs --until or --follow");
}
