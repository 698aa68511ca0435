//! Objects that already exist: `--exist-ok`, `--resize` and `--replace`.

use crate::common::*;
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

fn create(args: &[&str], name: &Name) -> Ended {
    run(shmtool(["create"]).args(args).arg(name))
}

#[test]
fn exist_ok_leaves_an_existing_object_unchanged() {
    let name = Name::holding("12345678");
    let before = fs::metadata(name.path()).unwrap();
    for args in [
        &["--exist-ok"][..],
        &["--exist-ok", "-s", "8", "-m", "644"],
        &["--exist-ok", "-s", "3"],
        &["--exist-ok", "--from", "/etc/passwd"],
    ] {
        create(args, &name).prints("");
    }
    let after = fs::metadata(name.path()).unwrap();
    assert_eq!(
        (before.ino(), before.mode(), before.mtime_nsec()),
        (after.ino(), after.mode(), after.mtime_nsec())
    );
    create(&["--exist-ok", "-s", "9"], &name)
        .fails(1)
        .says(format!(
            "{name}: exists and has 8B, less than 9B\nhint: --resize makes it larger"
        ));
    let missing = Name::new();
    create(&["--exist-ok", "-s", "9"], &missing).prints("");
    assert_eq!(fs::read(missing.path()).unwrap(), [0; 9]);
}

#[test]
fn racing_creators_that_accept_an_existing_object_all_succeed() {
    for option in ["--exist-ok", "--resize", "--replace"] {
        for _ in 0..10 {
            let name = Name::new();
            let creators: Vec<_> = (0..6)
                .map(|_| {
                    let mut create = shmtool(["create", option, "-s", "8K"]);
                    create
                        .arg(&name)
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .unwrap()
                })
                .collect();
            for creator in creators {
                finish(creator).prints("");
            }
            assert_eq!(fs::metadata(name.path()).unwrap().len(), 8192);
        }
    }
}

#[test]
fn resize_changes_the_size_and_keeps_the_contents() {
    let name = Name::holding("12345678");
    let inode = fs::metadata(name.path()).unwrap().ino();
    create(&["--resize", "-s", "1M"], &name).prints("");
    let grown = fs::metadata(name.path()).unwrap();
    assert_eq!(
        (grown.ino(), grown.len(), grown.blocks() * 512),
        (inode, 1 << 20, 1 << 20)
    );
    assert_eq!(fs::read(name.path()).unwrap()[..10], *b"12345678\0\0");
    create(&["--resize", "--sparse", "-s", "2M"], &name).prints("");
    assert_eq!(fs::metadata(name.path()).unwrap().blocks() * 512, 1 << 20);
    create(&["--resize", "-s", "4"], &name).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), b"1234");
    create(&["--resize", "-s", "4"], &name).prints("");
    let missing = Name::new();
    create(&["--resize", "-s", "9"], &missing).prints("");
    assert_eq!(fs::read(missing.path()).unwrap(), [0; 9]);
    create(&["--resize"], &missing).fails(2);
}

#[test]
fn an_object_in_use_is_not_shrunk() {
    let name = Name::holding([7; 8192]);
    let user = File::open(name.path()).unwrap();
    create(&["--resize", "-s", "4096"], &name)
        .fails(1)
        .says(format!(
            "{name}: not resized: it is in use, and shrinking it could crash programs that map it"
        ));
    assert_eq!(fs::read(name.path()).unwrap(), [7; 8192]);
    // Growing the object is safe.
    create(&["--resize", "-s", "8193"], &name).prints("");
    drop(user);
    create(&["--resize", "-s", "4096"], &name).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), [7; 4096]);
}

#[test]
fn replace_gives_the_name_to_a_new_object_and_users_keep_the_old_one() {
    let name = Name::holding("old");
    let old = File::open(name.path()).unwrap();
    create(&["--replace", "-s", "5", "-m", "640"], &name).prints("");
    let new = fs::metadata(name.path()).unwrap();
    assert_eq!((new.len(), new.mode() & 0o777), (5, 0o640));
    let mut bytes = [0; 3];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old");
    let missing = Name::new();
    create(&["--replace", "-s", "5"], &missing).prints("");
    assert_eq!(fs::read(missing.path()).unwrap(), [0; 5]);
}

#[test]
fn only_one_of_the_options_is_allowed() {
    let name = Name::new();
    for (a, b) in [
        ("--exist-ok", "--resize"),
        ("--resize", "--replace"),
        ("--replace", "--exist-ok"),
    ] {
        create(&[a, b, "-s", "1"], &name).fails(2);
    }
    assert!(!name.path().exists());
}

#[test]
fn a_directory_is_not_replaced() {
    let name = Name::new();
    fs::create_dir(name.path()).unwrap();
    for option in ["--exist-ok", "--resize", "--replace"] {
        create(&[option, "-s", "1"], &name).fails(1).says(format!(
            "{name}: not a shared memory object: it is a directory"
        ));
    }
}

#[test]
fn an_object_of_another_user_is_neither_replaced_nor_resized() {
    if !is_root() {
        return;
    }
    let name = Name::holding("12");
    for (option, message) in [
        (
            "--replace",
            "only its owner and root may remove or replace it",
        ),
        (
            "--resize",
            "permission denied\nhint: shmtool ls shows its owner and mode",
        ),
    ] {
        run(as_nobody(shmtool(["create", "-s", "1", option]).arg(&name)))
            .fails(1)
            .says(format!("{name}: {message}"));
    }
    assert_eq!(fs::read(name.path()).unwrap(), b"12");
}

