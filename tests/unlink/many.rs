//! Sweeps of so many objects that a second thread closes their files.

use crate::common::*;
use crate::*;
use std::fs::hard_link;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MANY: usize = 1200;
const SHM: &str = "size=64m,nr_inodes=100k";

fn create_many() {
    for index in 0..MANY {
        let path = format!("/dev/shm/job-{index}");
        fs::write(&path, path.as_bytes()).unwrap();
    }
}

#[test]
fn what_is_in_use_is_kept_and_everything_else_is_removed_whatever_the_limit_of_descriptors() {
    in_private_shm(SHM, || {
        for limit in ["20", "256", "1024"] {
            create_many();
            // Links that come one after the other, and far apart.
            for index in (0..MANY).step_by(50) {
                let path = format!("/dev/shm/job-{index}");
                hard_link(&path, format!("/dev/shm/job-{index}-again")).unwrap();
                hard_link(&path, format!("/dev/shm/another-{index}")).unwrap();
            }
            let used: Vec<_> = ["job-7", "job-601", "job-1199"].map(open).into();
            let script = format!("ulimit -n {limit}; exec \"$0\" unlink --unused --verbose");
            let mut sweep = Command::new("sh");
            sweep.args(["-c", &script, env!("CARGO_BIN_EXE_shmtool")]);
            let ended = run(&mut sweep);
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!(remaining(), ["job-1199", "job-601", "job-7"], "{limit}");
            assert_eq!(printed_names(&ended).len(), MANY - 3 + 2 * (MANY / 50));
            assert!(ended.stderr.contains("3 kept: in use"), "{}", ended.stderr);
            drop(used);
            unlink(&["--unused"]).prints("");
            assert_eq!(remaining(), [""; 0]);
        }
    });
}

#[test]
fn a_thread_that_cannot_be_started_is_not_needed() {
    in_private_shm(SHM, || {
        create_many();
        let inject = "inject=clone,clone3:error=EAGAIN";
        let options = ["-e", "trace=clone,clone3", "-e", inject];
        let Some(mut strace) = strace(&options, ["unlink", "--unused"]) else {
            return;
        };
        run(&mut strace).prints("");
        assert_eq!(remaining(), [""; 0]);
    });
}

#[test]
fn programs_that_use_objects_meanwhile_do_not_lose_them() {
    in_private_shm(SHM, || {
        let done = AtomicBool::new(false);
        let end = Instant::now() + Duration::from_millis(1500);
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let done = &done;
                scope.spawn(move || {
                    for round in 0.. {
                        let path = format!("/dev/shm/work-{worker}-{round}");
                        let mut options = File::options();
                        options.create_new(true).read(true).write(true);
                        let file = options.open(&path).unwrap();
                        file.write_all_at(&[7; 4096], 0).unwrap();
                        let mapping = map(&file, Access::ReadWrite);
                        drop(file);
                        let again = File::open(&path).expect("an object in use is not swept");
                        drop((mapping, again));
                        // A sweep that has a lease of an object makes this wait for it.
                        let start = Instant::now();
                        let _ = File::open(&path);
                        assert!(start.elapsed() < HANG);
                        let _ = fs::remove_file(&path);
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            while Instant::now() < end {
                create_many();
                unlink(&["--glob", "*"]).prints("");
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}
