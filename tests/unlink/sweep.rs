//! Sweeps: what passes the filters and nobody uses. All in a private `/dev/shm`: they take whatever is there.

use crate::common::*;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::mapping::Mapping;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{IoSlice, Read};
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn unlink(args: &[&str]) -> Ended {
    run(shmtool(["unlink"]).args(args))
}

/// What is in `/dev/shm`, in order.
fn there() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    let names: BTreeSet<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.into_iter().collect()
}

fn make(names: &[&str]) {
    for name in names {
        fs::write(format!("/dev/shm/{name}"), name).unwrap();
    }
}

fn open(name: &str) -> File {
    File::open(format!("/dev/shm/{name}")).unwrap()
}

fn map(file: &File, access: Access) -> Mapping {
    Mapping::shared_file(file, 0, NonZero::new(4).unwrap(), access).unwrap()
}

#[test]
fn what_somebody_uses_in_any_way_stays_and_the_rest_goes() {
    in_private_shm(
        "sweep::what_somebody_uses_in_any_way_stays_and_the_rest_goes",
        "size=4m",
        || {
            make(&[
                "free-1",
                "free-2",
                "mapped-to-read",
                "mapped-to-write",
                "open",
                "open-elsewhere",
                "sent",
                "path-only",
            ]);
            let to_read = map(&open("mapped-to-read"), Access::Read);
            let writable = File::options()
                .read(true)
                .write(true)
                .open("/dev/shm/mapped-to-write")
                .unwrap();
            let to_write = map(&writable, Access::ReadWrite);
            drop(writable);
            let opened = open("open");
            fs::hard_link("/dev/shm/open-elsewhere", "/dev/shm/other-name").unwrap();
            let elsewhere = open("other-name");
            // In flight: no process has a descriptor for it.
            let (sender, receiver) = UnixStream::pair().unwrap();
            let sent = open("sent");
            let fds = [sent.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(
                sender.as_raw_fd(),
                &[IoSlice::new(b"x")],
                &rights,
                MsgFlags::empty(),
                None,
            )
            .unwrap();
            drop(sent);
            fs::copy("/bin/sleep", "/dev/shm/running").unwrap();
            let mut running = Command::new("/dev/shm/running")
                .arg("1000")
                .spawn()
                .unwrap();
            let held = [
                "mapped-to-read",
                "mapped-to-write",
                "open",
                "open-elsewhere",
                "other-name",
                "running",
                "sent",
            ];

            // That a path leads to it is no use of it.
            unlink(&["--glob", "*"]).prints("");
            assert_eq!(there(), held);
            unlink(&["--unused"]).prints("");
            assert_eq!(there(), held);
            let mut bytes = [0; 4];
            opened.read_exact_at(&mut bytes, 0).unwrap();
            elsewhere.read_exact_at(&mut bytes, 0).unwrap();
            use shmtool::sys::memory::int::IntType;
            let mapp = i32::from_ne_bytes(*b"mapp").to_string();
            for mapping in [&to_read, &to_write] {
                assert_eq!(mapping.load(0, IntType::I32).unwrap().to_string(), mapp);
            }

            running.kill().unwrap();
            running.wait().unwrap();
            drop((to_read, to_write, opened, elsewhere, receiver, sender));
            unlink(&["--unused"]).prints("");
            assert_eq!(there(), [""; 0]);
        },
    );
}

#[test]
fn a_user_in_another_pid_namespace_or_of_another_name_keeps_it() {
    in_private_shm(
        "sweep::a_user_in_another_pid_namespace_or_of_another_name_keeps_it",
        "size=4m",
        || {
            make(&["far", "free"]);
            let script = "exec 3< /dev/shm/far; echo open; read line";
            let mut far = Command::new("unshare");
            far.args([
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "sh",
                "-c",
                script,
            ]);
            let Ok(mut far) = far.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
                return;
            };
            let mut line = [0; 5];
            if far.stdout.take().unwrap().read_exact(&mut line).is_ok() {
                unlink(&["--unused"]).prints("");
                assert_eq!(there(), ["far"]);
            }
            drop(far.stdin.take());
            far.wait().unwrap();

            if is_root() {
                make(&["of-nobody"]);
                fs::set_permissions("/dev/shm/of-nobody", fs::Permissions::from_mode(0o644))
                    .unwrap();
                let mut reader = Command::new("sh");
                reader.args(["-c", "exec 3< /dev/shm/of-nobody; echo; read line"]);
                let mut reader = Peer::start(as_nobody(&mut reader));
                reader.line();
                unlink(&["--unused"]).prints("");
                assert_eq!(there(), ["of-nobody"]);
            }
        },
    );
}

