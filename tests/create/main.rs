//! Tests of `create`.

#[path = "../common/mod.rs"]
mod common;

mod anonymous;
mod descriptors;
mod exists;
mod from;
mod killed;
mod memory;
mod missing_calls;
mod overwrite;
mod planted;
mod scoped;
mod unmappable;

use common::*;
use nix::sys::resource::Resource;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

#[test]
fn an_object_contains_size_bytes_of_zeros() {
    let name = Name::new();
    run(shmtool(["create", "-s", "5000"]).arg(&name)).prints("");
    assert_eq!(fs::read(name.path()).unwrap(), [0; 5000]);
}

#[test]
fn an_object_is_empty_by_default() {
    let name = Name::new();
    run(shmtool(["create"]).arg(&name)).prints("");
    assert_eq!(fs::metadata(name.path()).unwrap().len(), 0);
}

#[test]
fn memory_is_reserved_immediately() {
    let name = Name::new();
    run(shmtool(["create", "--size=1M"]).arg(&name)).prints("");
    assert_eq!(fs::metadata(name.path()).unwrap().blocks() * 512, 1 << 20);
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    for (mode, umask) in [
        ("0600", 0o000),
        ("640", 0o077),
        ("666", 0o777),
        ("0", 0o022),
        ("777", 0o022),
    ] {
        let name = Name::new();
        let mut create = shmtool(["create", "-m", mode]);
        // SAFETY: umask is async-signal-safe.
        unsafe {
            create.pre_exec(move || {
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
                Ok(())
            })
        };
        run(create.arg(&name)).prints("");
        let permissions = fs::metadata(name.path()).unwrap().permissions();
        assert_eq!(
            permissions.mode() & 0o7777,
            u32::from_str_radix(mode, 8).unwrap()
        );
    }
}

