//! Objects that another process truncates while they are read or waited for.

use crate::common::*;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Runs `body` while another thread truncates the object and stores `value` into it again, over and over.
fn while_object_is_truncated<T>(name: &Name, value: i32, body: impl FnOnce() -> T) -> T {
    /// Stops the thread when it is dropped, also by a panic: otherwise a test that fails would hang.
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
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
        let _stop = StopOnDrop(&done);
        body()
    })
}

#[test]
fn a_waiter_survives_a_truncation_just_before_the_load() {
    let name = Name::holding([1; 4096]);
    // The load comes right after the search for holes.
    let inject = "inject=lseek:delay_exit=1500000:when=1";
    let Some(mut waiter) = strace(&["-e", inject], ["read-int", "--until", "5"]) else {
        return;
    };
    let waiter = spawn(waiter.arg(&name));
    truncate_when_open(&waiter, &name, 0);
    // Wait until the delay has passed.
    sleep(Duration::from_millis(1500));
    fs::write(name.path(), 5_i32.to_ne_bytes()).unwrap();
    finish(waiter).prints("5\n");
}

#[test]
fn a_waiter_prints_the_matching_value_even_if_the_object_shrinks_at_once() {
    let name = Name::holding(7_i32.to_ne_bytes());
    while_object_is_truncated(&name, 7, || {
        for _ in 0..300 {
            run(shmtool(["read-int", "--until", "7"]).arg(&name)).prints("7\n");
        }
    });
}

#[test]
fn truncations_never_kill_readers_or_writers() {
    let name = Name::holding(0_i32.to_ne_bytes());
    let spawn_waiter =
        || spawn(shmtool(["read-int", "--until", "-1", "--timeout", "2s"]).arg(&name));
    let start = Instant::now();
    let (waiters, others) = while_object_is_truncated(&name, 1, || {
        let waiters = [spawn_waiter(), spawn_waiter(), spawn_waiter()];
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
fn a_sigbus_from_another_process_kills_as_usual() {
    let name = Name::holding([0; 4]);
    let waiter = spawn(shmtool(["read-int", "--until", "1"]).arg(&name));
    // Long enough for the waiter to load the integer. If it is not, the test passes anyway.
    sleep(Duration::from_millis(150));
    kill(Pid::from_raw(waiter.id() as i32), Signal::SIGBUS).unwrap();
    let ended = finish(waiter);
    assert_eq!(
        (ended.signal(), &ended.stderr[..]),
        (Some(libc::SIGBUS), "")
    );
}
