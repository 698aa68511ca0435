//! What holds for every verb: names, messages, help.

mod common;

use common::*;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Stdio;

/// Every verb that takes a NAME, so that only the name is left to say.
const VERBS: [&[&str]; 6] = [
    &["cat", "--shm"],
    &["create"],
    &["write-int"],
    &["read-int"],
    &["ls"],
    &["unlink"],
];

#[test]
fn a_name_that_is_none_is_wrong_usage_for_every_verb() {
    let too_long = "x".repeat(256);
    let too_long_reason = "not a NAME: 256 bytes after the slash, and 255 is the most";
    for (name, shown, reason) in [
        ("", "''", "not a NAME: nothing is left without the slash"),
        ("/", "/", "not a NAME: nothing is left without the slash"),
        (
            "//x",
            "//x",
            "not a NAME: it may start with a slash and holds no other",
        ),
        (
            "a/b",
            "a/b",
            "not a NAME: it may start with a slash and holds no other",
        ),
        (
            "\u{1b}[2J/\n",
            r"\u{1b}[2J/\n",
            "not a NAME: it may start with a slash and holds no other",
        ),
        (".", ".", "not a NAME: . and .. are directories"),
        ("/..", "/..", "not a NAME: . and .. are directories"),
        (
            "/dev/shm/",
            "/dev/shm/",
            "not a NAME: nothing is left without the slash",
        ),
        (
            "/dev/shm/a/b",
            "/dev/shm/a/b",
            "not a NAME: it may start with a slash and holds no other",
        ),
        (&too_long, &too_long, too_long_reason),
    ] {
        for verb in VERBS {
            let mut command = shmtool(verb);
            command.arg(name);
            if verb == ["write-int"] {
                command.arg("1");
            }
            run(&mut command)
                .fails(2)
                .says(format!("{shown}: {reason}"));
        }
    }
}

#[test]
fn a_path_in_dev_shm_is_a_name() {
    in_private_shm("a_path_in_dev_shm_is_a_name", "size=64k", || {
        let path = "/dev/shm/x";
        run(&mut shmtool(["create", path])).prints("");
        run(&mut shmtool(["write-int", path, "7"])).prints("");
        run(&mut shmtool(["read-int", path])).prints("7\n");
        run(&mut shmtool(["cat", "--shm", path])).prints(7_i32.to_ne_bytes());
        run(&mut shmtool(["ls", "-q", path])).prints("/x\n");
        run(&mut shmtool(["unlink", "-v", path])).prints("/x\n");
        run(&mut shmtool(["unlink", path]))
            .fails(3)
            .says("/x: no such object");
    });
}

#[test]
fn a_path_in_dev_shm_may_stand_before_a_pattern() {
    let test = "a_path_in_dev_shm_may_stand_before_a_pattern";
    in_private_shm(test, "size=64k", || {
        run(&mut shmtool(["create", "job-1", "job-2", "task"])).prints("");
        let ls = |pattern| run(&mut shmtool(["ls", "-q", "--glob", pattern]));
        ls("/dev/shm/job-*").prints("/job-1\n/job-2\n");
        ls("!/dev/shm/job-*").prints("/task\n");
        ls("/dev/shm/")
            .fails(2)
            .says("/dev/shm/: not a PATTERN: nothing follows /dev/shm/");
        ls("!/dev/shm/a/*")
            .fails(2)
            .says(r#"!/dev/shm/a/*: not a PATTERN: no "/" is allowed after /dev/shm/"#);
        run(&mut shmtool([
            "unlink",
            "-g",
            "/dev/shm/job-*",
            "-g",
            "!/dev/shm/job-2",
        ]))
        .prints("");
        run(&mut shmtool(["ls", "-q"])).prints("/job-2\n/task\n");
    });
}

#[test]
fn a_name_is_bytes_and_not_text() {
    in_private_shm("a_name_is_bytes_and_not_text", "size=64k", || {
        for name in [&b"\xff\xfe"[..], b"two\nlines", b"\x1b[31m", b"-dash", b" "] {
            let name = OsStr::from_bytes(name);
            // What comes after create's -- is a COMMAND; the slash says that it is a name, to every verb.
            let with_slash = OsString::from_vec([b"/", name.as_bytes()].concat());
            run(shmtool(["create"]).arg(with_slash)).prints("");
            run(shmtool(["write-int", "--"]).arg(name).arg("7")).prints("");
            run(shmtool(["read-int", "--"]).arg(name)).prints("7\n");
            run(shmtool(["cat", "--shm", "--"]).arg(name)).prints(7_i32.to_ne_bytes());
            run(shmtool(["ls", "-q", "--"]).arg(name))
                .prints([b"/", name.as_bytes(), b"\n"].concat());
            run(shmtool(["unlink", "--"]).arg(name)).prints("");
        }
    });
}

#[test]
fn wrong_usage_is_told_in_one_line() {
    let names = "Usage: shmtool";
    for (args, message) in [
        (
            &[][..],
            "'shmtool' requires a subcommand but one was not provided",
        ),
        (&["bogus"], "unrecognized subcommand 'bogus'"),
        (
            &["create"],
            "the following required arguments were not provided: <NAME>...",
        ),
        (
            &["create", "--siz", "4", "x"],
            "unexpected argument '--siz' found; tip: ",
        ),
        (&["read-int", "x", "y"], "unexpected argument 'y' found"),
        (
            &["ls", "--\u{1b}[2J\n"],
            r"unexpected argument '--\u{1b}[2J",
        ),
    ] {
        let wrong = run(&mut shmtool(args));
        wrong.fails(2);
        assert_eq!(wrong.stderr.lines().count(), 1, "{wrong:?}");
        assert!(
            wrong.stderr.starts_with(&format!("shmtool: {message}")),
            "{wrong:?}"
        );
        assert!(wrong.stderr.contains(names), "{wrong:?}");
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_refused_where_they_mean_text() {
    let bytes = OsStr::from_bytes(b"\xff");
    run(shmtool(["create", "-s"]).arg(bytes).arg("x")).fails(2);
    run(shmtool(["read-int", "-t"]).arg(bytes).arg("x")).fails(2);
    run(shmtool(["write-int", "x"]).arg(bytes)).fails(2);
    run(&mut shmtool([bytes])).fails(2);
}

#[test]
fn help_and_version_are_results() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "create"],
        &["create", "--help"],
        &["--version"],
    ] {
        let shown = run(&mut shmtool(args));
        assert!(
            shown.status.success() && shown.stderr.is_empty() && !shown.stdout.is_empty(),
            "{shown:?}"
        );
    }
}

#[test]
fn a_message_that_nobody_can_read_changes_no_status() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(
        shmtool(["read-int", "a/b"])
            .stderr(full())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
    let name = Name::new();
    let child = shmtool(["read-int"])
        .arg(&name)
        .stdout(Stdio::piped())
        .stderr(full())
        .spawn()
        .unwrap();
    finish(child).fails(3);
}

#[test]
fn each_verb_is_described_as_in_the_list_of_verbs() {
    let list = String::from_utf8(run(&mut shmtool(["-h"])).stdout).unwrap();
    for verb in VERBS {
        let help = String::from_utf8(run(&mut shmtool([verb[0], "-h"])).stdout).unwrap();
        let described = help.lines().next().unwrap();
        let listed = list
            .lines()
            .find(|line| line.trim_start().starts_with(verb[0]))
            .unwrap();
        assert!(listed.ends_with(described), "{verb:?}: {described}");
    }
}
