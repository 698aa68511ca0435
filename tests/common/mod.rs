//! Helpers for the tests of all verbs.

// Each test file uses only some of them.
#![allow(dead_code, unused_imports)]

mod c;
pub mod cgroup;
mod container;
pub mod disk;
pub mod fuse;
mod name;
mod peer;
mod private_shm;
mod run;
mod strace;
mod terminal;

pub use c::{c_program, fuse_server, signal_counter};
pub use container::{Container, Setup, names_in};
pub use name::Name;
pub use peer::{Peer, python};
pub use private_shm::{
    in_private_shm, in_private_system, run_test_in_private_system, run_test_privately, test_of,
};
pub use run::{Ended, HANG, does_not_fit, finish, limited, output_fails, run, shmtool, spawn};
pub use strace::{strace, truncate_when_open, wait_until_open};
pub use terminal::{on_terminal, on_terminal_of_width};

use nix::unistd::geteuid;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Reports that a test is skipped. The test harness hides the output of `eprintln!` from passing tests, so this writes
/// to standard error directly.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Reports that something the test needs is missing. In CI it has to be there, so this panics.
fn report_missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "no {what}"
    );
    skipped(&format!("no {what}"));
}

/// Whether the test runs as root, and can therefore switch to another user. If not, the test is skipped, even in CI.
pub fn is_root() -> bool {
    geteuid().is_root() || {
        skipped("not root");
        false
    }
}

/// Runs a command as an unprivileged user who owns no files.
pub fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(65534).gid(65534)
}
