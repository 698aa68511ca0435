//! Systems on which a system call is missing or refused: gVisor, ramfs, NFS, sandboxes, no `/proc`.

use crate::common::*;
use nix::mount::{MsFlags, mount};
use nix::sys::resource::Resource;
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;

/// Mounts a ramfs on `/dev/shm`. A ramfs supports neither fallocate(2) nor leases, and has no size limit. Returns false
/// if it cannot be mounted.
pub fn mount_ramfs() -> bool {
    let ramfs = Some("ramfs");
    let mounted = mount(ramfs, "/dev/shm", ramfs, MsFlags::empty(), None::<&str>);
    if mounted.is_err() {
        skipped("no ramfs");
    }
    mounted.is_ok()
}

/// Mounts an empty tmpfs over `/proc` in this mount namespace. Returns false if it cannot be mounted.
fn hide_proc() -> bool {
    let tmpfs = Some("tmpfs");
    let is_hidden = mount(tmpfs, "/proc", tmpfs, MsFlags::empty(), None::<&str>).is_ok();
    if !is_hidden {
        skipped("no permission to mount");
    }
    is_hidden
}

fn list_objects() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn objects_are_created_on_ramfs() {
    in_private_shm("size=4m", || {
        if !mount_ramfs() {
            return;
        }
        let version = fs::read("/proc/version").unwrap();
        run(&mut shmtool(["create", "-s", "300K", "a"])).prints("");
        run(&mut shmtool(["create", "-s", "3M", "-m", "640", "b"])).prints("");
        run(&mut shmtool(["create", "--from", "/proc/version", "c"])).prints("");
        run(&mut shmtool([
            "create",
            "--from",
            "/dev/shm/c",
            "-s",
            "8K",
            "d",
        ]))
        .prints("");
        assert_eq!(list_objects(), ["a", "b", "c", "d"]);
        assert!(fs::read("/dev/shm/a").unwrap() == vec![0; 300 << 10]);
        assert_eq!(fs::metadata("/dev/shm/b").unwrap().len(), 3 << 20);
        assert_eq!(fs::read("/dev/shm/c").unwrap(), version);
        let padded = [&version[..], &vec![0; 8192 - version.len()]].concat();
        assert_eq!(fs::read("/dev/shm/d").unwrap(), padded);

        run(&mut shmtool(["create", "--resize", "-s", "8K", "c"])).prints("");
        assert_eq!(fs::read("/dev/shm/c").unwrap(), padded);
        run(&mut shmtool([
            "create",
            "--overwrite",
            "--from",
            "/dev/shm/d",
            "b",
        ]))
        .prints("");
        assert!(fs::read("/dev/shm/b").unwrap().starts_with(&padded));
        run(&mut shmtool(["create", "--replace", "-s", "5", "a"])).prints("");
        assert_eq!(fs::read("/dev/shm/a").unwrap(), [0; 5]);
        run(&mut shmtool(["create", "--exist-ok", "-s", "5", "a", "e"])).prints("");
        run(&mut shmtool([
            "create",
            "-s",
            "4",
            "f",
            "--",
            "shmtool-test-no-such-command",
        ]));
        assert_eq!(list_objects(), ["a", "b", "c", "d", "e"]);
    });
}

