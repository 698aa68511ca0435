//! Errors that the system reports only when standard output is closed, as on NFS or FUSE or over a quota.

mod common;

use common::*;
use std::fs::File;
use std::process::Stdio;

/// Runs the binary with a file as standard output, and makes `close(2)` of that file fail. Returns None if there is
/// no strace.
fn run_with_failing_close(errno: &str, args: &[&str]) -> Option<Ended> {
    let output = tempfile::NamedTempFile::new().unwrap();
    let inject = format!("inject=close:error={errno}");
    let path = output.path().to_str().unwrap();
    let mut command = strace(&["-P", path, "-e", &inject], args)?;
    let file = File::options().write(true).open(output.path()).unwrap();
    let command = command.stdout(file).stderr(Stdio::piped());
    Some(finish(command.spawn().unwrap()))
}

#[test]
fn every_verb_reports_errors_from_closing_standard_output() {
    let (name, new) = (Name::holding([0; 4]), Name::new());
    let (one, two) = (&name.to_string()[..], &new.to_string()[..]);
    let calls: [&[&str]; 12] = [
        &["cat", "--shm", one],
        &["create", two],
        &["write-int", one, "1"],
        &["write-int", "--add", one, "1"],
        &["read-int", one],
        &["read-int", "--until", "2", one],
        &["ls", one],
        &["ls", "--json", one],
        &["unlink", "--verbose", two],
        &["--help"],
        &["--version"],
        &["help", "cat"],
    ];
    for args in calls {
        let Some(ended) = run_with_failing_close("ENOSPC", args) else {
            return;
        };
        ended
            .fails(1)
            .says("standard output: No space left on device");
    }
}

#[test]
fn any_error_from_closing_is_reported() {
    for (errno, message) in [
        ("EIO", "Input/output error"),
        ("EDQUOT", "Disk quota exceeded"),
    ] {
        let Some(ended) = run_with_failing_close(errno, &["--version"]) else {
            return;
        };
        ended.fails(1).says(format!("standard output: {message}"));
    }
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let name = Name::new();
    let Some(ended) = run_with_failing_close("EBADF", &["create", &name.to_string()]) else {
        return;
    };
    ended.prints("");
    let script = r#"exec "$0" unlink "$1" >&-"#;
    let mut sh = std::process::Command::new("sh");
    run(sh
        .args(["-c", script, env!("CARGO_BIN_EXE_shmtool")])
        .arg(&name))
    .prints("");
}

#[test]
fn the_status_is_that_of_the_first_failure() {
    let name = Name::new();
    let Some(ended) = run_with_failing_close("ENOSPC", &["ls", &name.to_string()]) else {
        return;
    };
    ended.fails(3).says(format!(
        "{name}: no such object\nshmtool: standard output: No space left on device"
    ));
}

#[test]
fn a_failed_write_is_reported_once() {
    let output = tempfile::NamedTempFile::new().unwrap();
    let (path, inject) = (
        output.path().to_str().unwrap(),
        "inject=write,close:error=EIO",
    );
    let name = Name::holding([0; 4]);
    for args in [&["cat", "--shm"][..], &["read-int"], &["ls"]] {
        let Some(mut command) = strace(&["-P", path, "-e", inject], args) else {
            return;
        };
        let file = File::options().write(true).open(path).unwrap();
        let command = command.arg(&name).stdout(file).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
            .fails(1)
            .says("standard output: Input/output error");
    }
}

#[test]
fn close_errors_are_left_to_the_command() {
    let name = Name::new();
    for (script, status) in [("true", 0), ("exit 3", 3)] {
        let args = ["create", &name.to_string(), "--", "sh", "-c", script];
        let Some(ended) = run_with_failing_close("ENOSPC", &args) else {
            return;
        };
        ended.fails(status);
        assert_eq!(ended.stderr, "");
    }
}
