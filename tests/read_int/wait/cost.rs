//! `--until`: waiting changes nothing, and takes no memory and hardly any CPU time.

use super::{TIME_TO_FALL_ASLEEP, spawn_waiter};
use crate::common::*;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread::sleep;

#[test]
fn waiting_does_not_change_the_object() {
    let name = Name::holding([0; 4]);
    let snapshot = || {
        let now = fs::metadata(name.path()).unwrap();
        (
            now.len(),
            now.blocks(),
            now.modified().unwrap(),
            now.ctime_nsec(),
        )
    };
    let before = snapshot();
    let mut waiter = spawn_waiter("1", &name);
    assert_eq!(snapshot(), before);
    waiter.kill().unwrap();
    waiter.wait().unwrap();
}

#[test]
fn waiting_on_a_hole_neither_allocates_nor_needs_memory() {
    in_private_shm("size=64k", || {
        let hole = fs::File::create("/dev/shm/hole").unwrap();
        hole.set_len(4096).unwrap();
        let mut waiter = spawn(&mut shmtool(["read-int", "--until", "1", "hole"]));
        sleep(TIME_TO_FALL_ASLEEP);
        assert_eq!(hole.metadata().unwrap().blocks(), 0);
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        sleep(TIME_TO_FALL_ASLEEP);
        assert!(waiter.try_wait().unwrap().is_none());
        fs::remove_file("/dev/shm/fill").unwrap();
        run(&mut shmtool(["write-int", "hole", "1"])).prints("");
        finish(waiter).prints("1\n");
    });
}

#[test]
fn waiting_on_a_reserved_page_works() {
    let name = Name::new();
    run(shmtool(["create", "-s", "1M"]).arg(&name)).prints("");
    let blocks = fs::metadata(name.path()).unwrap().blocks();
    let waiter = spawn_waiter("gt:0", &name);
    assert_eq!(fs::metadata(name.path()).unwrap().blocks(), blocks);
    run(shmtool(["write-int", "--add"]).arg(&name).arg("3")).prints("3\n");
    finish(waiter).prints("3\n");
}

/// The CPU time, in milliseconds, of the processes that `body` runs.
fn cpu_time(body: impl FnOnce()) -> i64 {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        (usage.user_time() + usage.system_time()).num_milliseconds()
    };
    let before = used();
    body();
    used() - before
}

#[test]
fn waiting_uses_hardly_any_cpu_time() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/busy", [0; 8]).unwrap();
        let timed_out = |args: &[&str]| {
            let mut read = shmtool(["read-int", "--timeout", "1s", "--until", "-1"]);
            run(read.args(args)).fails(124);
        };
        // Spinning for a second would take 1,000 ms.
        let idle = cpu_time(|| timed_out(&["busy"]));
        let missing = cpu_time(|| timed_out(&["missing"]));
        assert!(idle < 150 && missing < 150, "{idle} {missing}");

        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = fs::File::options()
                    .write(true)
                    .open("/dev/shm/busy")
                    .unwrap();
                let mut value = 0_u32;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    value = (value + 1) % 1000;
                    file.write_all_at(&value.to_ne_bytes(), 0).unwrap();
                    if value == 0 {
                        fs::write("/dev/shm/other", "").unwrap();
                        fs::remove_file("/dev/shm/other").unwrap();
                    }
                }
            });
            let hammered = cpu_time(|| timed_out(&["busy"]));
            let neighbor = cpu_time(|| timed_out(&["-t", "i8", "--offset", "3", "busy"]));
            let missing = cpu_time(|| timed_out(&["missing"]));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(
                hammered < 150 && neighbor < 150 && missing < 150,
                "{hammered} {neighbor} {missing}"
            );
        });
    });
}
