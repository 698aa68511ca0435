//! What other processes do during a sweep.

use crate::common::*;
use crate::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn an_object_opened_at_the_last_moment_is_kept() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        // While it holds the lease, shmtool calls statx for the name again. The delay is there, so that open() comes
        // during the lease and waits.
        let inject = "inject=statx:delay_enter=1000000:when=2";
        let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--unused"]) else {
            return;
        };
        let sweep = spawn(&mut strace);
        sleep(Duration::from_millis(500));
        let mut text = String::new();
        open("x").read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        let ended = finish(sweep);
        assert_eq!(
            ended.stderr,
            "shmtool: removed nothing\nshmtool: 1 kept: changed meanwhile\n"
        );
        assert_eq!(remaining(), ["x"]);
    });
}

#[test]
fn an_object_that_takes_the_name_at_the_last_moment_is_kept() {
    in_private_shm("size=4m", || {
        create(&["x", "y"]);
        let inject = "inject=statx:delay_enter=1000000:when=2";
        let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--glob", "x"]) else {
            return;
        };
        let sweep = spawn(&mut strace);
        sleep(Duration::from_millis(500));
        fs::rename("/dev/shm/y", "/dev/shm/x").unwrap();
        finish(sweep);
        assert_eq!(fs::read("/dev/shm/x").unwrap(), b"y");
    });
}

#[test]
fn an_object_modified_after_it_was_selected_is_kept() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        sleep(Duration::from_millis(1100));
        let inject = "inject=statx:delay_exit=1000000:when=1";
        let args = ["unlink", "-v", "--older-than", "1s"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        let sweep = spawn(&mut strace);
        sleep(Duration::from_millis(500));
        run(&mut shmtool(["write-int", "-t", "u8", "x", "7"])).prints("");
        let ended = finish(sweep);
        assert_eq!(
            ended.stderr,
            "shmtool: removed nothing\nshmtool: 1 kept: changed meanwhile\n"
        );
        assert_eq!(remaining(), ["x"]);
    });
}

#[test]
fn a_signal_does_not_interrupt_a_removal() {
    in_private_shm("size=4m", || {
        create(&["x", "y"]);
        let inject = "inject=statx:delay_enter=1000000:when=2";
        let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--unused"]) else {
            return;
        };
        let mut strace = strace.stdout(Stdio::piped()).spawn().unwrap();
        sleep(Duration::from_millis(500));
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let child = fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        kill(Pid::from_raw(child), Signal::SIGTERM).unwrap();
        strace.wait().unwrap();
        // The removal in progress is finished, and no other is started.
        assert_eq!(remaining(), ["y"]);
    });
}