#[test]
fn what_the_filters_mean_is_the_same_for_ls_and_unlink() {
    in_private_shm(
        "sweep::what_the_filters_mean_is_the_same_for_ls_and_unlink",
        "size=4m",
        || {
            make(&["job-1", "job-2", "jobber", "task-1", "kept", "sem.job-3"]);
            let _kept = open("kept");
            let _used = open("job-2");
            if is_root() {
                chown("/dev/shm/job-1", Some(65534), None).unwrap();
            }
            sleep(Duration::from_millis(1100));
            make(&["new-1"]);
            let me = nix::unistd::geteuid().to_string();
            for filters in [
                &["--glob", "job-*"][..],
                &["--glob", "/job-?", "-g", "task*"],
                &["-g", "[a-j]*"],
                &["-a", "-g", "sem*"],
                &["-g", "!job*"],
                &["-g", "*-1", "-g", "!new*"],
                &["--owner", &me],
                &["--owner", "nobody"],
                &["--older-than", "1s"],
                &["--older-than", "1h"],
                &["--older-than", "0", "--glob", "n*"],
                &["--unused"],
                &[
                    "--unused",
                    "--owner",
                    &me,
                    "--older-than",
                    "500ms",
                    "--glob",
                    "*b*",
                ],
            ] {
                let listed = run(shmtool(["ls", "-q", "--unused"]).args(filters)).stdout;
                let would_go = run(shmtool(["unlink", "-n"]).args(filters)).stdout;
                assert_eq!(
                    String::from_utf8_lossy(&listed),
                    String::from_utf8_lossy(&would_go),
                    "{filters:?}"
                );
            }
            let gone = |filters: &[&str]| {
                let goes = unlink(&[&["-v"], filters].concat()).stdout;
                String::from_utf8(goes).unwrap().replace('\n', " ")
            };
            assert_eq!(gone(&["--older-than", "1h"]), "");
            assert_eq!(gone(&["--older-than", "1s", "--glob", "new*"]), "");
            assert_eq!(gone(&["--glob", "job-*"]), "/job-1 ");
            assert_eq!(gone(&["--older-than", "1s"]), "/jobber /task-1 ");
            assert_eq!(gone(&["--unused", "-a"]), "/new-1 /sem.job-3 ");
            assert_eq!(there(), ["job-2", "kept"]);
        },
    );
}

#[test]
fn a_filter_that_is_none_is_wrong_usage_and_nothing_goes() {
    in_private_shm(
        "sweep::a_filter_that_is_none_is_wrong_usage_and_nothing_goes",
        "size=4m",
        || {
            make(&["x"]);
            unlink(&["--owner", "no-such-user-here"])
                .fails(2)
                .says("no-such-user-here: no such user");
            unlink(&["--older-than", "soon"]).fails(2);
            unlink(&["--older-than", "-1h"]).fails(2);
            unlink(&["--glob", "[x"]).fails(2);
            unlink(&["--glob", ""]).prints("");
            assert_eq!(there(), ["x"]);
        },
    );
}

#[test]
fn a_change_of_any_kind_makes_an_object_young() {
    in_private_shm(
        "sweep::a_change_of_any_kind_makes_an_object_young",
        "size=4m",
        || {
            make(&["written", "chmodded", "linked", "left"]);
            let future = std::time::SystemTime::now() + Duration::from_secs(3600);
            make(&["of-tomorrow"]);
            sleep(Duration::from_millis(1100));
            run(&mut shmtool(["write-int", "written", "7"])).prints("");
            fs::set_permissions("/dev/shm/chmodded", fs::Permissions::from_mode(0o640)).unwrap();
            fs::hard_link("/dev/shm/linked", "/dev/shm/second").unwrap();
            File::options()
                .write(true)
                .open("/dev/shm/of-tomorrow")
                .unwrap()
                .set_modified(future)
                .unwrap();
            unlink(&["--older-than", "1s"]).prints("");
            assert_eq!(
                there(),
                ["chmodded", "linked", "of-tomorrow", "second", "written"]
            );
        },
    );
}