#[test]
fn zeros_are_written_if_memory_cannot_be_reserved() {
    in_private_shm("size=1m", || {
        for inject in [
            // gVisor supports fallocate only without flags.
            "fallocate:error=EOPNOTSUPP:when=1",
            "fallocate:error=EOPNOTSUPP",
            "fallocate:error=ENOSYS",
            "fallocate:error=EPERM",
        ] {
            let inject = format!("inject={inject}");
            let create = |args: &[&str]| strace(&["-e", &inject], [&["create"], args].concat());
            let Some(mut new) = create(&["-s", "300K", "a"]) else {
                return;
            };
            run(&mut new).prints("");
            let stat = fs::metadata("/dev/shm/a").unwrap();
            assert_eq!((stat.len(), stat.blocks() * 512), (300 << 10, 300 << 10));

            run(&mut create(&["--resize", "-s", "400K", "a"]).unwrap()).prints("");
            let stat = fs::metadata("/dev/shm/a").unwrap();
            assert_eq!((stat.len(), stat.blocks() * 512), (400 << 10, 400 << 10));
            fs::remove_file("/dev/shm/a").unwrap();

            // Holes of FILE, and the rest up to the requested size.
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(100 << 10).unwrap();
            file.as_file().write_all_at(&[7; 4096], 52 << 10).unwrap();
            let path = file.path().to_str().unwrap();
            run(&mut create(&["--from", path, "-s", "200K", "f"]).unwrap()).prints("");
            let expected = [fs::read(path).unwrap(), vec![0; 100 << 10]].concat();
            assert!(fs::read("/dev/shm/f").unwrap() == expected);
            let allocated = fs::metadata("/dev/shm/f").unwrap().blocks() * 512;
            assert_eq!(allocated, 200 << 10);
            fs::remove_file("/dev/shm/f").unwrap();

            let full = run(&mut create(&["-s", "2M", "b"]).unwrap());
            full.fails(1).says(does_not_fit("/b", "2MiB", "1MiB"));
            assert!(list_objects().is_empty());
        }
    });
}

#[test]
fn exceeding_the_file_size_limit_on_ramfs_is_an_error() {
    in_private_shm("size=4m", || {
        if !mount_ramfs() {
            return;
        }
        fs::write("/dev/shm/old", "old").unwrap();
        for args in [
            &["create", "-s", "64K", "new"][..],
            &["create", "--resize", "-s", "64K", "old"],
        ] {
            let ended = run(limited(&mut shmtool(args), Resource::RLIMIT_FSIZE, 8192));
            let message = &ended.fails(1).stderr;
            assert!(
                message.ends_with(": the limit of the file size (ulimit -f) is 8KiB\n"),
                "{message}"
            );
        }
        assert_eq!(list_objects(), ["old"]);
        assert!(fs::read("/dev/shm/old").unwrap().starts_with(b"old"));
    });
}

#[test]
fn objects_are_created_under_a_temporary_name_if_unnamed_files_cannot_be_linked() {
    in_private_shm("size=16m", || {
        // Both ways to link the file fail: by its descriptor, and through /proc.
        let inject = "inject=linkat:error=ENOENT:when=1..2";
        for args in [
            &["create", "-s", "8K", "a"][..],
            &["create", "--replace", "-s", "8K", "a"],
            &["create", "--from", "/proc/version", "b"],
            &["write-int", "c", "7"],
        ] {
            let Some(mut strace) = strace(&["-e", inject], args) else {
                return;
            };
            run(&mut strace).prints("");
        }
        assert_eq!(list_objects(), ["a", "b", "c"]);
        let stat = fs::metadata("/dev/shm/a").unwrap();
        assert_eq!(
            (stat.len(), stat.mode() & 0o777, stat.nlink()),
            (8192, 0o600, 1)
        );
    });
}

#[test]
fn all_verbs_work_without_proc() {
    in_private_shm("size=16m", || {
        if !hide_proc() {
            return;
        }
        let run_all_verbs =
            |as_user: fn(&mut std::process::Command) -> &mut std::process::Command| {
                let verb = |args: &[&str]| run(as_user(&mut shmtool(args)));
                verb(&["create", "-s", "4M", "a"]).prints("");
                verb(&["create", "--replace", "-s", "2M", "a"]).prints("");
                verb(&["create", "--resize", "-s", "3M", "a"]).prints("");
                verb(&["create", "--from", "/dev/shm/a", "b"]).prints("");
                verb(&["write-int", "a", "7"]).prints("");
                verb(&["write-int", "new", "8"]).prints("");
                verb(&["read-int", "a"]).prints("7\n");
                verb(&["cat", "--shm", "new"]).prints(8_i32.to_ne_bytes());
                verb(&["create", "-s", "2M", "c", "--", "echo", "run"]).prints("run\n");
                verb(&["ls", "-q"]).prints("/a\n/b\n/new\n");
                verb(&["unlink", "a", "b", "new"]).prints("");
                assert!(list_objects().is_empty());
            };
        run_all_verbs(|command| command);
        if is_root() {
            run_all_verbs(as_nobody);
        }
    });
}
