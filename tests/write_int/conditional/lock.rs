//! A lock made of `--if 0 --wait NAME PID`, and its release. The short form runs a few rounds, the full one only with
//! `--ignored`.

use super::spawn_shell;
use crate::common::*;
use std::fs;

const SHELLS: usize = 8;

/// Each shell takes the lock in every round, and writes two lines into a file meanwhile.
fn take_turns(rounds: usize) {
    let (name, file) = (Name::new(), tempfile::NamedTempFile::new().unwrap());
    let script = "
        round=0
        while [ $round -lt ROUNDS ]; do
            $shmtool write-int --if 0 --wait $name $$
            echo begin $$ >>FILE
            echo end $$ >>FILE
            $shmtool write-int --if $$ $name 0
            round=$((round+1))
        done";
    let script = script.replace("ROUNDS", &rounds.to_string());
    let script = script.replace("FILE", file.path().to_str().unwrap());
    let shells: Vec<_> = (0..SHELLS).map(|_| spawn_shell(&script, &name)).collect();
    for shell in shells {
        finish(shell).prints("");
    }
    let text = fs::read_to_string(file.path()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), SHELLS * rounds * 2);
    for pair in lines.chunks(2) {
        let owner = pair[0].strip_prefix("begin ").expect(pair[0]);
        assert_eq!(pair[1].strip_prefix("end "), Some(owner));
    }
    assert_eq!(fs::read(name.path()).unwrap(), [0; 4]);
}

#[test]
fn a_lock_is_held_by_one_shell_at_a_time() {
    take_turns(25);
}

#[test]
#[ignore = "1,000 rounds"]
fn a_lock_is_held_by_one_shell_at_a_time_for_1000_rounds() {
    take_turns(1000);
}
