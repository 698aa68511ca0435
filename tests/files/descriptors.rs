//! Inherited descriptors, and descriptors of other processes.

use crate::common::*;
use crate::*;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;

/// A memfd of 8192 bytes without any memory.
fn memfd() -> File {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create(c"test", flags).unwrap());
    file.set_len(8192).unwrap();
    file
}

/// Lets a command inherit a file as this descriptor.
fn inherit<'a>(command: &'a mut Command, file: &File, number: RawFd) -> &'a mut Command {
    let fd = file.as_raw_fd();
    // SAFETY: between fork and exec the closure makes only system calls.
    unsafe {
        command.pre_exec(move || {
            nix::errno::Errno::result(nix::libc::dup2(fd, number))?;
            Ok(())
        })
    }
}

/// Runs a verb on a descriptor that is this file.
fn on_descriptor(verb: &str, file: &File, args: &[&str]) -> Ended {
    let mut command = on_file(verb, "/dev/fd/50");
    run(inherit(command.args(args), file, 50))
}

/// Runs a script in which `$0` is shmtool and `$1` a file.
fn script(script: &str, file: &Path) -> Ended {
    let mut sh = Command::new("sh");
    let shmtool = env!("CARGO_BIN_EXE_shmtool");
    run(sh.args(["-c", script, shmtool]).arg(file))
}

#[test]
fn every_path_of_a_descriptor_means_the_inherited_one() {
    let file = file_with([0; 8]);
    for path in ["/dev/fd/3", "/proc/self/fd/3", "/proc/thread-self/fd/3"] {
        let write = format!(r#""$0" write-int --file {path} --add 1 3<>"$1" >/dev/null"#);
        script(&write, file.path()).prints("");
    }
    let read = r#""$0" read-int --file /dev/stdin 0<>"$1""#;
    script(read, file.path()).prints("3\n");
    script(r#""$0" read-int --file /dev/fd/9 9<"$1""#, file.path()).prints("3\n");
}

#[test]
fn a_memfd_is_changed_through_an_inherited_descriptor() {
    let file = memfd();
    on_descriptor("write-int", &file, &["--offset", "4096", "5"]).prints("");
    on_descriptor(
        "write-int",
        &file,
        &["--offset", "4096", "--if", "5", "--add", "1"],
    )
    .prints("6\n");
    on_descriptor("read-int", &file, &["--offset", "4096"]).prints("6\n");
    assert_eq!(file.metadata().unwrap().blocks(), 8, "one page");
}

#[test]
fn a_memfd_is_reached_through_the_process_that_has_it() {
    // A number that no other test uses after the memfd is closed.
    let file = memfd();
    let duplicate = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(700)).unwrap();
    drop(file);
    // SAFETY: the descriptor is new, and nobody else has it.
    let file = unsafe { File::from_raw_fd(duplicate) };
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let waiter = spawn_waiter(on_file("read-int", &path).args(["--until", "7"]));
    write_int(&path, &["7"]).prints("");
    finish(waiter).prints("7\n");
    let waiter = spawn_waiter(on_file("write-int", &path).args(["--if", "8", "--wait", "9"]));
    on_descriptor("write-int", &file, &["8"]).prints("");
    finish(waiter).prints("");
    on_descriptor("read-int", &file, &[]).prints("9\n");
    let timed_out = "timed out waiting for 1: no such file";
    let mut read = on_file("read-int", &path);
    let waiter = spawn_waiter(read.args(["--until", "1", "--timeout", "0.5"]));
    drop(file);
    finish(waiter)
        .fails(124)
        .says(format!("{path}: {timed_out}"));
    fails_with(read_int(&path, &[]), &path, "No such file or directory");
}

#[test]
fn a_memfd_is_waited_for_through_an_inherited_descriptor() {
    let file = memfd();
    let mut read = on_file("read-int", "/dev/fd/50");
    let reader = spawn(inherit(read.args(["--until", "2"]), &file, 50));
    let mut write = on_file("write-int", "/dev/fd/50");
    let args = ["--if", "1", "--wait", "--add", "1"];
    let changer = spawn_waiter(inherit(write.args(args), &file, 50));
    assert_eq!(
        file.metadata().unwrap().blocks(),
        0,
        "nobody allocates memory"
    );
    on_descriptor("write-int", &file, &["1"]).prints("");
    finish(changer).prints("2\n");
    finish(reader).prints("2\n");
}

#[test]
fn reading_moves_no_offset_and_allocates_nothing() {
    let mut file = memfd();
    file.seek(SeekFrom::Start(7)).unwrap();
    for args in [
        &[][..],
        &["--count", "all"],
        &["--until", "0"],
        &["--offset", "3", "--count", "2"],
        &["--follow", "--count", "1"],
    ] {
        assert!(on_descriptor("read-int", &file, args).status.success());
    }
    on_descriptor("write-int", &file, &["--if", "1", "2"]).fails(5);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    on_descriptor("write-int", &file, &["--offset", "4096", "2"]).prints("");
    assert_eq!(file.stream_position().unwrap(), 7);
}

#[test]
fn a_memfd_of_root_is_used_after_a_change_of_the_user() {
    if !is_root() {
        return;
    }
    let mut file = memfd();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    file.seek(SeekFrom::Start(7)).unwrap();
    let on_memfd = |file: &File, verb, args: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        setpriv.args([env!("CARGO_BIN_EXE_shmtool"), verb, "--file", "/dev/fd/50"]);
        run(inherit(setpriv.args(args), file, 50))
    };
    on_memfd(&file, "read-int", &["--until", "0"]).prints("0\n");
    on_memfd(&file, "write-int", &["--if", "1", "2"]).fails(5);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    on_memfd(&file, "write-int", &["4"]).prints("");
    on_memfd(&file, "write-int", &["--if", "4", "--wait", "--add", "1"]).prints("5\n");
    on_memfd(&file, "read-int", &[]).prints("5\n");
    assert_eq!(file.stream_position().unwrap(), 7);
    // By its path it cannot be opened.
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let ended = run(as_nobody(&mut on_file("read-int", &path)));
    fails_with(ended, &path, "permission denied");
}

