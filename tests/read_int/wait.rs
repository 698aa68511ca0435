//! `--until`: waiting.

use crate::common::*;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Long enough for a waiter to start and go to sleep. If it is not, a test passes all the same.
const A_WHILE: Duration = Duration::from_millis(150);

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A waiter that has gone to sleep.
fn waiter(condition: &str, name: &Name) -> Child {
    let mut waiter = spawn(shmtool(["read-int", "--until", condition]).arg(name));
    sleep(A_WHILE);
    assert!(waiter.try_wait().unwrap().is_none(), "it waits");
    waiter
}

fn write(name: &Name, value: &str) {
    run(shmtool(["write-int"]).arg(name).arg(value)).prints("");
}

/// Makes the object anew, without the binary under test.
fn make(name: &Name, value: i32) {
    let new = name.path().with_extension("new");
    fs::write(&new, value.to_ne_bytes()).unwrap();
    fs::rename(new, name.path()).unwrap();
}

#[test]
fn it_is_printed_when_the_condition_holds() {
    let name = Name::holding((-1_i32).to_ne_bytes());
    for (condition, value, not) in [
        ("3", "3", "2"),
        ("eq:4", "4", "3"),
        ("ne:4", "5", "4"),
        ("lt:-5", "-6", "-5"),
        ("le:-7", "-7", "-6"),
        ("gt:10", "11", "10"),
        ("ge:0x10", "17", "15"),
        ("-5", "-5", "5"),
        ("0xffffffff", "-1", "1"),
    ] {
        write(&name, not);
        let waiter = waiter(condition, &name);
        write(&name, value);
        finish(waiter).prints(format!("{value}\n"));
    }
}

#[test]
fn a_condition_that_holds_already_is_not_waited_for() {
    let name = Name::holding(7_i32.to_ne_bytes());
    run(shmtool(["read-int", "--until", "ge:7", "--timeout", "0", "-x"]).arg(&name))
        .prints("0x00000007\n");
    let name = Name::new();
    fs::File::create(name.path()).unwrap().set_len(4).unwrap();
    run(shmtool(["read-int", "--until=0", "--timeout=0"]).arg(&name)).prints("0\n");
}

#[test]
fn with_a_count_the_first_integer_is_waited_for() {
    let name = Name::holding([0; 12]);
    let waiter = spawn(shmtool(["read-int", "--until", "1", "--count", "all"]).arg(&name));
    sleep(A_WHILE);
    run(shmtool(["write-int", "--offset", "4"])
        .arg(&name)
        .args(["-2", "3"]))
    .prints("");
    write(&name, "1");
    finish(waiter).prints("1\n-2\n3\n");
}

#[test]
fn integers_of_every_type_are_waited_for() {
    for (int_type, value) in [
        ("i8", "-128"),
        ("u8", "255"),
        ("i16", "-32768"),
        ("u16", "65535"),
        ("i32", "-2147483648"),
        ("u32", "4294967295"),
        ("i64", "-9223372036854775808"),
        ("u64", "0x100000000"),
    ] {
        // In the last bytes of an object that ends within a word, if they are less than a word.
        let width = int_type[1..].parse::<usize>().unwrap() / 8;
        let name = Name::holding(vec![1; 4 + width.next_multiple_of(4).min(3 * width)]);
        let offset =
            (fs::metadata(name.path()).unwrap().len() as usize / width * width - width).to_string();
        let place = ["-t", int_type, "--offset", &offset];
        let waiter = spawn(
            shmtool(["read-int", "--hex", "--until", value])
                .args(place)
                .arg(&name),
        );
        sleep(Duration::from_millis(50));
        run(shmtool(["write-int"]).args(place).arg(&name).arg(value)).prints("");
        let hex = run(shmtool(["read-int", "-x"]).args(place).arg(&name)).stdout;
        finish(waiter).prints(hex);
    }
}

#[test]
fn a_store_of_a_program_that_wakes_nobody_is_seen() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut program = Peer::start(Command::new(c).arg("assign").arg(&name));
    for value in ["5", "-6"] {
        let waiter = waiter(value, &name);
        assert_eq!(program.ask(value), value);
        finish(waiter).prints(format!("{value}\n"));
    }
}

#[test]
fn an_object_that_does_not_exist_yet_is_waited_for() {
    let name = Name::new();
    let first = waiter("5", &name);
    write(&name, "4");
    sleep(A_WHILE);
    write(&name, "5");
    finish(first).prints("5\n");

    let Some(c) = c_program() else { return };
    fs::remove_file(name.path()).unwrap();
    let second = waiter("6", &name);
    run(Command::new(c).arg("write").arg(&name).arg("6")).prints("");
    finish(second).prints("6\n");
}

