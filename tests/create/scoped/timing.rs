//! Signals that follow each other closely, or that wait for a stopped process.

use super::signals::{Counter, send};
use super::*;

#[test]
fn a_signal_to_the_process_group_right_after_the_start_is_not_lost() {
    in_private_shm("size=4m", || {
        for round in 0..60 {
            let mut command = create(&["-s", "4", "j", "--", "sleep", "1000"]);
            let child = spawn(command.process_group(0));
            sleep(Duration::from_micros(round * 40));
            send(-(child.id() as i32), libc::SIGTERM);
            assert_eq!(finish(child).signal(), Some(libc::SIGTERM));
            wait_until(|| object_names().is_empty());
        }
    });
}

#[test]
fn a_stop_that_is_followed_by_a_continue_leaves_nothing_stopped() {
    in_private_shm("size=4m", || {
        let mut command = create(&["-s", "4", "j", "--", "sleep", "1000"]);
        let child = spawn(command.process_group(0));
        let shmtool = child.id() as i32;
        wait_until(|| object_names() == ["j"]);
        sleep(Duration::from_millis(100));
        let is_stopped = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        let children = fs::read_to_string(format!("/proc/{shmtool}/task/{shmtool}/children"));
        let children = children.unwrap();
        for round in 0..20 {
            send(-shmtool, libc::SIGTSTP);
            sleep(Duration::from_micros(round * 30));
            send(-shmtool, libc::SIGCONT);
            sleep(Duration::from_millis(50));
            for pid in children
                .split_whitespace()
                .chain([&shmtool.to_string()[..]])
            {
                assert!(!is_stopped(pid), "round {round}: {pid}");
            }
        }
        send(-shmtool, libc::SIGTERM);
        assert_eq!(finish(child).signal(), Some(libc::SIGTERM));
    });
}

#[test]
fn a_late_copy_does_not_swallow_the_next_signal() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        let group = counter.group_members();
        for pid in ["shmtool", "shm-witness"].map(|name| group[name]) {
            send(pid, libc::SIGUSR2);
            sleep(Duration::from_millis(25));
        }
        // The witness was late, so that the signal was sent on.
        assert_eq!(counter.count(), "12:1");
        send(counter.pid(), libc::SIGUSR2);
        assert_eq!(counter.count(), "12:1");
    });
}

#[test]
fn a_witness_that_was_stopped_with_the_group_is_continued() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        send(-counter.pid(), libc::SIGSTOP);
        send(counter.pid(), libc::SIGCONT);
        assert_eq!(counter.count(), "18:1");
        sleep(Duration::from_millis(150));
        for _ in 0..3 {
            send(-counter.pid(), libc::SIGUSR1);
            assert_eq!(counter.count(), "10:1");
        }
    });
}

#[test]
fn the_end_of_the_command_is_noticed_while_signals_keep_coming() {
    in_private_shm("size=4m", || {
        let mut command = create(&["-s", "4", "j", "--", "sh", "-c", "sleep 0.3; exit 3"]);
        let ignore_usr1 = || {
            // SAFETY: to ignore a signal runs no handler.
            unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
            Ok(())
        };
        // SAFETY: only a system call is made between fork and exec.
        unsafe { command.pre_exec(ignore_usr1) };
        let mut shmtool = spawn(&mut command);
        let start = Instant::now();
        while shmtool.try_wait().unwrap().is_none() {
            send(shmtool.id() as i32, libc::SIGUSR1);
            sleep(Duration::from_millis(3));
            assert!(start.elapsed() < HANG);
        }
        assert_eq!(finish(shmtool).status.code(), Some(3));
        assert!(object_names().is_empty());
    });
}

#[test]
fn signals_that_were_merged_while_shmtool_was_stopped_do_not_swallow_a_later_one() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for (target, copies) in [(-counter.pid(), 2), (counter.pid(), 1)] {
            send(counter.pid(), libc::SIGSTOP);
            for _ in 0..copies {
                sleep(Duration::from_millis(20));
                send(target, libc::SIGUSR1);
            }
            sleep(Duration::from_millis(20));
            send(counter.pid(), libc::SIGCONT);
            sleep(Duration::from_millis(150));
            assert_eq!(counter.0.ask("count"), "10:1 18:1", "{copies} copies");
        }
    });
}

#[test]
fn a_signal_to_shmtool_and_then_to_the_process_group_arrives_twice() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for _ in 0..5 {
            send(counter.pid(), 40);
            sleep(Duration::from_millis(15));
            send(-counter.pid(), 40);
            sleep(Duration::from_millis(150));
            assert_eq!(counter.0.ask("count"), "40:2");
        }
    });
}

#[test]
fn a_signal_to_the_process_group_behind_many_to_shmtool_reaches_the_command_once() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for _ in 0..30 {
            send(counter.pid(), 40);
        }
        send(-counter.pid(), 41);
        sleep(Duration::from_millis(600));
        assert_eq!(counter.0.ask("count"), "40:30 41:1");
    });
}

#[test]
fn continuing_the_process_group_repeatedly_does_not_swallow_a_later_continue() {
    in_private_shm("size=4m", || {
        let Some(mut counter) = Counter::start() else {
            return;
        };
        for _ in 0..8 {
            for _ in 0..4 {
                send(-counter.pid(), libc::SIGCONT);
            }
            sleep(Duration::from_millis(60));
            assert_eq!(counter.0.ask("count"), "18:1");
            send(counter.pid(), libc::SIGCONT);
            assert_eq!(counter.count(), "18:1");
        }
    });
}
