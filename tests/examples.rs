//! Runs every example in the manual and the README, and compares its output with the text.

mod common;

use common::*;
use nix::unistd::{User, geteuid};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The process IDs that the examples use. Any process ID matches them.
const PIDS: [&str; 3] = ["1234", "1235", "1236"];

/// A command and the lines that it prints on a terminal.
#[derive(Debug, Default)]
struct Example {
    command: String,
    output: Vec<String>,
}

/// Parses examples. A command starts with `$ ` and continues with `> `; all other lines are output.
fn parse_examples<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example {
                command: command.to_owned(),
                output: Vec::new(),
            });
            continue;
        }
        let last = examples
            .last_mut()
            .expect("an example starts with a command");
        let blank = || (line == ">").then_some("");
        match line.strip_prefix("> ").or_else(blank) {
            Some(more) => last.command += &format!("\n{more}"),
            None => last.output.push(line.to_owned()),
        }
    }
    examples
}

/// Runs the examples one after the other, in one shell and in this directory, and compares the output of each.
fn run_all(examples: &[Example], directory: &Path) {
    const END_MARK: &str = "\u{1}";
    let mut script = "trap 'kill $pids 2> /dev/null' EXIT\nexec 2>&1\n".to_owned();
    for Example { command, .. } in examples {
        // Restore the exit status of the example, because the next example may print it.
        script += &format!("{command}\nstatus=$?; printf '{END_MARK}\\n'\n");
        if command.ends_with('&') {
            // Wait until the background process has called exec and is no longer a shell, or a program that starts one.
            script += "pids=\"$pids $!\"; while grep -qx 'sh\\|unshare' /proc/$!/comm; do sleep 0.01; done\n";
        }
        script += "(exit $status)\n";
    }
    let program = Path::new(env!("CARGO_BIN_EXE_shmtool")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", program.display()));
    let output = String::from_utf8(run(&mut shell).stdout).unwrap();
    let end_mark = format!("{END_MARK}\n");
    let mut outputs = output.split(&end_mark);
    for example in examples {
        let printed = outputs.next().unwrap_or_default().lines();
        // These messages depend on the machine, and on the namespaces of the test.
        let printed: Vec<_> = printed
            .filter(|line| {
                !line.contains(" could not be inspected (")
                    && !line.contains(": this is a container")
            })
            .collect();
        assert!(
            printed.len() == example.output.len()
                && printed
                    .iter()
                    .zip(&example.output)
                    .all(|(printed, expected)| is_like(printed, expected)),
            "{example:?} printed {printed:?}"
        );
    }
}

/// Whether a line matches the line of an example. Process IDs, ages and the name of the user may differ.
fn is_like(printed: &str, expected: &str) -> bool {
    let user = User::from_uid(geteuid()).unwrap();
    let user = user.map_or_else(|| geteuid().to_string(), |user| user.name);
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_age = |text: &str| text.strip_suffix('s').is_some_and(is_number);
    let mut words = printed.split_whitespace();
    let is_like = expected.split_whitespace().all(|expected| {
        words.next().is_some_and(|word| {
            word == expected
                || (PIDS.contains(&expected) && is_number(word))
                || (expected
                    .strip_prefix("pid:")
                    .is_some_and(|pid| PIDS.contains(&pid))
                    && word.strip_prefix("pid:").is_some_and(is_number))
                || (is_age(expected) && is_age(word))
                || (expected == "root" && word == user)
        })
    });
    is_like && words.next().is_none()
}

fn run_manual_examples(page: &str) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/examples");
    let text = fs::read_to_string(format!("{source}/{page}.txt")).unwrap();
    let mut examples = parse_examples(text.lines().filter_map(|line| line.strip_prefix("    ")));
    if Command::new("jq").arg("--version").output().is_err() {
        let all = examples.len();
        // The example for monitoring writes this file with jq, and prints it.
        examples.retain(|example| !example.command.contains("shm.prom"));
        if examples.len() < all {
            skipped("no jq");
        }
    }
    assert!(!examples.is_empty());
    run_test_in_private_system(
        &format!("examples_of_{}_work", page.replace('-', "_")),
        "size=64m",
        || run_all(&examples, tempfile::tempdir().unwrap().path()),
    );
}

#[test]
fn examples_of_shmtool_work() {
    run_manual_examples("shmtool");
}

#[test]
fn examples_of_cat_work() {
    run_manual_examples("cat");
}

#[test]
fn examples_of_create_work() {
    run_manual_examples("create");
}

#[test]
fn examples_of_write_int_work() {
    run_manual_examples("write-int");
}

#[test]
fn examples_of_read_int_work() {
    run_manual_examples("read-int");
}

#[test]
fn examples_of_ls_work() {
    run_manual_examples("ls");
}

#[test]
fn examples_of_unlink_work() {
    run_manual_examples("unlink");
}

/// Whether the programs that the examples need are installed. A machine that has only Rust lacks some.
fn can_run(examples: &[Example]) -> bool {
    let uses = |program: &str| {
        let mut words = examples
            .iter()
            .flat_map(|one| one.command.split_whitespace());
        words.any(|word| word == program)
    };
    if uses("flock") && Command::new("flock").arg("--version").output().is_err() {
        skipped("no flock");
        return false;
    }
    (!uses("python3") || python("", &[]).is_some()) && (!uses("cc") || c_program().is_some())
}

/// Each section is a session of its own, so that a new one does not depend on the others.
#[test]
fn examples_of_the_recipes_work() {
    in_private_system("size=64m", || {
        let text = include_str!("../src/cli/recipes.txt");
        let is_example = |block: &&str| block.starts_with("    $ ");
        let is_heading = |block: &str| block.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
        let blocks: Vec<_> = text.split("\n\n").collect();
        for section in blocks.chunk_by(|_, next| !is_heading(next)) {
            let lines = section
                .iter()
                .copied()
                .filter(is_example)
                .flat_map(str::lines);
            let examples = parse_examples(lines.map(|line| &line[4..]));
            assert!(
                !examples.is_empty() || section[0] == "SEE ALSO",
                "{section:?}"
            );
            if !can_run(&examples) {
                continue;
            }
            run_all(&examples, tempfile::tempdir().unwrap().path());
            for object in fs::read_dir("/dev/shm").unwrap() {
                fs::remove_file(object.unwrap().path()).unwrap();
            }
        }
    });
}

/// `console` blocks are sessions; all of them run in one shell. `sh` blocks are commands to paste: they must succeed
/// without output on standard error. `c` blocks are files, named in their first line.
#[test]
fn examples_of_the_readme_work() {
    let Some(_) = c_program() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for block in include_str!("../README.md")
        .split("\n```")
        .skip(1)
        .step_by(2)
    {
        let (kind, body) = block.split_once('\n').unwrap();
        match kind {
            "console" => all.extend(parse_examples(body.lines())),
            "sh" if body.contains("shmtool ") => all.push(Example {
                // A sweep prints its summary on standard error, which is allowed.
                command: format!(
                    "{{ (set -e\n{body}\n) > /dev/null || echo failed; }} 2>&1 | grep -v ': .*removed* nothing$'"
                ),
                output: Vec::new(),
            }),
            "c" => {
                let (name, _) = body.strip_prefix("// ").unwrap().split_once('\n').unwrap();
                fs::write(directory.path().join(name), body).unwrap();
            }
            _ => {}
        }
    }
    assert!(all.len() > 10, "{all:?}");
    in_private_system("size=256m", || run_all(&all, directory.path()));
}
