//! The totals on a terminal.

use crate::common::*;
use crate::table;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// Runs `ls` on a terminal without colors, and returns what it prints.
fn on_plain_terminal(ls: &mut Command) -> String {
    String::from_utf8(on_terminal(ls.env("NO_COLOR", "1"))).unwrap()
}

fn ls_on_terminal(args: &[&str]) -> String {
    on_plain_terminal(shmtool(["ls"]).args(args))
}

/// The rest of the line that starts with "not listed:".
fn not_listed(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("not listed: "))
}

#[test]
fn totals_appear_on_a_terminal_but_not_in_a_pipe() {
    in_private_shm("size=64k", || {
        let last_line = |args: &[&str]| {
            let text = ls_on_terminal(args);
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(
            last_line(&[]),
            "0 objects with 0B; /dev/shm has 0B used and 64KiB free"
        );
        fs::write("/dev/shm/a", [1; 8192]).unwrap();
        fs::write("/dev/shm/b", [1; 100]).unwrap();
        assert_eq!(
            last_line(&[]),
            "2 objects with 12KiB; /dev/shm has 12KiB used and 52KiB free"
        );
        assert_eq!(
            last_line(&["a"]),
            "1 object with 8KiB; /dev/shm has 12KiB used and 52KiB free"
        );
        fs::write("/dev/shm/b", [1; 49152]).unwrap();
        assert_eq!(
            last_line(&["-b"]),
            "2 objects with 56KiB; /dev/shm has 56KiB used and 8KiB free"
        );
        fs::write("/dev/shm/c", [1; 4096]).unwrap();
        assert_eq!(
            last_line(&[]),
            "3 objects with 60KiB; /dev/shm has 60KiB used and 4KiB free: nearly full"
        );
        assert_eq!(last_line(&["-q"]), "/c");
        assert_eq!(table(&[]).len(), 4);
        assert!(serde_json::from_slice::<Value>(&on_terminal(&mut shmtool(["ls", "-J"]))).is_ok());
    });
}

#[test]
fn totals_name_semaphores_and_directories_that_are_not_listed() {
    in_private_shm("size=4m", || {
        assert_eq!(not_listed(&ls_on_terminal(&[])), None);
        fs::write("/dev/shm/x", [1; 100]).unwrap();
        fs::write("/dev/shm/sem.one", [0; 32]).unwrap();
        fs::create_dir_all("/dev/shm/job/deep/deeper").unwrap();
        fs::write("/dev/shm/job/big", vec![1; 1 << 20]).unwrap();
        let one = "1 semaphore with 4KiB (see -a), 1 directory with 1MiB";
        assert_eq!(not_listed(&ls_on_terminal(&[])), Some(one));
        fs::write("/dev/shm/sem.two", [0; 32]).unwrap();
        fs::write("/dev/shm/job/deep/deeper/more", vec![1; 1 << 19]).unwrap();
        fs::create_dir("/dev/shm/sem.directory").unwrap();
        let more = "2 semaphores with 8KiB (see -a), 2 directories with 1.5MiB";
        assert_eq!(
            not_listed(&ls_on_terminal(&["--older-than", "1h"])),
            Some(more)
        );
        assert_eq!(
            not_listed(&ls_on_terminal(&["-a"])),
            Some("2 directories with 1.5MiB")
        );
        // With a NAME, the totals do not mention what is not listed.
        assert_eq!(not_listed(&ls_on_terminal(&["x"])), None);
        let piped = run(&mut shmtool(["ls"]));
        assert_eq!(not_listed(str::from_utf8(&piped.stdout).unwrap()), None);
    });
}

#[test]
fn directory_sizes_count_only_files_on_the_file_system_of_the_objects() {
    in_private_shm("size=4m", || {
        fs::create_dir_all("/dev/shm/job/mounted").unwrap();
        fs::create_dir("/dev/shm/job/bound").unwrap();
        fs::write("/dev/shm/job/file", [1; 4096]).unwrap();
        fs::hard_link("/dev/shm/job/file", "/dev/shm/job/link").unwrap();
        symlink("/", "/dev/shm/job/root").unwrap();
        symlink("/dev/shm/job", "/dev/shm/job/loop").unwrap();
        symlink("/", "/dev/shm/root").unwrap();
        symlink("/dev/shm/job/file", "/dev/shm/sem.link").unwrap();
        mkfifo("/dev/shm/job/fifo", Mode::S_IRWXU).unwrap();
        mkfifo("/dev/shm/sem.fifo", Mode::S_IRWXU).unwrap();
        fs::write("/dev/shm/object", vec![1; 1 << 20]).unwrap();
        let expected = Some("1 directory with 4KiB");
        if let Some(mut ls) = strace(&["-e", "inject=statx:error=ENOSYS"], ["ls"]) {
            assert_eq!(not_listed(&on_plain_terminal(&mut ls)), expected);
        }
        assert_eq!(not_listed(&ls_on_terminal(&[])), expected);
        if is_root() {
            let (none, flags) = (None::<&str>, MsFlags::empty());
            fs::create_dir("/dev/shm/mounted").unwrap();
            for mount_point in ["/dev/shm/mounted", "/dev/shm/job/mounted"] {
                mount(none, mount_point, Some("tmpfs"), flags, Some("size=4m")).unwrap();
                fs::write(format!("{mount_point}/elsewhere"), vec![1; 1 << 20]).unwrap();
            }
            let bound = "/dev/shm/job/bound";
            mount(Some("/dev/shm"), bound, none, MsFlags::MS_BIND, none).unwrap();
            assert_eq!(not_listed(&ls_on_terminal(&[])), expected);
        }
    });
}

#[test]
fn directories_that_are_not_read_completely_have_a_lower_bound_as_size() {
    in_private_shm("size=4m", || {
        // Deeper than ls descends.
        let mut path = "/dev/shm/deep".to_owned();
        for _ in 0..100 {
            path += "/d";
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path + "/file", [1; 4096]).unwrap();
        assert_eq!(
            not_listed(&ls_on_terminal(&[])),
            Some("1 directory of unknown size")
        );
        fs::remove_dir_all("/dev/shm/deep").unwrap();
        if is_root() {
            fs::create_dir("/dev/shm/private").unwrap();
            fs::write("/dev/shm/private/file", [1; 4096]).unwrap();
            fs::set_permissions("/dev/shm/private", fs::Permissions::from_mode(0o700)).unwrap();
            let text = on_plain_terminal(as_nobody(&mut shmtool(["ls"])));
            assert_eq!(not_listed(&text), Some("1 directory of unknown size"));
        }
    });
}

#[test]
fn totals_warn_when_inodes_are_nearly_used_up() {
    in_private_shm("size=4m,nr_inodes=20", || {
        for i in 0..17 {
            fs::write(format!("/dev/shm/sem.{i}"), "").unwrap();
        }
        assert!(!ls_on_terminal(&[]).contains("inodes"));
        fs::write("/dev/shm/sem.last", "").unwrap();
        let text = ls_on_terminal(&[]);
        assert!(
            text.ends_with("\n19 of 20 inodes used: nearly full\n"),
            "{text}"
        );
        assert_eq!(not_listed(&text), Some("18 semaphores with 0B (see -a)"));
    });
}

#[test]
fn full_inodes_are_reported_even_if_there_are_few() {
    in_private_shm("size=4m,nr_inodes=4", || {
        // The directory itself takes one.
        for name in ["a", "b", "c"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        assert!(ls_on_terminal(&[]).contains("4 of 4 inodes used: full"));
    });
}

#[test]
fn memory_without_a_name_is_added_up() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/listed", [1; 8192]).unwrap();
        fs::write("/dev/shm/sem.s", [1; 32]).unwrap();
        fs::write("/dev/shm/gone", [1; 65536]).unwrap();
        let held = fs::File::open("/dev/shm/gone").unwrap();
        fs::remove_file("/dev/shm/gone").unwrap();
        let text = ls_on_terminal(&[]);
        let expected = "1 semaphore with 4KiB (see -a), 64KiB without a name (see --unlinked)";
        assert_eq!(not_listed(&text), Some(expected));
        let text = ls_on_terminal(&["-a"]);
        assert_eq!(
            not_listed(&text),
            Some("64KiB without a name (see --unlinked)")
        );
        // Not everything is listed.
        assert_eq!(
            not_listed(&ls_on_terminal(&["--glob", "l*"])),
            Some("1 semaphore with 4KiB (see -a)")
        );
        drop(held);
        assert_eq!(not_listed(&ls_on_terminal(&["-a"])), None);
    });
}

#[test]
fn an_object_with_two_names_counts_once() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/one", [1; 8192]).unwrap();
        fs::hard_link("/dev/shm/one", "/dev/shm/two").unwrap();
        let text = ls_on_terminal(&[]);
        assert!(
            text.contains("2 objects with 8KiB; /dev/shm has 8KiB used"),
            "{text}"
        );
        assert_eq!(not_listed(&text), None);
    });
}