#[test]
fn a_descriptor_without_the_right_access_is_opened_again() {
    let file = file_with([0; 8]);
    let read_only = File::open(&file).unwrap();
    on_descriptor("write-int", &read_only, &["--add", "1"]).prints("1\n");
    let write_only = OpenOptions::new().write(true).open(&file).unwrap();
    on_descriptor("read-int", &write_only, &[]).prints("1\n");
    on_descriptor("write-int", &write_only, &["--add", "1"]).prints("2\n");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_PATH.bits());
    let reference = options.open(&file).unwrap();
    on_descriptor("read-int", &reference, &[]).prints("2\n");
    on_descriptor("write-int", &reference, &["--add", "1"]).prints("3\n");
    // The name does not matter.
    fs::remove_file(&file).unwrap();
    on_descriptor("write-int", &read_only, &["--add", "1"]).prints("4\n");
    on_descriptor("read-int", &reference, &["--until", "4"]).prints("4\n");
}

#[test]
fn a_descriptor_without_the_right_access_is_explained_if_it_cannot_be_opened_again() {
    if !is_root() {
        return;
    }
    let file = memfd();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let read_only = File::open(&path).unwrap();
    let write_only = OpenOptions::new().write(true).open(&path).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_PATH.bits());
    let reference = options.open(&path).unwrap();
    for (file, mode, verb) in [
        (&read_only, "read-only", "write-int"),
        (&write_only, "write-only", "read-int"),
        (&write_only, "write-only", "write-int"),
        (
            &reference,
            "only a reference to the file (O_PATH)",
            "read-int",
        ),
        (
            &reference,
            "only a reference to the file (O_PATH)",
            "write-int",
        ),
    ] {
        let mut command = on_file(verb, "/dev/fd/50");
        if verb == "write-int" {
            command.arg("1");
        }
        let ended = run(inherit(as_nobody(&mut command), file, 50));
        let problem = format!(
            "the descriptor is {mode}, and the file cannot be opened again: Permission denied\n\
             hint: in a shell, 3<>FILE opens descriptor 3 for reading and writing"
        );
        fails_with(ended, "/dev/fd/50", &problem);
    }
    let mut read = on_file("read-int", "/dev/fd/50");
    run(inherit(as_nobody(&mut read), &read_only, 50)).prints("0\n");
}

