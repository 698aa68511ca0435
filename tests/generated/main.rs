//! The manual pages and completions are made from `cli.rs` and the text beside it, and checked in.

mod completions;
mod manual;

use clap::{Command, CommandFactory};
use shmtool::cli::Cli;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

/// What makes them anew.
const RENEW: &str = "RENEW=1 cargo test --test generated";

/// Every file in a directory, by its name.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (
            entry.file_name().into_string().unwrap(),
            fs::read_to_string(entry.path()).unwrap(),
        )
    });
    files.collect()
}

/// The command line, with the options of every verb.
fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn is_up_to_date(directory: &str, generate: impl FnOnce(&Path)) {
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    if std::env::var_os("RENEW").is_some() {
        let _ = fs::remove_dir_all(&checked_in);
        fs::create_dir(&checked_in).unwrap();
        for (name, text) in files(fresh.path()) {
            fs::write(checked_in.join(name), text).unwrap();
        }
    }
    let (old, new) = (files(&checked_in), files(fresh.path()));
    let stale: Vec<_> = old
        .keys()
        .chain(new.keys())
        .filter(|name| old.get(*name) != new.get(*name))
        .collect();
    assert!(
        stale.is_empty(),
        "{directory}/ is stale ({stale:?}): run '{RENEW}' and commit what it writes"
    );
}

#[test]
fn manual_pages_are_up_to_date() {
    is_up_to_date("man", |directory| {
        manual::write_pages(&program(), directory)
    });
}

#[test]
fn completions_are_up_to_date() {
    is_up_to_date("completions", |directory| {
        completions::write_scripts(&program(), directory)
    });
}

#[test]
fn the_manual_pages_are_without_fault() {
    let pages = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/man")).unwrap();
    let mut mandoc = std::process::Command::new("mandoc");
    mandoc
        .args(["-T", "lint"])
        .args(pages.map(|page| page.unwrap().path()));
    match mandoc.output() {
        Ok(said) => assert_eq!(String::from_utf8_lossy(&said.stdout), ""),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "skipped: no mandoc");
        }
    }
}
