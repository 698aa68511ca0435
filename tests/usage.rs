//! What all verbs share: object names, usage errors, help.

mod common;

use common::*;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Stdio;

/// The verbs that take a NAME, with the options that they need. The tests append the NAME.
const VERBS: [&[&str]; 6] = [
    &["cat", "--shm"],
    &["create"],
    &["write-int"],
    &["read-int"],
    &["ls"],
    &["unlink"],
];

#[test]
fn every_verb_rejects_invalid_names() {
    let too_long = "x".repeat(256);
    let too_long_reason = "not an object name: 256 bytes after the slash, at most 255 are allowed";
    for (name, shown, reason) in [
        ("", "''", "not an object name: nothing follows the slash"),
        ("/", "/", "not an object name: nothing follows the slash"),
        (
            "//x",
            "//x",
            "not an object name: no \"/\" is allowed except at the start",
        ),
        (
            "a/b",
            "a/b",
            "not an object name: no \"/\" is allowed except at the start",
        ),
        (
            "\u{1b}[2J/\n",
            r"\u{1b}[2J/\n",
            "not an object name: no \"/\" is allowed except at the start",
        ),
        (".", ".", "not an object name: . and .. are directories"),
        ("/..", "/..", "not an object name: . and .. are directories"),
        (
            "/dev/shm/",
            "/dev/shm/",
            "not an object name: nothing follows the slash",
        ),
        (
            "/dev/shm/a/b",
            "/dev/shm/a/b",
            "not an object name: no \"/\" is allowed except at the start",
        ),
        (&too_long, &too_long, too_long_reason),
    ] {
        for verb in VERBS {
            let mut command = shmtool(verb);
            command.arg(name);
            if verb == ["write-int"] {
                command.arg("1");
            }
            let hint = match reason.contains("except at the start") {
                true if ["write-int", "read-int"].contains(&verb[0]) => {
                    "\nhint: to use a file, add --file"
                }
                true => "\nhint: only objects in /dev/shm can be used here",
                false if name == "/dev/shm/" => "\nhint: shmtool ls lists the objects there",
                false => "",
            };
            run(&mut command)
                .fails(2)
                .says(format!("{shown}: {reason}{hint}"));
        }
    }
}

#[test]
fn a_path_in_dev_shm_names_an_object() {
    in_private_shm("size=64k", || {
        let path = "/dev/shm/x";
        run(&mut shmtool(["create", path])).prints("");
        run(&mut shmtool(["write-int", path, "7"])).prints("");
        run(&mut shmtool(["read-int", path])).prints("7\n");
        run(&mut shmtool(["cat", "--shm", path])).prints(7_i32.to_ne_bytes());
        run(&mut shmtool(["ls", "-q", path])).prints("/x\n");
        run(&mut shmtool(["unlink", path])).prints("");
        run(&mut shmtool(["unlink", path]))
            .fails(3)
            .says("/x: no such object");
    });
}

