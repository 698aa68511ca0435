//! `--from` a descriptor that the caller has open, or not.

use crate::common::*;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

const NOT_OPEN: &str = "there is no such descriptor: it was not open when shmtool started";

/// Returns a command that runs without the descriptors 0 and 3 to 9.
fn without_descriptors(mut command: Command) -> Command {
    // SAFETY: between fork and exec the closure makes only system calls.
    unsafe {
        command.pre_exec(|| {
            for fd in [0, 3, 4, 5, 6, 7, 8, 9] {
                nix::libc::fcntl(fd, nix::libc::F_SETFD, nix::libc::FD_CLOEXEC);
            }
            Ok(())
        })
    };
    command
}

#[test]
fn a_descriptor_that_the_caller_does_not_have_is_an_error() {
    let name = Name::holding("precious");
    let new = Name::new();
    let numbers = [0, 3, 4, 5, 6, 7].map(|number| format!("/dev/fd/{number}"));
    let others = ["/dev/stdin", "/proc/self/fd/3", "/proc/thread-self/fd/4"];
    for from in numbers.iter().map(String::as_str).chain(others) {
        let create = |args: &[&str], status| {
            let create = shmtool(["create", "--from", from].iter().chain(args));
            run(&mut without_descriptors(create))
                .fails(status)
                .says(format!("{from}: {NOT_OPEN}"));
        };
        let (name, new) = (&name.to_string()[..], &new.to_string()[..]);
        for args in [
            &["--replace", name][..],
            &["--overwrite", name],
            &["--overwrite", new],
            &[new],
        ] {
            create(args, 1);
            create(&[args, &["--", "echo", "run"]].concat(), 125);
        }
        create(&["--anonymous", "a", "--", "echo", "run"], 125);
    }
    assert_eq!(fs::read(name.path()).unwrap(), b"precious");
    assert!(!new.path().exists());
}

#[test]
fn a_descriptor_that_the_caller_does_not_have_is_an_error_for_a_container_too() {
    if !is_root() {
        return skipped("not root");
    }
    let container = Container::start("echo precious > /dev/shm/x");
    let target = container.target();
    for number in 3..10 {
        let from = format!("/dev/fd/{number}");
        for command in [&[][..], &["--", "echo", "run"]] {
            let create = [
                "create",
                "--overwrite",
                "--from",
                &from,
                "--target",
                &target,
                "x",
            ];
            let mut create = without_descriptors(shmtool(create.iter().chain(command)));
            let status = if command.is_empty() { 1 } else { 125 };
            run(&mut create)
                .fails(status)
                .says(format!("{from}: {NOT_OPEN}"));
        }
    }
    assert_eq!(fs::read(container.path("x")).unwrap(), b"precious\n");
}

#[test]
fn a_descriptor_that_the_caller_has_is_read_from_its_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "text").unwrap();
    for option in ["--overwrite", "--replace"] {
        let (old, new) = (Name::holding("old, and longer"), Name::new());
        let mut sh = Command::new("sh");
        let script =
            "exec 3< \"$1\"; read line <&3; shift; exec \"$0\" create \"$@\" --from /dev/fd/3";
        sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
        run(sh.arg(file.path()).arg(option).args([&old, &new])).prints("");
        assert!(fs::read(old.path()).unwrap().starts_with(b"text"));
        assert_eq!(fs::read(new.path()).unwrap(), b"text");
    }
}
