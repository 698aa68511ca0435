//! Every example of the manual and the README is run, and must print what it says.

mod common;

use common::*;
use nix::unistd::{User, geteuid};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What stands for the id of a process in an example.
const PIDS: [&str; 3] = ["1234", "1235", "1236"];

/// A command, and what it prints on a terminal.
#[derive(Debug, Default)]
struct Example {
    command: String,
    prints: Vec<String>,
}

/// The commands start with `$ ` and go on with `> `; all else is printed.
fn examples<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example {
                command: command.to_owned(),
                prints: Vec::new(),
            });
            continue;
        }
        let last = examples.last_mut().expect("a command comes first");
        match line.strip_prefix("> ") {
            Some(more) => last.command += &format!("\n{more}"),
            None => last.prints.push(line.to_owned()),
        }
    }
    examples
}

/// Runs the examples in one shell in this directory, one after the other, and compares what each prints.
fn run_all(examples: &[Example], directory: &Path) {
    const END: &str = "\u{1}";
    let mut script = "trap 'kill $pids 2> /dev/null' EXIT\nexec 2>&1\n".to_owned();
    for Example { command, .. } in examples {
        // The status is that of the example, for the next to look at.
        script += &format!("{command}\nstatus=$?; printf '{END}\\n'\n");
        if command.ends_with('&') {
            // Until it is what it will be, and no longer a copy of the shell.
            script +=
                "pids=\"$pids $!\"; while [ \"$(cat /proc/$!/comm)\" = sh ]; do sleep 0.01; done\n";
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
    let end = format!("{END}\n");
    let mut printed = output.split(&end);
    for example in examples {
        let printed = printed.next().unwrap_or_default().lines();
        // Whose processes there are besides is not a matter of the example.
        let printed: Vec<_> = printed
            .filter(|line| !line.contains(" could not be inspected ("))
            .collect();
        assert!(
            printed.len() == example.prints.len()
                && printed
                    .iter()
                    .zip(&example.prints)
                    .all(|(a, b)| is_like(a, b)),
            "{example:?} printed {printed:?}"
        );
    }
}

/// Whether a line is what an example says, but for process ids, the time that passed, and the user's name.
fn is_like(printed: &str, says: &str) -> bool {
    let user = User::from_uid(geteuid()).unwrap();
    let user = user.map_or_else(|| geteuid().to_string(), |user| user.name);
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_age = |text: &str| text.strip_suffix('s').is_some_and(is_number);
    let mut words = printed.split_whitespace();
    let like = says.split_whitespace().all(|says| {
        words.next().is_some_and(|word| {
            word == says
                || (PIDS.contains(&says) && is_number(word))
                || (is_age(says) && is_age(word))
                || (says == "root" && word == user)
        })
    });
    like && words.next().is_none()
}

fn manual(page: &str) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/examples");
    let text = fs::read_to_string(format!("{source}/{page}.txt")).unwrap();
    let examples = examples(text.lines().filter_map(|line| line.strip_prefix("    ")));
    assert!(!examples.is_empty());
    run_test_privately(
        &format!("the_examples_of_{}", page.replace('-', "_")),
        "size=64m",
        || run_all(&examples, tempfile::tempdir().unwrap().path()),
    );
}

#[test]
fn the_examples_of_shmtool() {
    manual("shmtool");
}

#[test]
fn the_examples_of_cat() {
    manual("cat");
}

#[test]
fn the_examples_of_create() {
    manual("create");
}

#[test]
fn the_examples_of_write_int() {
    manual("write-int");
}

#[test]
fn the_examples_of_read_int() {
    manual("read-int");
}

#[test]
fn the_examples_of_ls() {
    manual("ls");
}

#[test]
fn the_examples_of_unlink() {
    manual("unlink");
}

/// Blocks of `console` are sessions, all in one shell. Those of `sh` are for pasting: nothing in them fails or
/// complains. Those of `c` are files, named by their first line.
#[test]
fn the_examples_of_the_readme() {
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
            "console" => all.extend(examples(body.lines())),
            "sh" if body.contains("shmtool ") => all.push(Example {
                // The summary of a sweep is no complaint.
                command: format!(
                    "{{ (set -e\n{body}\n) > /dev/null || echo failed; }} 2>&1 | grep -v ': .*removed* nothing$'"
                ),
                prints: Vec::new(),
            }),
            "c" => {
                let (name, _) = body.strip_prefix("// ").unwrap().split_once('\n').unwrap();
                fs::write(directory.path().join(name), body).unwrap();
            }
            _ => {}
        }
    }
    assert!(all.len() > 10, "{all:?}");
    in_private_shm("size=256m", || run_all(&all, directory.path()));
}
