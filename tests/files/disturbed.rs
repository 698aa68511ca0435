//! Files that others truncate, lock with a lease, or move away at every moment while shmtool waits.

use crate::common::*;
use crate::*;
use nix::libc;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

#[test]
fn waiting_for_a_file_that_is_truncated_and_grows_all_the_time_only_times_out() {
    let file = file_with([1, 0, 0, 0]);
    let is_over = AtomicBool::new(false);
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let mut command = on_file("write-int", file.path());
            spawn_waiter(command.args(["--if", "lt:0", "--wait", "--timeout", "1", "--add", "1"]))
        })
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                file.as_file().set_len(0).unwrap();
                file.as_file().set_len(4).unwrap();
            }
        });
        let ended: Vec<_> = waiters.into_iter().map(Child::wait_with_output).collect();
        is_over.store(true, Ordering::Relaxed);
        for ended in ended {
            let ended = ended.unwrap();
            assert_eq!(ended.status.code(), Some(124), "{ended:?}");
        }
    });
}

#[test]
fn waiting_continues_while_another_process_holds_a_lease() {
    let file = file_with([0; 4]);
    // SAFETY: the call takes no memory.
    let leased = unsafe {
        // The kernel would end the holder of the lease with SIGIO.
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        libc::fcntl(file.as_file().as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
    };
    if leased != 0 {
        return skipped("no lease");
    }
    let args = ["--if", "0", "--wait", "--timeout", "0", "1"];
    let problem = "timed out waiting for 0: another process holds a lease on it";
    fails_mentioning(&write_int(file.path(), &args), 124, &[problem]);
    let mut command = on_file("write-int", file.path());
    let waiter = spawn(command.args(["--if", "0", "--wait", "--timeout", "60", "1"]));
    let start = Instant::now();
    // Longer than shmtool waits for a lease at one look.
    sleep(Duration::from_millis(2500));
    // SAFETY: the call takes no memory.
    unsafe { libc::fcntl(file.as_file().as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    let ended = waiter.wait_with_output().unwrap();
    assert!(
        ended.status.success(),
        "{ended:?} after {:?}",
        start.elapsed()
    );
    assert_eq!(int_on_disk(file.path(), 0), 1);
}

#[test]
fn following_continues_when_a_file_is_in_the_place_of_the_directory() {
    let parent = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (directory, moved) = (parent.path().join("d"), parent.path().join("moved"));
    fs::create_dir(&directory).unwrap();
    let file = directory.join("file");
    fs::write(&file, 1_i32.to_ne_bytes()).unwrap();
    let mut command = on_file("read-int", &file);
    let waiter = spawn_waiter(command.args(["--until", "2"]));
    fs::rename(&directory, &moved).unwrap();
    fs::write(&directory, "").unwrap();
    sleep(Duration::from_millis(150));
    fs::remove_file(&directory).unwrap();
    fs::write(moved.join("file"), 2_i32.to_ne_bytes()).unwrap();
    fs::rename(&moved, &directory).unwrap();
    let ended = waiter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "2\n", "{ended:?}");
}