#[test]
fn a_pattern_may_start_with_dev_shm() {
    in_private_shm("size=64k", || {
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
fn names_are_arbitrary_bytes() {
    in_private_shm("size=64k", || {
        for name in [&b"\xff\xfe"[..], b"two\nlines", b"\x1b[31m", b"-dash", b" "] {
            let name = OsStr::from_bytes(name);
            // With create, "--" starts a COMMAND, so only a leading slash lets a NAME start with a dash.
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
fn a_usage_error_has_one_line_and_at_most_one_hint() {
    const HELP: &str = "\nhint: add --help to see the options and operands";
    for (args, message) in [
        (
            &["bogus"][..],
            "bogus: no such verb\nhint: the verbs are cat, create, write-int, read-int, ls, unlink",
        ),
        (&["create"], &format!("missing NAME{HELP}")),
        (&["write-int"], &format!("missing NAME and VALUE{HELP}")),
        (&["create", "-s"], "--size SIZE: the value is missing"),
        (
            &["create", "--siz", "4", "x"],
            "--siz: no such option\nhint: add --help to see the options; a COMMAND needs -- before it",
        ),
        (
            &["unlink", "--in-use", "x"],
            &format!("--in-use: no such option{HELP}"),
        ),
        (
            &["read-int", "--print", "x"],
            &format!("--print: no such option{HELP}"),
        ),
        (
            &["read-int", "x", "y"],
            &format!("y: one operand too many{HELP}"),
        ),
        (
            &["ls", "--\u{1b}[2J"],
            &format!(r"--\u{{1b}}[2J: no such option{HELP}"),
        ),
        (&["ls", "--all=3"], "--all takes no value"),
        (
            &["create", "-s", "4", "x", "--"],
            "-- without a COMMAND\nhint: COMMAND may be an empty variable",
        ),
        (
            &["read-int", "--timeout", "3s", "x"],
            "--timeout needs --until or --follow",
        ),
        (
            &["write-int", "--add", "--swap", "x", "1"],
            "--add cannot be used with --swap",
        ),
        (
            &["create", "--resize", "x"],
            &format!("missing --size SIZE{HELP}"),
        ),
        (&["ls", "-q", "-J"], "--names cannot be used with --json"),
        (
            &["ls", "--unlinked", "x"],
            "--unlinked cannot be used with NAME\nhint: --glob NAME selects objects by their name",
        ),
        (
            &["ls", "--summary", "x"],
            "--summary cannot be used with NAME",
        ),
        (
            &["read-int", "-t", "f32", "x"],
            "f32: not one of i8, i16, i32, i64, u8, u16, u32, u64\n\
             hint: shmtool cat --shm --offset 0 --length 4 NAME | od -An -tf4 prints it",
        ),
        (
            &["read-int", "--until", ">=4", "x"],
            ">=4: not a condition: write VALUE or OP:VALUE, where OP is eq, ne, lt, le, gt or ge\n\
             hint: write ge:4",
        ),
        (
            &["read-int", "./regs.bin"],
            "./regs.bin: not an object name: no \"/\" is allowed except at the start\n\
             hint: to use a file, add --file",
        ),
    ] {
        run(&mut shmtool(args)).fails(2).says(message);
    }
}

#[test]
fn without_a_verb_the_help_goes_to_standard_error() {
    let help = run(&mut shmtool(["-h"])).stdout;
    let ended = run(&mut shmtool([""; 0]));
    ended.fails(2);
    assert_eq!(ended.stderr.as_bytes(), help);
}

#[test]
fn sizes_types_values_and_verbs_must_be_valid_utf_8() {
    let bytes = OsStr::from_bytes(b"\xff");
    run(shmtool(["create", "-s"]).arg(bytes).arg("x")).fails(2);
    run(shmtool(["read-int", "-t"]).arg(bytes).arg("x")).fails(2);
    run(shmtool(["write-int", "x"]).arg(bytes)).fails(2);
    run(&mut shmtool([bytes])).fails(2);
}

#[test]
fn help_and_version_go_to_standard_output() {
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
fn failing_to_write_a_message_does_not_change_the_status() {
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
fn each_verb_has_the_same_description_in_its_help_and_in_the_list() {
    let list = String::from_utf8(run(&mut shmtool(["-h"])).stdout).unwrap();
    for verb in VERBS {
        let help = String::from_utf8(run(&mut shmtool([verb[0], "-h"])).stdout).unwrap();
        let description = help.lines().next().unwrap();
        let listed = list
            .lines()
            .find(|line| line.trim_start().starts_with(verb[0]))
            .unwrap();
        assert!(listed.ends_with(description), "{verb:?}: {description}");
    }
}

#[test]
fn help_adapts_to_the_width_of_the_terminal() {
    for verb in VERBS {
        for option in ["-h", "--help"] {
            for width in [60, 80, 120, 200] {
                let help = on_terminal_of_width(width, &mut shmtool([verb[0], option]));
                let help = String::from_utf8(help).unwrap();
                // Examples are printed as they are.
                let (text, _) = help.split_once("Examples:").unwrap_or((&help, ""));
                let widest = text.lines().map(|line| line.trim_end().len()).max();
                let width = usize::from(width);
                assert!(widest <= Some(width), "{text}");
                let has_long_paragraphs = option == "--help";
                assert!(!has_long_paragraphs || widest > Some(width - 20), "{text}");
            }
        }
    }
}