#[test]
fn forced_it_takes_what_is_used_but_not_against_a_filter() {
    in_private_shm(
        "sweep::forced_it_takes_what_is_used_but_not_against_a_filter",
        "size=4m",
        || {
            make(&["free", "used", "sem.s"]);
            let used = open("used");
            unlink(&["-f", "--unused"]).prints("");
            assert_eq!(there(), ["sem.s", "used"]);
            let gone = unlink(&["-fv", "--glob", "*"]);
            assert_eq!(
                (&gone.stdout[..], gone.stderr.as_str()),
                (&b"/used\n"[..], "shmtool: removed 1 object\n")
            );
            assert_eq!(there(), ["sem.s"]);
            let mut bytes = [0; 4];
            used.read_exact_at(&mut bytes, 0).unwrap();
        },
    );
}

#[test]
fn a_name_that_the_filters_left_is_status_5() {
    in_private_shm(
        "sweep::a_name_that_the_filters_left_is_status_5",
        "size=4m",
        || {
            make(&["a", "b", "c", "d"]);
            let _used = open("a");
            unlink(&["--unused", "a", "b"])
                .fails(5)
                .says("/a: left, because it is in use");
            unlink(&["--older-than", "1h", "c"])
                .fails(5)
                .says("/c: left, because it is not that old");
            unlink(&["--owner", "4000000000", "c"])
                .fails(5)
                .says("/c: left, because it has another owner");
            unlink(&["--glob", "x*", "c"])
                .fails(5)
                .says("/c: left, because its name does not match");
            unlink(&["--unused", "missing"])
                .fails(3)
                .says("/missing: no such object");
            unlink(&["--unused", "-f", "missing"]).prints("");
            assert_eq!(there(), ["a", "c", "d"]);
            unlink(&["-n", "--unused", "c"]).prints("/c\n");
            unlink(&["-n", "c", "a"]).prints("/c\n/a\n");
            assert_eq!(there(), ["a", "c", "d"]);
            unlink(&["-v", "--glob", "[ac]", "a", "c"]).prints("/a\n/c\n");
            assert_eq!(there(), ["d"]);
        },
    );
}

#[test]
fn cron_hears_nothing_and_a_person_what_it_came_to() {
    in_private_shm(
        "sweep::cron_hears_nothing_and_a_person_what_it_came_to",
        "size=4m",
        || {
            make(&["a", "b", "used"]);
            fs::write("/dev/shm/large", [1; 10_000]).unwrap();
            fs::hard_link("/dev/shm/large", "/dev/shm/large-too").unwrap();
            let _used = open("used");
            let dry = unlink(&["-n", "-v", "--unused"]);
            assert_eq!(
                dry.stderr,
                "shmtool: would remove 4 objects with 8KiB; left 1 in use\n"
            );
            assert_eq!(
                String::from_utf8(dry.stdout).unwrap(),
                "/a\n/b\n/large\n/large-too\n"
            );
            unlink(&["-n", "--unused"]).prints("/a\n/b\n/large\n/large-too\n");
            // The first of two names gives nothing back.
            let swept = unlink(&["-v", "--unused"]);
            assert_eq!(
                swept.stderr,
                "shmtool: removed 4 objects with 20KiB; left 1 in use\n"
            );
            unlink(&["--unused"]).prints("");
            make(&["a"]);
            let pty = nix::pty::openpty(None, None).unwrap();
            let status = shmtool(["unlink", "--unused"])
                .stderr(pty.slave)
                .status()
                .unwrap();
            let mut text = [0; 200];
            let length = nix::unistd::read(&pty.master, &mut text).unwrap();
            assert!(status.success());
            assert_eq!(
                str::from_utf8(&text[..length]).unwrap().trim_end(),
                "shmtool: removed 1 object with 4KiB; left 1 in use"
            );
        },
    );
}

#[test]
fn where_the_kernel_gives_no_answer_it_counts_as_used() {
    in_private_shm(
        "sweep::where_the_kernel_gives_no_answer_it_counts_as_used",
        "size=4m",
        || {
            make(&["a", "b"]);
            // The first three look at the standard streams.
            let inject = "inject=fcntl:error=EINVAL:when=4+";
            for args in [&["unlink", "--unused"][..], &["ls", "-q", "--unused"]] {
                let Some(mut strace) = strace(&["-e", inject], args) else {
                    return;
                };
                let ended = run(&mut strace);
                assert_eq!(
                    (ended.status.code(), &ended.stdout[..]),
                    (Some(0), &b""[..])
                );
                assert_eq!(
                    ended.stderr,
                    "shmtool: 2 objects taken for used, because the kernel does not say: Invalid argument\n"
                );
            }
            let named = run(&mut strace(&["-e", inject], ["unlink", "--unused", "a"]).unwrap());
            named
                .fails(5)
                .says("/a: left, because the kernel does not say whether it is in use");
            assert_eq!(there(), ["a", "b"]);
        },
    );
}

