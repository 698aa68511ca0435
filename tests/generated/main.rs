//! Generates the manual pages and completions from `cli.rs` and the texts beside it. The tests fail if the committed files
//! are out of date.

mod completions;
mod manual;

use clap::{Command, CommandFactory};
use shmtool::cli::Cli;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

/// The command that regenerates them.
const RENEW: &str = "RENEW=1 cargo test --test generated";

/// The contents of every file in a directory, by file name.
fn read_files(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (
            entry.file_name().into_string().unwrap(),
            fs::read_to_string(entry.path()).unwrap(),
        )
    });
    files.collect()
}

/// The clap command, with the options of every verb.
fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn assert_up_to_date(directory: &str, generate: impl FnOnce(&Path)) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    if std::env::var_os("RENEW").is_some() {
        let _ = fs::remove_dir_all(&committed);
        fs::create_dir(&committed).unwrap();
        for (name, text) in read_files(fresh.path()) {
            fs::write(committed.join(name), text).unwrap();
        }
    }
    let (old, new) = (read_files(&committed), read_files(fresh.path()));
    let stale: Vec<_> = old
        .keys()
        .chain(new.keys())
        .filter(|name| old.get(*name) != new.get(*name))
        .collect();
    assert!(
        stale.is_empty(),
        "{directory}/ is stale ({stale:?}): run '{RENEW}' and commit the result"
    );
}

#[test]
fn manual_pages_are_up_to_date() {
    assert_up_to_date("man", |directory| {
        manual::write_pages(&program(), directory)
    });
}

#[test]
fn completions_are_up_to_date() {
    assert_up_to_date("completions", |directory| {
        completions::write_scripts(&program(), directory)
    });
}

#[test]
fn manual_pages_pass_mandoc_lint() {
    let pages = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/man")).unwrap();
    let mut mandoc = std::process::Command::new("mandoc");
    mandoc
        .args(["-T", "lint"])
        .args(pages.map(|page| page.unwrap().path()));
    match mandoc.output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), ""),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "skipped: no mandoc");
        }
    }
}
