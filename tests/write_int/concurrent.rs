//! Several processes that change the same integer at once.

use crate::common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// Starts a shell that runs the script, where `$shmtool` is the binary and `$name` the object.
fn spawn_shell(script: &str, name: &Name) -> Child {
    let mut sh = Command::new("sh");
    sh.args(["-euc", script])
        .env("shmtool", env!("CARGO_BIN_EXE_shmtool"))
        .env("name", name);
    sh.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn concurrent_additions_are_never_lost() {
    let name = Name::new();
    let script = "i=0; while [ $i -lt 300 ]; do $shmtool write-int --add $name 1 > /dev/null; i=$((i+1)); done";
    let shells: Vec<_> = (0..8).map(|_| spawn_shell(script, &name)).collect();
    for shell in shells {
        finish(shell).prints("");
    }
    run(shmtool(["read-int"]).arg(&name)).prints("2400\n");
}

#[test]
fn concurrent_additions_by_c_and_shell_are_never_lost() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let script = "i=0; while [ $i -lt 100 ]; do $shmtool write-int --add $name 1000000 > /dev/null; i=$((i+1)); done";
    let mut adding = Vec::new();
    for _ in 0..2 {
        adding.push(spawn_shell(script, &name));
        let mut add = Command::new(c);
        let add = add.arg("add").arg(&name).arg("20000000");
        adding.push(
            add.stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
    }
    for child in adding {
        finish(child).prints("");
    }
    run(shmtool(["read-int"]).arg(&name)).prints("240000000\n");
}

#[test]
fn a_lock_built_from_if_and_until_is_exclusive() {
    let (name, file) = (Name::new(), tempfile::NamedTempFile::new().unwrap());
    let script = "
        i=0
        while [ $i -lt 60 ]; do
            until $shmtool write-int --if 0 $name $$; do
                $shmtool read-int --until 0 $name > /dev/null
            done
            echo begin $$ >> $file
            echo end $$ >> $file
            $shmtool write-int --if $$ $name 0
            i=$((i+1))
        done";
    let script = script.replace("$file", file.path().to_str().unwrap());
    let shells: Vec<_> = (0..4).map(|_| spawn_shell(&script, &name)).collect();
    for shell in shells {
        finish(shell).prints("");
    }
    let text = fs::read_to_string(file.path()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4 * 60 * 2);
    for pair in lines.chunks(2) {
        let owner = pair[0].strip_prefix("begin ").expect(pair[0]);
        assert_eq!(pair[1].strip_prefix("end "), Some(owner));
    }
}

#[test]
fn a_barrier_built_from_add_and_until_keeps_shells_in_step() {
    let (name, file) = (Name::new(), tempfile::NamedTempFile::new().unwrap());
    let script = "
        round=1
        while [ $round -le 30 ]; do
            echo $round >> $file
            $shmtool write-int --add $name 1 > /dev/null
            $shmtool read-int --until ge:$((3*round)) $name > /dev/null
            round=$((round+1))
        done";
    let script = script.replace("$file", file.path().to_str().unwrap());
    let shells: Vec<_> = (0..3).map(|_| spawn_shell(&script, &name)).collect();
    for shell in shells {
        finish(shell).prints("");
    }
    let text = fs::read_to_string(file.path()).unwrap();
    let rounds: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(rounds, (3..93).map(|i| i / 3).collect::<Vec<_>>());
}

#[test]
fn a_killed_writer_leaves_the_old_or_the_new_integer() {
    in_private_shm("size=1m", || {
        let mut value = 0_i32;
        for round in 0..500_u64 {
            let before = fs::read("/dev/shm/x").ok();
            value += 1;
            let arg = value.to_string();
            let options: &[&str] = if round % 2 == 0 { &[] } else { &["--swap"] };
            let mut writer = shmtool(["write-int"])
                .args(options)
                .args(["x", &arg])
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // Kill it at a random moment of its run, which takes one to three milliseconds.
            let nanos = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .subsec_nanos();
            sleep(Duration::from_nanos(u64::from(nanos) * 7919 % 3_000_000));
            kill(Pid::from_raw(writer.id() as i32), Signal::SIGKILL).unwrap();
            writer.wait().unwrap();
            let after = fs::read("/dev/shm/x").ok();
            assert!(
                after == before || after == Some(value.to_ne_bytes().into()),
                "{before:?} {after:?}"
            );
            assert!(
                fs::read_dir("/dev/shm")
                    .unwrap()
                    .all(|entry| entry.unwrap().file_name() == "x")
            );

            value += 1;
            run(&mut shmtool(["write-int", "x", &value.to_string()])).prints("");
            assert_eq!(fs::read("/dev/shm/x").unwrap(), value.to_ne_bytes());
            if round % 3 == 0 {
                fs::remove_file("/dev/shm/x").unwrap();
            }
        }
    });
}