#[test]
fn the_next_sweep_removes_what_a_killed_sweep_left() {
    in_private_shm("size=64m,nr_inodes=100k", || {
        // A second thread helps with 1000 objects and more.
        for (round, count) in (0..30_u64).zip([300, 300, 1200].into_iter().cycle()) {
            let names: Vec<_> = (0..count).map(|i| format!("job-{i}")).collect();
            create(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let kept = open("job-150");
            let mut sweep = shmtool(["unlink", "--unused"]).spawn().unwrap();
            sleep(Duration::from_micros(round * 400));
            kill(Pid::from_raw(sweep.id() as i32), Signal::SIGKILL).unwrap();
            sweep.wait().unwrap();
            for name in remaining() {
                assert_eq!(
                    fs::read(format!("/dev/shm/{name}")).unwrap(),
                    name.as_bytes()
                );
            }
            unlink(&["--unused"]).prints("");
            assert_eq!(remaining(), ["job-150"]);
            drop(kept);
        }
    });
}

#[test]
fn running_programs_do_not_notice_a_sweep() {
    in_private_shm("size=64m", || {
        let done = AtomicBool::new(false);
        let end = Instant::now() + Duration::from_secs(3);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let done = &done;
                scope.spawn(move || {
                    for round in 0.. {
                        let name = format!("/dev/shm/work-{worker}-{round}");
                        let path = name.as_str();
                        let file = File::options()
                            .create_new(true)
                            .read(true)
                            .write(true)
                            .open(path)
                            .unwrap();
                        file.write_all_at(&[7; 4096], 0).unwrap();
                        let mapping = map(&file, Access::ReadWrite);
                        drop(file);
                        // A mapped object keeps its name, and can be opened.
                        let again = File::open(path).expect("an object in use is not swept");
                        drop((mapping, again));
                        // Nobody uses the object now, so a sweep may have removed it.
                        let _ = fs::remove_file(path);
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            scope.spawn(|| {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    count += 1;
                    run(&mut shmtool(["write-int", "--add", "counter", "1"]))
                        .prints(format!("{count}\n"));
                }
            });
            while Instant::now() < end {
                unlink(&["--older-than", "1s"]).prints("");
                unlink(&["--glob", "work-*"]).prints("");
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn one_sweep_removes_all_hard_links_of_an_object() {
    in_private_shm("size=4m", || {
        let me = nix::unistd::geteuid().to_string();
        for filter in [
            &["--owner", &me][..],
            &["--larger-than", "0"],
            &["--older-than", "1ms"],
            &["--unused"],
            &["--owner", &me, "--include-in-use"],
        ] {
            create(&["a"]);
            for link in ["b", "c"] {
                fs::hard_link("/dev/shm/a", Path::new("/dev/shm").join(link)).unwrap();
            }
            let _used = filter.contains(&"--include-in-use").then(|| open("b"));
            sleep(Duration::from_millis(20));
            let ended = unlink(&[&["-v"], filter].concat());
            assert_eq!(printed_names(&ended), ["/a", "/b", "/c"], "{filter:?}");
            assert_eq!(remaining(), [""; 0]);
        }
        // What somebody else has modified meanwhile is kept.
        create(&["a"]);
        fs::hard_link("/dev/shm/a", "/dev/shm/b").unwrap();
        let inject = "inject=/^unlink:delay_exit=1000000:when=1";
        let args = ["unlink", "-v", "--owner", &me];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        let sweep = spawn(&mut strace);
        wait_until(|| remaining() == ["b"]);
        fs::write("/dev/shm/b", "modified").unwrap();
        assert_eq!(printed_names(&finish(sweep)), ["/a"]);
        assert_eq!(remaining(), ["b"]);
    });
}

#[test]
fn a_directory_that_takes_the_name_of_an_object_is_kept_and_no_error() {
    in_private_shm("size=4m", || {
        for args in [
            &["unlink", "-v", "--unused"][..],
            &["unlink", "-v", "--glob", "*", "--include-in-use"],
        ] {
            create(&["a"]);
            let used = args.contains(&"--include-in-use").then(|| open("a"));
            let inject = "inject=/^unlink:delay_enter=20000000";
            let Some(mut strace) = strace(&["-e", inject], args) else {
                return;
            };
            let mut sweep = strace.stderr(Stdio::piped()).spawn().unwrap();
            wait_until(|| is_waiting_in_unlink(sweep.id()));
            fs::rename("/dev/shm/a", "/dev/shm/.moved").unwrap();
            fs::create_dir("/dev/shm/a").unwrap();
            sweep.kill().unwrap();
            let mut summary = String::new();
            let stderr = sweep.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut summary).unwrap();
            sweep.wait().unwrap();
            assert!(summary.contains("1 kept: changed meanwhile"), "{summary}");
            assert!(!summary.contains("cannot"), "{summary}");
            fs::remove_dir("/dev/shm/a").unwrap();
            fs::remove_file("/dev/shm/.moved").unwrap();
            drop(used);
        }
    });
}

/// Whether the child of strace is stopped at the start of a call that removes a name.
fn is_waiting_in_unlink(strace: u32) -> bool {
    let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
    let child = children.unwrap().trim().to_owned();
    let call = fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
    let number = call
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number.is_some_and(|number: i64| [nix::libc::SYS_unlinkat, UNLINK].contains(&number))
}

/// Which call removes a name depends on the C library.
#[cfg(target_arch = "x86_64")]
const UNLINK: i64 = nix::libc::SYS_unlink;
#[cfg(not(target_arch = "x86_64"))]
const UNLINK: i64 = nix::libc::SYS_unlinkat;

fn wait_until(mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < HANG);
        sleep(Duration::from_millis(1));
    }
}
