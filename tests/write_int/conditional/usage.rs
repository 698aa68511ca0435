//! What `--if`, `--wait` and `--timeout` do not accept, and the hints.

use super::write_int;
use crate::common::*;
use std::fs;

/// Asserts that these arguments are a usage error with this message, and that no object is created.
#[track_caller]
fn rejected(args: &[&str], message: &str) {
    let name = Name::new();
    let message = message.replace("NAME", &name.to_string());
    run(&mut write_int(args, &name)).fails(2).says(message);
    assert!(!name.path().exists());
}

const NOT_A_CONDITION: &str =
    "not a condition: write VALUE or OP:VALUE, where OP is eq, ne, lt, le, gt or ge";

#[test]
fn a_condition_in_the_notation_of_c_gets_the_right_one_as_a_hint() {
    for (condition, hint) in [
        (">=4", "ge:4"),
        ("<= -1", "le:-1"),
        ("!=0x1f", "ne:0x1f"),
        ("==0", "eq:0"),
        (">0", "gt:0"),
        ("<3", "lt:3"),
    ] {
        rejected(
            &["--if", condition, "NAME", "1"],
            &format!("{condition}: {NOT_A_CONDITION}\nhint: write {hint}"),
        );
    }
}

#[test]
fn a_name_in_place_of_the_condition_gets_the_hint_to_quote_it() {
    // The shell takes an unquoted >=4 for a redirection into the file "=4".
    let directory = tempfile::tempdir().unwrap();
    let mut sh = std::process::Command::new("sh");
    let script = "exec \"$0\" write-int --if >=4 /x 5";
    let unquoted = sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    run(unquoted.current_dir(&directory)).fails(2).says(format!(
        "/x: {NOT_A_CONDITION}\nhint: quote '>=4', or write ge:4"
    ));
    assert!(fs::exists(directory.path().join("=4")).unwrap());
}

#[test]
fn a_value_before_the_name_gets_the_hint_that_the_name_comes_first() {
    for option in ["--add", "--if=0"] {
        for value in ["-1", "1"] {
            let name = Name::new();
            let ended = run(&mut write_int(&[option, value, "NAME"], &name));
            let message = &ended.fails(2).stderr;
            assert!(
                message.ends_with("\nhint: NAME comes before VALUE\n"),
                "{message}"
            );
        }
    }
}

#[test]
fn wait_needs_if_and_timeout_needs_wait() {
    let hint = "hint: add --help to see the options and operands";
    rejected(
        &["--wait", "NAME", "1"],
        &format!("missing --if [OP:]VALUE\n{hint}"),
    );
    rejected(
        &["--timeout", "1", "--if", "0", "NAME", "1"],
        &format!("missing --wait\n{hint}"),
    );
    rejected(
        &["--timeout", "1", "NAME", "1"],
        &format!("missing --if [OP:]VALUE and --wait\n{hint}"),
    );
}

#[test]
fn a_condition_takes_one_value_and_an_aligned_offset() {
    rejected(&["--if", "0", "NAME", "1", "2"], "--if takes one VALUE");
    for (int_type, offset, width) in [("i32", "2", 4), ("u64", "4", 8), ("i16", "1", 2)] {
        let args = ["--if", "0", "-t", int_type, "--offset", offset, "NAME", "1"];
        rejected(
            &args,
            &format!(
                "--if needs an offset that is a multiple of {width} (the width of {int_type}), not {offset}"
            ),
        );
    }
}

#[test]
fn conditions_and_timeouts_that_are_out_of_range_or_malformed_are_rejected() {
    rejected(
        &["-t", "u8", "--if", "gt:256", "NAME", "1"],
        "256: out of range: u8 is 0 to 255",
    );
    for condition in ["", "ge:", ":4", "is:4", "GE:4", "ge:4:5", "ge 4"] {
        let ended = run(&mut write_int(
            &["--if", condition, "NAME", "1"],
            &Name::new(),
        ));
        let message = &ended.fails(2).stderr;
        assert!(message.contains(NOT_A_CONDITION), "{message}");
    }
    for timeout in ["-1", "soon", "1h30", ""] {
        let args = ["--if=0", "--wait", "--timeout", timeout, "NAME", "1"];
        run(&mut write_int(&args, &Name::new())).fails(2);
    }
    rejected(
        &["--endian", "middle", "NAME", "1"],
        "middle: not one of big, little",
    );
}
