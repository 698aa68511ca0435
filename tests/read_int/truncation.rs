//! Objects that another process truncates while they are read or waited for.

use crate::common::*;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs `body` while the object is truncated and stored into, again and again.
fn while_it_flickers<T>(name: &Name, value: i32, body: impl FnOnce() -> T) -> T {
    /// Set when it is dropped, also by a panic: the thread must not outlive a test that fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                file.set_len(0).unwrap();
                sleep(Duration::from_micros(100));
                file.write_all_at(&value.to_ne_bytes(), 0).unwrap();
                sleep(Duration::from_micros(100));
            }
        });
        let _done = Done(&done);
        body()
    })
}

#[test]
fn a_waiter_survives_a_truncation_just_before_the_load() {
    let name = Name::holding([1; 4096]);
    // The load comes right after the look for holes.
    let inject = "inject=lseek:delay_exit=1500000:when=1";
    let Some(mut waiter) = strace(&["-e", inject], ["read-int", "--until", "5"]) else {
        return;
    };
    let waiter = spawn(waiter.arg(&name));
    truncate_when_open(&waiter, &name, 0);
    // Past the delay.
    sleep(Duration::from_millis(1500));
    fs::write(name.path(), 5_i32.to_ne_bytes()).unwrap();
    finish(waiter).prints("5\n");
}

#[test]
fn a_waiter_prints_what_it_saw_though_the_object_shrinks_at_once() {
    let name = Name::holding(7_i32.to_ne_bytes());
    while_it_flickers(&name, 7, || {
        for _ in 0..300 {
            run(shmtool(["read-int", "--until", "7"]).arg(&name)).prints("7\n");
        }
    });
}

#[test]
fn readers_and_writers_get_through_truncations_without_a_signal() {
    let name = Name::holding(0_i32.to_ne_bytes());
    let waiter = || spawn(shmtool(["read-int", "--until", "-1", "--timeout", "2s"]).arg(&name));
    let start = Instant::now();
    let (waiters, others) = while_it_flickers(&name, 1, || {
        let waiters = [waiter(), waiter(), waiter()];
        let mut others = Vec::new();
        while start.elapsed() < Duration::from_secs(2) {
            others.push(run(shmtool(["write-int", "--add"]).arg(&name).arg("1")));
            others.push(run(shmtool(["read-int"]).arg(&name)));
        }
        (waiters.map(finish), others)
    });
    for waiter in waiters {
        assert_eq!(waiter.status.code(), Some(124), "{waiter:?}");
    }
    let problems = ["too small: i32 at offset", "another process truncated it"];
    for other in others {
        match other.status.code() {
            Some(0) => assert_eq!(other.stderr, ""),
            Some(1) => assert!(
                problems.iter().any(|one| other.stderr.contains(one)),
                "{other:?}"
            ),
            _ => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bus_error_signal_from_outside_kills_as_usual() {
    let name = Name::holding([0; 4]);
    let waiter = spawn(shmtool(["read-int", "--until", "1"]).arg(&name));
    // Long enough for it to have loaded the integer. If it is not, the test passes all the same.
    sleep(Duration::from_millis(150));
    kill(Pid::from_raw(waiter.id() as i32), Signal::SIGBUS).unwrap();
    let ended = finish(waiter);
    assert_eq!(
        (ended.signal(), &ended.stderr[..]),
        (Some(libc::SIGBUS), "")
    );
}