#[test]
fn somebody_who_opens_it_at_the_last_moment_keeps_it() {
    in_private_shm(
        "sweep::somebody_who_opens_it_at_the_last_moment_keeps_it",
        "size=4m",
        || {
            make(&["x"]);
            // Under the lease the name is looked at once more; that is where an opener comes, and waits.
            let inject = "inject=statx:delay_enter=1000000:when=2";
            let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--unused"]) else {
                return;
            };
            let sweep = strace
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(500));
            let mut text = String::new();
            open("x").read_to_string(&mut text).unwrap();
            assert_eq!(text, "x");
            let ended = finish(sweep);
            assert_eq!(
                ended.stderr,
                "shmtool: removed 0 objects with 0B; left 1 changed meanwhile\n"
            );
            assert_eq!(there(), ["x"]);
        },
    );
}

#[test]
fn what_takes_the_name_at_the_last_moment_stays() {
    in_private_shm(
        "sweep::what_takes_the_name_at_the_last_moment_stays",
        "size=4m",
        || {
            make(&["x", "y"]);
            let inject = "inject=statx:delay_enter=1000000:when=2";
            let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--glob", "x"]) else {
                return;
            };
            let sweep = strace
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(500));
            fs::rename("/dev/shm/y", "/dev/shm/x").unwrap();
            finish(sweep);
            assert_eq!(fs::read("/dev/shm/x").unwrap(), b"y");
        },
    );
}

#[test]
fn others_objects_are_left_in_peace() {
    in_private_shm("sweep::others_objects_are_left_in_peace", "size=4m", || {
        if !is_root() {
            return;
        }
        make(&["closed", "readable"]);
        fs::set_permissions("/dev/shm/closed", fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions("/dev/shm/readable", fs::Permissions::from_mode(0o666)).unwrap();
        run(as_nobody(&mut shmtool(["create", "own"]))).prints("");
        let swept = run(as_nobody(&mut shmtool(["unlink", "-v", "--glob", "*"])));
        assert_eq!(
            (swept.status.code(), &swept.stdout[..]),
            (Some(0), &b"/own\n"[..])
        );
        assert_eq!(
            swept.stderr,
            "shmtool: removed 1 object with 0B; left 2 of other users\n"
        );
        run(as_nobody(&mut shmtool(["unlink", "--glob", "*"]))).prints("");
        let forced = run(as_nobody(&mut shmtool(["unlink", "-fnv", "--glob", "*"])));
        assert_eq!(
            forced.stderr,
            "shmtool: would remove 0 objects; left 2 of other users\n"
        );
        let forced = run(as_nobody(&mut shmtool(["unlink", "-f", "--glob", "*"])));
        forced.prints("");
        assert_eq!(there(), ["closed", "readable"]);
    });
}

#[test]
fn root_without_the_privilege_asks_as_the_owner() {
    in_private_shm(
        "sweep::root_without_the_privilege_asks_as_the_owner",
        "size=4m",
        || {
            if !is_root() {
                return;
            }
            make(&["a-free", "b-own", "used"]);
            for name in ["a-free", "used"] {
                chown(format!("/dev/shm/{name}"), Some(65534), Some(65534)).unwrap();
            }
            fs::set_permissions("/dev/shm/b-own", fs::Permissions::from_mode(0o600)).unwrap();
            let _used = open("used");
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--bounding-set", "-lease", "--inh-caps", "-lease"]);
            setpriv.arg(env!("CARGO_BIN_EXE_shmtool"));
            // In this order: after the owner's rights it has its own again.
            setpriv
                .args(["unlink", "-v", "--unused"])
                .stdin(Stdio::null());
            if setpriv.output().is_ok_and(|output| output.status.success()) {
                assert_eq!(there(), ["used"]);
            }
        },
    );
}

#[test]
fn what_is_modified_after_it_was_chosen_stays() {
    in_private_shm(
        "sweep::what_is_modified_after_it_was_chosen_stays",
        "size=4m",
        || {
            make(&["x"]);
            sleep(Duration::from_millis(1100));
            let inject = "inject=statx:delay_exit=1000000:when=1";
            let args = ["unlink", "-v", "--older-than", "1s"];
            let Some(mut strace) = strace(&["-e", inject], args) else {
                return;
            };
            let sweep = strace
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(500));
            run(&mut shmtool(["write-int", "-t", "u8", "x", "7"])).prints("");
            let ended = finish(sweep);
            assert_eq!(
                ended.stderr,
                "shmtool: removed 0 objects with 0B; left 1 changed meanwhile\n"
            );
            assert_eq!(there(), ["x"]);
        },
    );
}

