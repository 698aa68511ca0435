//! Waiting for integers in files: who is noticed, and what happens to files that vanish, shrink or are replaced.

use crate::common::*;
use crate::*;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ChildStdout;
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

/// A file with this `i32` in a directory of its own, so that no other test wakes the waiters.
fn file_in_directory(value: i32) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("file");
    fs::write(&path, value.to_ne_bytes()).unwrap();
    (directory, path)
}

fn set_length(path: &Path, length: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Runs a test for several cases at the same time, because it mostly sleeps.
fn for_each_at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

/// Follows an integer. The process is killed when this is dropped.
struct Follower(Child, BufReader<ChildStdout>);

impl Follower {
    fn start(path: &Path, args: &[&str]) -> Follower {
        let mut child = spawn(on_file("read-int", path).args(args).arg("--follow"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Follower(child, stdout)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_store_in_python_ends_waiting_and_is_followed() {
    let file = file_with([0; 8192]);
    let path = file.path().to_str().unwrap();
    let Some(mut python) = python(PYTHON_MMAP, &[path]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    let location = ["--offset", "4096"];
    let mut follower = Follower::start(file.path(), &location);
    assert_eq!(follower.line(), "0");
    let mut read = on_file("read-int", path);
    let reader = spawn_waiter(read.args(location).args(["--until", "ge:2"]));
    let mut write = on_file("write-int", path);
    let changer = spawn_waiter(
        write
            .args(location)
            .args(["--if", "3", "--wait", "--add", "1"]),
    );
    for value in ["1", "2"] {
        python.ask(&format!("4096 {value}"));
        assert_eq!(follower.line(), value);
    }
    finish(reader).prints("2\n");
    python.ask("4096 3");
    finish(changer).prints("4\n");
    assert_eq!(python.ask("4096"), "4");
    // If it is fast enough, it also prints the 3.
    let last = follower.line();
    assert!(last == "4" || follower.line() == "4", "{last}");
}

#[test]
fn a_store_in_c_ends_waiting_and_is_followed() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let mut program = Peer::start(Command::new(c).arg("assign").arg(&name));
    let mut follower = Follower::start(&name.path(), &["--hex"]);
    assert_eq!(follower.line(), "0x00000000");
    let reader = spawn_waiter(on_file("read-int", name.path()).args(["--until", "lt:0"]));
    program.ask("5");
    assert_eq!(follower.line(), "0x00000005");
    program.ask("-6");
    finish(reader).prints("-6\n");
    assert_eq!(follower.line(), "0xfffffffa");
}

#[test]
fn a_write_of_another_program_is_noticed() {
    let (_directory, path) = file_in_directory(0);
    let reader = spawn_waiter(on_file("read-int", &path).args(["--until", "16843009"]));
    let script = r#"printf '\001\001\001\001' | dd of="$1" conv=notrunc status=none"#;
    run(Command::new("sh").args(["-c", script, "sh"]).arg(&path)).prints("");
    finish(reader).prints("16843009\n");
}

#[test]
fn objects_and_files_are_the_same_memory_to_waiters() {
    let name = Name::holding([0; 4]);
    let of_file = spawn_waiter(on_file("read-int", name.path()).args(["--until", "1"]));
    let of_object = spawn_waiter(shmtool(["read-int", "--until", "2"]).arg(&name));
    run(shmtool(["write-int"]).arg(&name).arg("1")).prints("");
    finish(of_file).prints("1\n");
    write_int(name.path(), &["2"]).prints("");
    finish(of_object).prints("2\n");
}

#[test]
fn a_timeout_says_what_was_seen_last() {
    let (_directory, path) = file_in_directory(3);
    for timeout in ["0", "50ms"] {
        let ended = read_int(&path, &["--until", "ge:4", "--timeout", timeout]);
        let problem = "timed out waiting for ge:4: the value is 3";
        let message = format!("{}: {problem}", path.display());
        ended.fails(124).says(&message);
        let ended = write_int(
            &path,
            &["--if", "ge:4", "--wait", "--timeout", timeout, "1"],
        );
        ended.fails(124).says(&message);
    }
    let ended = read_int(&path, &["--follow", "--timeout", "50ms"]);
    let printed = (ended.status.code(), &ended.stdout[..], &ended.stderr[..]);
    assert_eq!(printed, (Some(124), &b"3\n"[..], ""));
}

/// What can happen to a file that is waited for. Each is undone by making the file anew.
const LOSSES: [fn(&Path); 4] = [
    |path| fs::remove_file(path).unwrap(),
    |path| set_length(path, 0),
    |path| set_length(path, 3),
    |path| fs::rename(path, path.with_extension("old")).unwrap(),
];

#[test]
fn a_file_that_vanishes_or_shrinks_later_is_waited_for() {
    for_each_at_once(LOSSES, |lose| {
        let (_directory, path) = file_in_directory(0);
        let mut follower = Follower::start(&path, &[]);
        assert_eq!(follower.line(), "0");
        let reader = spawn(on_file("read-int", &path).args(["--until", "7"]));
        let mut write = on_file("write-int", &path);
        let changer = spawn_waiter(write.args(["--if", "7", "--wait", "--add", "1"]));
        lose(&path);
        sleep(TIME_TO_FALL_ASLEEP);
        // A file of the right size, but with a value that nobody waits for.
        fs::write(&path, 6_i32.to_ne_bytes()).unwrap();
        assert_eq!(follower.line(), "6");
        lose(&path);
        fs::write(&path, 7_i32.to_ne_bytes()).unwrap();
        // The reader may see the sum of the changer instead, and then waits again.
        finish(changer).prints("8\n");
        fs::write(&path, 7_i32.to_ne_bytes()).unwrap();
        finish(reader).prints("7\n");
        assert_eq!(fs::metadata(&path).unwrap().len(), 4);
    });
}

#[test]
fn a_timeout_says_that_the_file_vanished_or_shrank() {
    let seen = [
        "no such file",
        "the file has only 0 bytes",
        "the file has only 3 bytes",
    ];
    for_each_at_once(LOSSES.into_iter().zip(seen), |(lose, seen)| {
        let (_directory, path) = file_in_directory(0);
        let timeout = ["--timeout", "0.8"];
        let mut read = on_file("read-int", &path);
        let reader = spawn(read.args(["--until", "1"]).args(timeout));
        let mut write = on_file("write-int", &path);
        let changer = spawn_waiter(write.args(["--if", "1", "--wait", "2"]).args(timeout));
        lose(&path);
        let message = format!("{}: timed out waiting for 1: {seen}", path.display());
        finish(reader).fails(124).says(&message);
        finish(changer).fails(124).says(&message);
    });
}

#[test]
fn a_file_that_vanishes_is_waited_for_though_an_object_has_its_name() {
    // The file is found in the current directory. Its name is also that of an object, so that a hint would be possible.
    let directory = TempDir::new().unwrap();
    let name = Name::holding([0; 4]);
    let relative = &name.to_string()[1..];
    let path = directory.path().join(relative);
    fs::write(&path, [0; 4]).unwrap();
    let mut read = on_file("read-int", relative);
    let reader = spawn(read.args(["--until", "1"]).current_dir(&directory));
    let mut write = on_file("write-int", relative);
    write
        .args(["--if", "1", "--wait", "2"])
        .current_dir(&directory);
    let changer = spawn_waiter(&mut write);
    fs::remove_file(&path).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    fs::write(directory.path().join("new"), 1_i32.to_ne_bytes()).unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    finish(changer).prints("");
    fs::write(&path, 1_i32.to_ne_bytes()).unwrap();
    finish(reader).prints("1\n");
}

#[test]
fn a_file_that_is_replaced_is_followed() {
    let (directory, path) = file_in_directory(0);
    let reader = spawn_waiter(on_file("read-int", &path).args(["--until", "9"]));
    let new = directory.path().join("new");
    fs::write(&new, 9_i32.to_ne_bytes()).unwrap();
    fs::rename(&new, &path).unwrap();
    finish(reader).prints("9\n");
}

#[test]
fn a_file_that_becomes_a_directory_is_an_error() {
    let (_directory, path) = file_in_directory(0);
    let reader = spawn_waiter(on_file("read-int", &path).args(["--until", "9"]));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let problem = "it is a directory; only regular files and devices contain integers";
    fails_with(finish(reader), &path, problem);
}

/// Starts a verb that waits for a file, with a delay of a second where it prepares its store. Truncates the file during
/// the delay.
fn truncated_before_the_store(name: &Name, size: u64, args: &[&str]) -> Option<Child> {
    let inject = ["-e", "inject=madvise:delay_enter=1000000:when=1"];
    let mut write = strace(&inject, ["write-int", "--offset", "4100", "--file"])?;
    let child = spawn(write.arg(name.path()).args(args));
    truncate_when_open(&child, name, size);
    Some(child)
}

#[test]
fn a_store_into_a_file_that_is_truncated_meanwhile_is_an_error() {
    // Within the last page the store succeeds, and the kernel drops it. Beyond, it is a bus error.
    let cases = [(4097, &["1"][..]), (0, &["1"]), (4097, &["--add", "1"])];
    for_each_at_once(cases, |(size, args)| {
        let name = Name::holding([0; 8192]);
        let Some(child) = truncated_before_the_store(&name, size, args) else {
            return;
        };
        let ended = finish(child);
        fails_with(ended, name.path(), "another process truncated it");
        assert_eq!(fs::read(name.path()).unwrap(), vec![0; size as usize]);
    });
}

#[test]
fn a_change_that_waits_goes_on_waiting_when_the_file_is_truncated_meanwhile() {
    for_each_at_once([4097, 0], |size| {
        let name = Name::holding([0; 8192]);
        let args = ["--if", "0", "--wait", "--add", "1"];
        let Some(mut child) = truncated_before_the_store(&name, size, &args) else {
            return;
        };
        sleep(Duration::from_millis(1000));
        assert!(child.try_wait().unwrap().is_none(), "{:?}", finish(child));
        // tmpfs may show what was stored beyond the end of the file when the file grows. So write it anew.
        fs::write(name.path(), [0; 8192]).unwrap();
        finish(child).prints("1\n");
        assert_eq!(int_on_disk(name.path(), 4100), 1);
    });
}

#[test]
fn a_plain_store_is_repeated_if_the_file_was_replaced_meanwhile() {
    let name = Name::holding([0; 8192]);
    let old = fs::File::open(name.path()).unwrap();
    let inject = ["-e", "inject=madvise:delay_enter=1000000:when=1"];
    let Some(mut write) = strace(&inject, ["write-int", "--file"]) else {
        return;
    };
    let child = spawn(write.arg(name.path()).args(["--add", "1"]));
    sleep(Duration::from_millis(500));
    let new = name.path().with_extension("new");
    fs::write(&new, 10_i32.to_ne_bytes()).unwrap();
    fs::rename(&new, name.path()).unwrap();
    finish(child).prints("11\n");
    assert_eq!(int_on_disk(name.path(), 0), 11);
    let mut bytes = [0; 4];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(
        i32::from_ne_bytes(bytes),
        1,
        "the old file was changed first"
    );
}

#[test]
fn followed_values_differ_from_line_to_line_and_the_last_one_is_soon_there() {
    let (_directory, path) = file_in_directory(0);
    let mut follower = Follower::start(&path, &[]);
    let mut lines = vec![follower.line()];
    let script = r#"
for i in $(seq 60); do "$0" write-int --file "$1" $((i / 2)) || exit; done
"$0" write-int --file "$1" 1000"#;
    let mut writer = Command::new("sh");
    writer.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    run(writer.arg(&path)).prints("");
    let stored = Instant::now();
    while lines.last().unwrap() != "1000" {
        lines.push(follower.line());
    }
    // The promise is 50 ms on a machine that is not overloaded.
    assert!(stored.elapsed() < Duration::from_secs(1));
    let values: Vec<i32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert!(values.is_sorted_by(|one, next| one < next), "{values:?}");
}

#[test]
fn waiting_for_a_file_takes_little_processor_time() {
    let (_directory, path) = file_in_directory(0);
    let mut descriptor = on_file("read-int", "/dev/stdin");
    descriptor.stdin(fs::File::open(&path).unwrap());
    let waiters = [
        spawn(on_file("read-int", &path).args(["--until", "1"])),
        spawn(on_file("write-int", &path).args(["--if", "1", "--wait", "1"])),
        spawn(descriptor.args(["--until", "1"])),
    ];
    sleep(TIME_TO_FALL_ASLEEP);
    let usage = || waiters.each_ref().map(|waiter| processor_time(waiter.id()));
    let (start, before) = (Instant::now(), usage());
    sleep(Duration::from_secs(1));
    let (elapsed, after) = (start.elapsed(), usage());
    for (before, after) in before.into_iter().zip(after) {
        let used = after - before;
        assert!(used < elapsed / 100, "{used:?} in {elapsed:?}");
    }
    write_int(&path, &["1"]).prints("");
    for waiter in waiters {
        assert!(finish(waiter).status.success());
    }
}

/// The time that a process has spent on a processor.
fn processor_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