#[test]
fn the_default_mode_is_0600() {
    let name = Name::new();
    run(shmtool(["create"]).arg(&name)).prints("");
    assert_eq!(
        fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[test]
fn a_name_may_consist_of_255_arbitrary_bytes() {
    in_private_shm("size=1m", || {
        use std::os::unix::ffi::OsStrExt;
        let any: Vec<u8> = (1..=255)
            .map(|byte| if byte == b'/' { b'x' } else { byte })
            .collect();
        let any = std::ffi::OsStr::from_bytes(&any);
        run(shmtool(["create"]).arg(any)).prints("");
        run(shmtool(["write-int"]).arg(any).arg("7")).prints("");
        run(shmtool(["read-int"]).arg(any)).prints("7\n");
        run(shmtool(["unlink"]).arg(any)).prints("");
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    });
}

#[test]
fn an_existing_object_is_status_4_and_unchanged() {
    let name = Name::holding("mine");
    let before = fs::metadata(name.path()).unwrap();
    run(shmtool(["create", "-s", "4K", "-m", "777"]).arg(&name))
        .fails(4)
        .says(format!(
            "{name}: already exists\nhint: --exist-ok keeps it, --resize changes its size, --replace makes a new object"
        ));
    let after = fs::metadata(name.path()).unwrap();
    assert_eq!(fs::read(name.path()).unwrap(), b"mine");
    assert_eq!(
        (before.ino(), before.mode(), before.ctime_nsec()),
        (after.ino(), after.mode(), after.ctime_nsec())
    );
}

#[test]
fn an_existing_object_is_status_4_even_if_the_size_does_not_fit() {
    let name = Name::holding("mine");
    run(shmtool(["create", "-s", "1000T"]).arg(&name)).fails(4);
}

#[test]
fn exactly_one_of_many_racing_creators_succeeds() {
    let name = Name::new();
    let racers: Vec<_> = (0..8)
        .map(|_| {
            shmtool(["create", "-s", "64K"])
                .arg(&name)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut statuses: Vec<_> = racers
        .into_iter()
        .map(|racer| finish(racer).status.code())
        .collect();
    statuses.sort();
    assert_eq!(statuses, [&[Some(0)][..], &[Some(4); 7]].concat());
}

#[test]
fn a_name_that_fails_is_reported_and_the_others_are_created() {
    let (first, taken, last) = (Name::new(), Name::holding(""), Name::new());
    run(shmtool(["create", "-s", "8"]).args([&first, &taken, &last]))
        .fails(4)
        .says(format!(
            "{taken}: already exists\nhint: --exist-ok keeps it, --resize changes its size, --replace makes a new object"
        ));
    assert_eq!(fs::metadata(first.path()).unwrap().len(), 8);
    assert_eq!(fs::metadata(last.path()).unwrap().len(), 8);
}

#[test]
fn an_object_that_does_not_fit_fails_and_leaves_nothing_behind() {
    in_private_shm("size=1m", || {
        for (size, shown, free) in [
            ("1025K", "1049600B", "1048576B"),
            ("1T", "1TiB", "1MiB"),
            ("9223372036854775807", "8EiB", "1MiB"),
        ] {
            run(&mut shmtool(["create", "-s", size, "/big"]))
                .fails(1)
                .says(does_not_fit("/big", shown, free));
        }
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
        run(&mut shmtool(["create", "-s", "1M", "/all"])).prints("");
        run(&mut shmtool(["create", "-s", "1", "/more"])).fails(1);
        run(&mut shmtool(["ls", "-q"])).prints("/all\n");
    });
}

#[test]
fn running_out_of_inodes_is_distinguished_from_running_out_of_memory() {
    in_private_shm("size=1m,nr_inodes=5", || {
        for name in ["sem.a", "sem.b", "sem.c", "object"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        let no_inodes = |name: &str, used: &str| {
            format!(
                "/{name}: no inodes left in /dev/shm ({used})\nhint: mount -o remount,nr_inodes=1M /dev/shm allows more"
            )
        };
        let used = "3 of 5 are semaphores, see ls -a";
        for args in [
            &["create", "-s", "4K", "new"][..],
            &["create", "--sparse", "-s", "4K", "new"],
            &["create", "--from", "/etc/passwd", "new"],
            &["write-int", "new", "1"],
        ] {
            run(&mut shmtool(args))
                .fails(1)
                .says(no_inodes("new", used));
        }
        let replace = ["create", "--replace", "-s", "4", "object"];
        run(&mut shmtool(replace))
            .fails(1)
            .says(no_inodes("object", used));
        let command = ["create", "new", "--", "touch", "/dev/shm/object"];
        run(&mut shmtool(command))
            .fails(125)
            .says(no_inodes("new", used));
        // Without unnamed files the object has a temporary name first, and on tmpfs each name takes an inode.
        fs::remove_file("/dev/shm/sem.c").unwrap();
        let inject = ["-P", "/dev/shm", "-e", "inject=openat:error=EOPNOTSUPP"];
        if let Some(mut create) = strace(&inject, ["create", "new"]) {
            // The injected fault also prevents reading the directory, so the message cannot say what uses the inodes.
            let used = "all 5 are used";
            run(&mut create).fails(1).says(no_inodes("new", used));
        }
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 3);
        fs::remove_file("/dev/shm/sem.b").unwrap();
        for (last, used) in [
            ("sem.a", "1 of 5 is a semaphore, see ls -a"),
            ("second", "all 5 are used"),
        ] {
            fs::rename("/dev/shm/sem.a", format!("/dev/shm/{last}")).unwrap();
            for filler in ["a", "b"] {
                fs::write(format!("/dev/shm/{filler}"), "").unwrap();
            }
            run(&mut shmtool(["create", "new"]))
                .fails(1)
                .says(no_inodes("new", used));
        }
    });
}

#[test]
fn exceeding_the_file_size_limit_is_an_error_and_not_a_signal() {
    let name = Name::new();
    for verb in [
        &["create", "-s", "64K"][..],
        &["write-int", "--offset", "64K"],
    ] {
        let mut command = shmtool(verb);
        limited(&mut command, Resource::RLIMIT_FSIZE, 4096).arg(&name);
        if verb[0] == "write-int" {
            command.arg("1");
        }
        run(&mut command).fails(1).says(format!(
            "{name}: cannot set its size: the limit of the file size (ulimit -f) is 4KiB"
        ));
        assert!(!name.path().exists());
    }
}

#[test]
fn invalid_sizes_are_rejected_with_a_reason() {
    for (size, reason) in [
        ("-1", "a SIZE cannot be negative"),
        (
            "1.5",
            "a SIZE has no fraction: use a smaller unit (1536K instead of 1.5M)",
        ),
        (
            "99999999999999999999",
            "too large: no file has more than 9223372036854775807 bytes",
        ),
        (
            "8E",
            "not a SIZE: use bytes (4096 or 0x1000) or K, M, G, T (4K = 4KiB = 4096, 4KB = 4000)",
        ),
        (
            "4Q",
            "not a SIZE: use bytes (4096 or 0x1000) or K, M, G, T (4K = 4KiB = 4096, 4KB = 4000)",
        ),
    ] {
        let name = Name::new();
        run(shmtool(["create", "-s", size]).arg(&name))
            .fails(2)
            .says(format!("{size}: {reason}"));
        assert!(!name.path().exists());
    }
}

#[test]
fn invalid_modes_are_rejected() {
    for mode in ["rw", "8", "10000", "-1", "4600", "2600", "1600", ""] {
        let name = Name::new();
        run(shmtool(["create", "-m", mode]).arg(&name)).fails(2);
        assert!(!name.path().exists());
    }
}

#[test]
fn a_symbolic_link_is_not_replaced() {
    let name = Name::new();
    symlink("/nowhere", name.path()).unwrap();
    run(shmtool(["create"]).arg(&name)).fails(1).says(format!(
        "{name}: not a shared memory object: it is a symbolic link"
    ));
    assert_eq!(
        fs::read_link(name.path()).unwrap().to_str(),
        Some("/nowhere")
    );
}

#[test]
fn an_unprivileged_user_can_create_objects() {
    if is_root() {
        let name = Name::new();
        run(as_nobody(shmtool(["create", "-s", "8"]).arg(&name))).prints("");
        assert_eq!(fs::metadata(name.path()).unwrap().uid(), 65534);
    }
}

#[test]
fn objects_are_created_without_support_for_unnamed_files() {
    let name = Name::new();
    for (injected, status) in [
        ("openat:error=EOPNOTSUPP", 0),
        ("openat:error=EOPNOTSUPP", 4),
    ] {
        let inject = format!("inject={injected}");
        let Some(mut create) = strace(
            &["-P", "/dev/shm", "-e", &inject],
            ["create", "-s", "8K", "-m", "640"],
        ) else {
            return;
        };
        assert_eq!(run(create.arg(&name)).status.code(), Some(status));
        let stat = fs::metadata(name.path()).unwrap();
        assert_eq!(
            (stat.len(), stat.mode() & 0o7777, stat.nlink()),
            (8192, 0o640, 1)
        );
    }
}

#[test]
fn an_object_is_linked_through_proc_if_linking_its_descriptor_fails() {
    let name = Name::new();
    let Some(mut create) = strace(
        // The third call links the object; the first two only check which way works.
        &["-e", "inject=linkat:error=ENOENT:when=1+2"],
        ["create", "-s", "8K"],
    ) else {
        return;
    };
    run(create.arg(&name)).prints("");
    assert_eq!(fs::metadata(name.path()).unwrap().len(), 8192);
}