#[test]
fn no_signal_comes_between_a_lease_and_its_end() {
    in_private_shm(
        "sweep::no_signal_comes_between_a_lease_and_its_end",
        "size=4m",
        || {
            make(&["x", "y"]);
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
            // What was begun is done, and nothing more.
            assert_eq!(there(), ["y"]);
        },
    );
}

#[test]
fn a_sweep_that_is_killed_is_finished_by_the_next() {
    in_private_shm(
        "sweep::a_sweep_that_is_killed_is_finished_by_the_next",
        "size=64m,nr_inodes=100k",
        || {
            for round in 0..20_u64 {
                let names: Vec<_> = (0..300).map(|i| format!("job-{i}")).collect();
                make(&names.iter().map(String::as_str).collect::<Vec<_>>());
                let kept = open("job-150");
                let mut sweep = shmtool(["unlink", "--unused"]).spawn().unwrap();
                sleep(Duration::from_micros(round * 400));
                kill(Pid::from_raw(sweep.id() as i32), Signal::SIGKILL).unwrap();
                sweep.wait().unwrap();
                for name in there() {
                    assert_eq!(
                        fs::read(format!("/dev/shm/{name}")).unwrap(),
                        name.as_bytes()
                    );
                }
                unlink(&["--unused"]).prints("");
                assert_eq!(there(), ["job-150"]);
                drop(kept);
            }
        },
    );
}

#[test]
fn nobody_who_works_meanwhile_notices_a_sweep() {
    in_private_shm(
        "sweep::nobody_who_works_meanwhile_notices_a_sweep",
        "size=64m",
        || {
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
                            // Mapped, it is there, and it opens.
                            let again = File::open(path).expect("an object in use is not swept");
                            drop((mapping, again));
                            // Used by nobody now, it may be gone.
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
        },
    );
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error() {
    in_private_shm(
        "sweep::a_result_that_cannot_be_printed_is_an_error",
        "size=4m",
        || {
            make(&["x"]);
            output_fails(&mut shmtool(["unlink", "-n", "--unused"]));
            assert_eq!(there(), ["x"]);
        },
    );
}

#[test]
fn nothing_goes_that_could_not_be_told() {
    in_private_shm(
        "sweep::nothing_goes_that_could_not_be_told",
        "size=4m",
        || {
            make(&["x"]);
            let mut sh = Command::new("sh");
            let script = "exec \"$0\" unlink -v --unused >&-";
            run(sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]))
                .fails(1)
                .says("standard output: Bad file descriptor");
            assert_eq!(there(), ["x"]);
            let full = File::options().write(true).open("/dev/full").unwrap();
            make(&["y"]);
            let mut verbose = shmtool(["unlink", "-v", "--unused"]);
            let child = verbose.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
            finish(child)
                .fails(1)
                .says("standard output: No space left on device");
            assert_eq!(there(), ["y"]);
        },
    );
}

#[test]
fn names_come_before_what_it_came_to() {
    in_private_shm(
        "sweep::names_come_before_what_it_came_to",
        "size=4m",
        || {
            make(&["x", "y"]);
            let mut sh = Command::new("sh");
            let script = "\"$0\" unlink -v --unused 2>&1";
            let swept = run(sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]));
            swept.prints("/x\n/y\nshmtool: removed 2 objects with 8KiB\n");
        },
    );
}

#[test]
fn on_another_file_system_the_kernel_s_answer_is_not_trusted() {
    // On overlayfs a mapping keeps the file below open, and a lease is granted all the same.
    in_private_shm(
        "sweep::on_another_file_system_the_kernel_s_answer_is_not_trusted",
        "size=4m",
        || {
            for directory in ["lower", "upper", "work"] {
                fs::create_dir(format!("/dev/shm/{directory}")).unwrap();
            }
            let mut mount = Command::new("mount");
            let directories =
                "lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper,workdir=/dev/shm/work";
            mount.args(["-t", "overlay", "-o", directories, "overlay", "/dev/shm"]);
            if !mount
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
            {
                return;
            }
            make(&["mapped"]);
            let _mapping = map(&open("mapped"), Access::Read);
            let swept = unlink(&["--unused"]);
            assert_eq!(
                swept.stderr,
                "shmtool: 1 object taken for used, because the kernel does not say: Operation not supported\n"
            );
            assert_eq!(there(), ["mapped"]);
        },
    );
}