#[test]
fn a_reader_always_finds_the_old_or_the_new_object() {
    in_private_shm("size=16m", || {
        let (one, two) = (
            tempfile::NamedTempFile::new().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        fs::write(one.path(), [1; 20_000]).unwrap();
        fs::write(two.path(), [2; 30_000]).unwrap();
        fs::write("/dev/shm/x", [1; 20_000]).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let bytes = fs::read("/dev/shm/x").expect("the object always exists");
                    assert!(
                        bytes == [1; 20_000] || bytes == [2; 30_000],
                        "{} bytes",
                        bytes.len()
                    );
                }
            });
            for _ in 0..100 {
                for file in [&two, &one] {
                    run(shmtool(["create", "--replace", "x", "--from"]).arg(file.path()))
                        .prints("");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
    });
}

#[test]
fn the_next_replace_removes_what_a_killed_one_left_behind() {
    in_private_shm("size=16m", || {
        // If shmtool is killed at the rename, the new object only has its temporary name.
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let Some(mut strace) = strace(&["-e", inject], ["create", "--replace", "-s", "8K", "x"])
        else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        let names = || -> Vec<_> {
            let entries = fs::read_dir("/dev/shm").unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        if names() == ["x"] {
            return;
        }
        assert!(names()[0].starts_with(".shmtool-"), "{:?}", names());
        assert_eq!(
            fs::metadata(format!("/dev/shm/{}", names()[0]))
                .unwrap()
                .len(),
            8192
        );
        run(&mut shmtool(["create", "--replace", "-s", "4K", "x"])).prints("");
        assert_eq!(names(), ["x"]);
        assert_eq!(fs::metadata("/dev/shm/x").unwrap().len(), 4096);
    });
}

#[test]
fn a_terminating_signal_leaves_no_temporary_name() {
    in_private_shm("size=16m", || {
        // The first call only checks whether linking works.
        let inject = "inject=linkat:signal=TERM:when=2";
        let args = ["create", "--replace", "-s", "8K", "x"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        let names = fs::read_dir("/dev/shm").unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| name == "x"));
    });
}

#[test]
fn files_planted_under_the_temporary_name_neither_block_replace_nor_are_removed() {
    in_private_shm("size=16m", || {
        // Kill shmtool at the rename to learn its temporary name.
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let Some(mut strace) = strace(&["-e", inject], ["create", "--replace", "x"]) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        let left = fs::read_dir("/dev/shm").unwrap().next().unwrap().unwrap();
        if left.file_name() == "x" {
            return;
        }
        let path = left.path();
        fs::remove_file(&path).unwrap();
        let plant: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
            |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        ];
        for plant in plant {
            plant(&path);
            run(&mut shmtool(["create", "--replace", "-s", "4K", "x"])).prints("");
            assert_eq!(fs::metadata("/dev/shm/x").unwrap().len(), 4096);
            fs::remove_file("/dev/shm/x").unwrap();
            // The planted file still exists.
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
            assert!(fs::read_dir("/dev/shm").unwrap().next().is_none());
        }
    });
}

#[test]
fn objects_are_replaced_without_support_for_unnamed_files() {
    in_private_shm("size=16m", || {
        fs::write("/dev/shm/x", "old").unwrap();
        for option in ["--replace", "--exist-ok"] {
            let inject = ["-P", "/dev/shm", "-e", "inject=openat:error=EOPNOTSUPP"];
            let Some(mut strace) = strace(&inject, ["create", option, "-s", "8K", "x"]) else {
                return;
            };
            run(&mut strace).prints("");
            assert_eq!(fs::metadata("/dev/shm/x").unwrap().len(), 8192);
            assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
        }
    });
}

#[test]
fn a_c_program_that_maps_the_old_object_does_not_see_the_new_one() {
    let Some(c) = c_program() else { return };
    let name = Name::holding(7_i32.to_ne_bytes());
    let mut holder = Peer::start(Command::new(c).arg("hold").arg(&name));
    assert_eq!(holder.ask("?"), "7");
    create(&["--replace", "-s", "4"], &name).prints("");
    assert_eq!(holder.ask("?"), "7");
    run(shmtool(["read-int"]).arg(&name)).prints("0\n");
}

#[test]
fn a_failed_replace_leaves_no_temporary_name() {
    in_private_shm("size=1m", || {
        let count = || fs::read_dir("/dev/shm").unwrap().count();
        fs::write("/dev/shm/x", "old").unwrap();
        if is_root() {
            run(as_nobody(&mut shmtool([
                "create",
                "--replace",
                "-s",
                "4K",
                "x",
            ])))
            .fails(1)
            .says("/x: only its owner and root may remove or replace it");
            assert_eq!(count(), 1);
        }
        // The same without support for unnamed files.
        let inject = ["-P", "/dev/shm", "-e", "inject=openat:error=EOPNOTSUPP"];
        for args in [
            &["create", "-s", "2M", "y"][..],
            &["create", "--replace", "-s", "2M", "x"],
        ] {
            let Some(mut strace) = strace(&inject, args) else {
                return;
            };
            run(&mut strace).fails(1);
            assert_eq!(count(), 1);
        }
        assert_eq!(fs::read("/dev/shm/x").unwrap(), b"old");
    });
}