#[test]
fn an_object_that_is_still_too_small_is_waited_for() {
    let name = Name::holding("");
    let waiter = waiter("0", &name);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(3).unwrap();
    sleep(A_WHILE);
    file.set_len(4).unwrap();
    finish(waiter).prints("0\n");
}

#[test]
fn an_object_that_is_removed_and_made_anew_is_followed() {
    let name = Name::holding([0; 4]);
    // Whoever has the old one mapped may go on changing it.
    let old = fs::File::options().write(true).open(name.path()).unwrap();
    let by_removal = waiter("7", &name);
    fs::remove_file(name.path()).unwrap();
    sleep(A_WHILE);
    write(&name, "7");
    finish(by_removal).prints("7\n");
    old.write_all_at(&8_i32.to_ne_bytes(), 0).unwrap();
    let by_rename = waiter("9", &name);
    make(&name, 9);
    finish(by_rename).prints("9\n");
    let again_and_again = waiter("50", &name);
    for value in 10..=50 {
        make(&name, value);
    }
    finish(again_and_again).prints("50\n");
}

#[test]
fn an_object_that_is_truncated_and_grows_again_is_waited_for() {
    let name = Name::holding([1; 8192]);
    let waiter = spawn(shmtool(["read-int", "--until", "5", "--offset", "4096"]).arg(&name));
    sleep(A_WHILE);
    let file = fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(0).unwrap();
    sleep(A_WHILE);
    file.set_len(8192).unwrap();
    sleep(A_WHILE);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    run(shmtool(["write-int", "--offset", "4096"])
        .arg(&name)
        .arg("5"))
    .prints("");
    finish(waiter).prints("5\n");
}

#[test]
fn waiting_for_a_hole_takes_no_memory_and_needs_none() {
    in_private_shm("size=64k", || {
        let hole = fs::File::create("/dev/shm/hole").unwrap();
        hole.set_len(4096).unwrap();
        let mut waiter = spawn(&mut shmtool(["read-int", "--until", "1", "hole"]));
        sleep(A_WHILE);
        assert_eq!(hole.metadata().unwrap().blocks(), 0);
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        sleep(A_WHILE);
        assert!(waiter.try_wait().unwrap().is_none());
        fs::remove_file("/dev/shm/fill").unwrap();
        run(&mut shmtool(["write-int", "hole", "1"])).prints("");
        finish(waiter).prints("1\n");
    });
}

#[test]
fn a_page_that_is_reserved_is_waited_for() {
    let name = Name::new();
    run(shmtool(["create", "-s", "1M"]).arg(&name)).prints("");
    let blocks = fs::metadata(name.path()).unwrap().blocks();
    let waiter = waiter("gt:0", &name);
    assert_eq!(fs::metadata(name.path()).unwrap().blocks(), blocks);
    run(shmtool(["write-int", "--add"]).arg(&name).arg("3")).prints("3\n");
    finish(waiter).prints("3\n");
}

#[test]
fn when_the_time_is_up_it_is_told_what_was_seen_last() {
    let name = Name::new();
    let timed_out = |condition: &str, seen: &str| {
        for timeout in ["0", "0.05", "30ms"] {
            run(shmtool(["read-int", "--until", condition, "--timeout", timeout]).arg(&name))
                .fails(124)
                .says(format!("{name}: timed out waiting for {condition}: {seen}"));
        }
    };
    timed_out("ge:4", "no such object");
    fs::write(name.path(), "abc").unwrap();
    timed_out("0", "it has only 3 bytes");
    fs::write(name.path(), 3_i32.to_ne_bytes()).unwrap();
    timed_out("-4", "it holds 3");
    fs::File::create(name.path()).unwrap().set_len(4).unwrap();
    timed_out("gt:0x0", "it holds 0");
}

#[test]
fn what_is_removed_and_not_made_again_times_out() {
    let name = Name::holding([0; 4]);
    let waiter = spawn(shmtool(["read-int", "--until", "1", "--timeout", "400ms"]).arg(&name));
    sleep(A_WHILE);
    fs::remove_file(name.path()).unwrap();
    finish(waiter)
        .fails(124)
        .says(format!("{name}: timed out waiting for 1: no such object"));
}

