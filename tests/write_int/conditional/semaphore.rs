//! A counting semaphore made of `--if ge:1 --wait --add NAME -1`: 50 processes share 5 slots, and 20 of them are killed
//! while they wait. The short forms run a few rounds, the full ones only with `--ignored`.

use super::{spawn_shell, write, write_int};
use crate::common::*;
use nix::libc;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const SLOTS: i32 = 5;

/// How many processes take slots and give them back.
const WORKERS: usize = 30;

/// How many processes wait until they are killed.
const VICTIMS: usize = 20;

const SHORT_ROUNDS: usize = 2;
const FULL_ROUNDS: usize = 40;

/// Creates a semaphore without free slots. The second integer counts those who have a slot.
fn semaphore() -> Name {
    Name::holding([0; 8])
}

fn spawn_waiting(args: &[&str], name: &Name) -> Child {
    // They print nothing unless a slot is lost.
    let mut command = write_int(args, name);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Starts processes that wait for a slot on a semaphore that has none, and others that wait for something that never
/// happens. Both wait on the same integer.
fn spawn_victims(name: &Name) -> [Vec<Child>; 2] {
    ["ge:1", "ge:1000"].map(|condition| {
        let args = ["--if", condition, "--wait", "--add", "NAME", "-1"];
        (0..VICTIMS / 2)
            .map(|_| spawn_waiting(&args, name))
            .collect()
    })
}

fn kill(mut victim: Child) {
    assert!(victim.try_wait().unwrap().is_none(), "it did not wait");
    victim.kill().unwrap();
    let ended = finish(victim);
    assert_eq!(
        (ended.signal(), &ended.stdout[..]),
        (Some(libc::SIGKILL), &b""[..])
    );
}

fn spawn_workers(count: usize, rounds: usize, name: &Name) -> Vec<Child> {
    let script = "
        round=0
        while [ $round -lt ROUNDS ]; do
            $shmtool write-int --if ge:1 --wait --add $name -1 >/dev/null
            holders=$($shmtool write-int --offset 4 --add $name 1)
            [ $holders -le SLOTS ] || echo $holders have a slot
            $shmtool write-int --offset 4 --add $name -1 >/dev/null
            $shmtool write-int --add $name 1 >/dev/null
            round=$((round+1))
        done";
    let script = script.replace("ROUNDS", &rounds.to_string());
    let script = script.replace("SLOTS", &SLOTS.to_string());
    (0..count).map(|_| spawn_shell(&script, name)).collect()
}

/// Runs the workers of `spawn` on the semaphore, and kills the victims meanwhile.
fn share_slots(name: &Name, spawn: impl FnOnce() -> Vec<Child>) {
    let [without_slot, amid_changes] = spawn_victims(name);
    let workers = spawn();
    sleep(Duration::from_millis(300));
    for victim in without_slot {
        kill(victim);
    }
    write(name, &SLOTS.to_string());
    for victim in amid_changes {
        sleep(Duration::from_millis(13));
        kill(victim);
    }
    for worker in workers {
        finish(worker).prints("");
    }
    let slots = [SLOTS.to_ne_bytes(), [0; 4]].concat();
    assert_eq!(fs::read(name.path()).unwrap(), slots);
}

fn share_among_shells(rounds: usize) {
    let name = semaphore();
    share_slots(&name, || spawn_workers(WORKERS, rounds, &name));
}

#[test]
fn killed_waiters_take_no_slot_and_keep_nobody_waiting() {
    share_among_shells(SHORT_ROUNDS);
}

#[test]
#[ignore = "40 rounds"]
fn fifty_processes_share_five_slots_for_40_rounds() {
    share_among_shells(FULL_ROUNDS);
}

fn share_among_shells_and_c(rounds: usize) {
    let Some(c) = c_program() else { return };
    let name = semaphore();
    share_slots(&name, || {
        let mut workers = spawn_workers(WORKERS / 2, rounds, &name);
        workers.extend((0..WORKERS / 2).map(|_| {
            let mut share = Command::new(c);
            let (rounds, limit) = ((50 * rounds).to_string(), SLOTS.to_string());
            spawn(share.arg("share").arg(&name).args([rounds, limit]))
        }));
        workers
    });
}

#[test]
fn shells_share_slots_with_c_programs_that_use_plain_atomics() {
    share_among_shells_and_c(SHORT_ROUNDS);
}

#[test]
#[ignore = "40 rounds"]
fn shells_share_slots_with_c_programs_for_40_rounds() {
    share_among_shells_and_c(FULL_ROUNDS);
}

/// The CPU time that a process has used, in microseconds (`/proc/PID/schedstat`). None if the kernel does not say.
fn cpu_time(process: &Child) -> Option<f64> {
    let path = format!("/proc/{}/schedstat", process.id());
    let text = fs::read_to_string(path).ok()?;
    let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
    (nanoseconds > 0.0).then_some(nanoseconds / 1000.0)
}

/// Measures the CPU time of waiters that have started, in microseconds per second of waiting: the mean and the maximum.
fn cpu_time_of_waiting(seconds: u64) -> Option<(f64, f64)> {
    let name = semaphore();
    let args = ["--if", "ge:1", "--wait", "--add", "NAME", "-1"];
    let mut waiters: Vec<_> = (0..50).map(|_| spawn_waiting(&args, &name)).collect();
    sleep(Duration::from_secs(1));
    let before: Vec<_> = waiters.iter().map(cpu_time).collect();
    sleep(Duration::from_secs(seconds));
    let after = waiters.iter().map(cpu_time).collect::<Vec<_>>();
    for waiter in &mut waiters {
        waiter.kill().unwrap();
        waiter.wait().unwrap();
    }
    let used = before.into_iter().zip(after).map(|(before, after)| {
        let used = after? - before?;
        Some(used / seconds as f64)
    });
    let Some(used) = used.collect::<Option<Vec<_>>>() else {
        skipped("no /proc/PID/schedstat");
        return None;
    };
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    Some((mean, used.into_iter().fold(0.0, f64::max)))
}

#[test]
fn waiting_uses_hardly_any_cpu_time() {
    // Polling without sleeping would take a million.
    if let Some((mean, max)) = cpu_time_of_waiting(1) {
        assert!(max < 20_000.0, "{mean} {max}");
    }
}

#[test]
#[ignore = "waits for 10 seconds; measures the release build"]
fn each_of_50_waiters_uses_less_than_a_millisecond_of_cpu_time_per_second() {
    if let Some((mean, max)) = cpu_time_of_waiting(10) {
        println!("microseconds of CPU time per second: mean {mean:.0}, maximum {max:.0}");
        assert!(max < 1000.0, "{mean} {max}");
    }
}