#[test]
fn a_closed_descriptor_is_an_error_and_never_one_of_our_own() {
    let file = file_with([0; 8]);
    let problem = "there is no such descriptor: it was not open when shmtool started";
    for (redirection, paths) in [
        ("<&-", &["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"][..]),
        (">&-", &["/dev/stdout"]),
        (
            "3>&-",
            &[
                "/dev/fd/3",
                "/proc/self/fd/3",
                "/dev//fd/./3",
                "/proc/thread-self/fd/3",
            ],
        ),
        ("4>&- 5>&- 6>&-", &["/dev/fd/4", "/dev/fd/5", "/dev/fd/6"]),
        ("", &["/dev/fd/1000", "/dev/fd/99999999999999999999"]),
    ] {
        for path in paths {
            for verb in ["read-int", "write-int"] {
                let value = if verb == "write-int" { "1" } else { "" };
                let text = format!(r#"exec "$0" {verb} --file {path} {value} {redirection}"#);
                fails_with(script(&text, file.path()), path, problem);
            }
        }
    }
}

#[test]
fn a_descriptor_that_appends_changes_the_file_in_place() {
    let file = file_with([0; 8]);
    script(r#""$0" write-int --file /dev/fd/3 5 3>>"$1""#, file.path()).prints("");
    assert_eq!(fs::read(&file).unwrap().len(), 8);
    assert_eq!(int_on_disk(&file, 0), 5);
}

#[test]
fn a_sealed_memfd_is_read_but_not_changed() {
    for (seal, name) in [
        (SealFlag::F_SEAL_WRITE, "F_SEAL_WRITE"),
        (SealFlag::F_SEAL_FUTURE_WRITE, "F_SEAL_FUTURE_WRITE"),
    ] {
        let file = memfd();
        on_descriptor("write-int", &file, &["4"]).prints("");
        fcntl(&file, FcntlArg::F_ADD_SEALS(seal)).unwrap();
        for args in [&["5"][..], &["--add", "1"], &["--if", "4", "--wait", "5"]] {
            let ended = on_descriptor("write-int", &file, args);
            fails_mentioning(
                &ended,
                1,
                &["/dev/fd/50: it is sealed against writing", name],
            );
        }
        on_descriptor("read-int", &file, &[]).prints("4\n");
        on_descriptor("read-int", &file, &["--until", "4"]).prints("4\n");
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        read_int(&path, &[]).prints("4\n");
        let refused = write_int(&path, &["5"]);
        fails_mentioning(&refused, 1, &["it is sealed against writing", name]);
    }
    // Other seals do not matter.
    let file = memfd();
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    on_descriptor("write-int", &file, &["5"]).prints("");
}

#[test]
fn a_memfd_is_truncated_and_grows_again_while_it_is_waited_for() {
    let file = memfd();
    let mut read = on_file("read-int", "/dev/fd/50");
    let reader = spawn(inherit(
        read.args(["--until", "2", "--offset", "4096"]),
        &file,
        50,
    ));
    let mut write = on_file("write-int", "/dev/fd/50");
    let args = ["--if", "1", "--wait", "--add", "1", "--offset", "4096"];
    let changer = spawn_waiter(inherit(write.args(args), &file, 50));
    file.set_len(0).unwrap();
    sleep(TIME_TO_FALL_ASLEEP);
    file.set_len(8192).unwrap();
    on_descriptor("write-int", &file, &["--offset", "4096", "1"]).prints("");
    finish(changer).prints("2\n");
    finish(reader).prints("2\n");
}