#[test]
fn what_cannot_be_waited_for_is_told() {
    let name = Name::holding([0; 16]);
    let until = |args: &[&str]| run(shmtool(["read-int"]).args(args).arg(&name));
    until(&["--until", "5", "--offset", "2"])
        .fails(2)
        .says("--until needs an offset that is a multiple of 4 (the width of i32), not 2");
    until(&["--until", "200", "-t", "i8"])
        .fails(2)
        .says("200: out of the range of i8, which is -128 to 127");
    until(&["--until", "is:5"])
        .fails(2)
        .says("is:5: not a condition: the operator is one of eq, ne, lt, le, gt, ge");
    until(&["--timeout", "5"]).fails(2);
    for timeout in ["-1", "soon", "1h30"] {
        until(&["--until", "0", "--timeout", timeout]).fails(2).says(format!(
            "{timeout}: not a duration such as 250ms, 30s, 10m, 4h, 2d, 1h30m, or 0.5, which is seconds; or too long a one"
        ));
    }
    fs::remove_file(name.path()).unwrap();
    let waiter = waiter("1", &name);
    fs::create_dir(name.path()).unwrap();
    finish(waiter).fails(1).says(format!(
        "{name}: not a shared memory object but a directory"
    ));
}

#[test]
fn permission_to_read_is_enough_to_wait() {
    if !is_root() {
        return;
    }
    let name = Name::holding([0; 4]);
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let waiter = spawn(as_nobody(shmtool(["read-int", "--until", "1"]).arg(&name)));
    sleep(A_WHILE);
    write(&name, "1");
    finish(waiter).prints("1\n");
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o600)).unwrap();
    run(as_nobody(shmtool(["read-int", "--until", "1"]).arg(&name)))
        .fails(1)
        .says(format!(
            "{name}: permission denied\nhint: shmtool ls shows its owner and mode"
        ));
}

#[test]
fn nothing_is_changed_by_waiting() {
    let name = Name::holding([0; 4]);
    let look = || {
        let now = fs::metadata(name.path()).unwrap();
        (
            now.len(),
            now.blocks(),
            now.modified().unwrap(),
            now.ctime_nsec(),
        )
    };
    let before = look();
    let mut waiter = waiter("1", &name);
    assert_eq!(look(), before);
    waiter.kill().unwrap();
    waiter.wait().unwrap();
}

#[test]
fn what_the_kernel_refuses_is_done_without() {
    for refused in [
        "inotify_init1:error=EMFILE",
        "inotify_add_watch:error=ENOSPC",
        "futex:error=EFAULT",
    ] {
        let name = Name::new();
        let inject = format!("inject={refused}");
        let Some(mut read) = strace(&["-e", &inject], ["read-int", "--until", "2"]) else {
            return;
        };
        let waiter = spawn(read.arg(&name));
        sleep(A_WHILE);
        write(&name, "1");
        sleep(A_WHILE);
        write(&name, "2");
        finish(waiter).prints("2\n");
    }
}

#[test]
fn a_waiter_that_is_stopped_and_continued_goes_on_waiting() {
    let name = Name::holding([0; 4]);
    let waiter = waiter("1", &name);
    let pid = Pid::from_raw(waiter.id() as i32);
    for _ in 0..3 {
        kill(pid, Signal::SIGSTOP).unwrap();
        sleep(Duration::from_millis(30));
        kill(pid, Signal::SIGCONT).unwrap();
        sleep(Duration::from_millis(30));
    }
    write(&name, "1");
    finish(waiter).prints("1\n");
}

/// The processor time that the waiters of `body` use, in milliseconds.
fn processor_time(body: impl FnOnce()) -> i64 {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        (usage.user_time() + usage.system_time()).num_milliseconds()
    };
    let before = used();
    body();
    used() - before
}

#[test]
fn waiting_uses_hardly_any_processor_time() {
    in_private_shm("size=1m", || {
        fs::write("/dev/shm/busy", [0; 8]).unwrap();
        let timed_out = |args: &[&str]| {
            let mut read = shmtool(["read-int", "--timeout", "1s", "--until", "-1"]);
            run(read.args(args)).fails(124);
        };
        // A processor that spins for a second uses 1,000.
        let idle = processor_time(|| timed_out(&["busy"]));
        let missing = processor_time(|| timed_out(&["missing"]));
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
            let hammered = processor_time(|| timed_out(&["busy"]));
            let neighbour = processor_time(|| timed_out(&["-t", "i8", "--offset", "3", "busy"]));
            let missing = processor_time(|| timed_out(&["missing"]));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(
                hammered < 150 && neighbour < 150 && missing < 150,
                "{hammered} {neighbour} {missing}"
            );
        });
    });
}

#[test]
fn what_was_waited_for_is_printed_though_it_has_changed_since() {
    let name = Name::holding(1_i32.to_ne_bytes());
    // The first look for a hole belongs to the wait, the second to the printing.
    let inject = "inject=lseek:delay_enter=1000000:when=2";
    let Some(mut read) = strace(&["-e", inject], ["read-int", "--until", "1"]) else {
        return;
    };
    let waiter = spawn(read.arg(&name));
    sleep(Duration::from_millis(500));
    write(&name, "2");
    finish(waiter).prints("1\n");
}
