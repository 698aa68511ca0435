//! Each verb with `--target`.

use crate::common::*;
use crate::*;
use std::os::unix::fs::MetadataExt;

/// The IDs of a container: its root is an unprivileged user outside.
const IDS: &str = "0 100000 1000";

fn verb(verb: &str, container: &Container, args: &[&str]) -> Ended {
    run(shmtool([verb, "--target", &container.target()]).args(args))
}

#[test]
fn integers_are_written_and_read_in_the_container_of_the_target() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let Some(container) = Container::start_mapped(IDS, "") else {
            return;
        };
        verb("write-int", &container, &["/n", "42"]).prints("");
        verb("read-int", &container, &["n"]).prints("42\n");
        verb("write-int", &container, &["--add", "/dev/shm/n", "-1"]).prints("41\n");
        verb("read-int", &container, &["/dev/shm/n"]).prints("41\n");
        assert_eq!(names("/dev/shm"), [""; 0]);
        let status = fs::metadata(container.path("n")).unwrap();
        assert_eq!(
            (status.uid(), status.gid(), status.mode() & 0o7777),
            (100_000, 100_000, 0o600)
        );
        run(&mut shmtool(["read-int", "/n"])).fails(3);
    });
}

#[test]
fn objects_are_created_with_the_ids_of_the_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for container in [
            Some(Container::start("")),
            Container::start_mapped(IDS, ""),
            // User 0 need not exist.
            Container::start_mapped("1 100000 1", ""),
        ] {
            let Some(container) = container else { return };
            verb("create", &container, &["-s", "4K", "-m", "640", "a", "b"]).prints("");
            assert_eq!(container.names(), ["a", "b"]);
            let (root, status) = (
                fs::metadata(format!("/proc/{}", container.pid())).unwrap(),
                fs::metadata(container.path("a")).unwrap(),
            );
            assert_eq!(
                (status.uid(), status.gid(), status.mode() & 0o7777),
                (root.uid(), root.gid(), 0o640)
            );
            assert_eq!((status.len(), status.blocks()), (4096, 8));
            verb("create", &container, &["a"]).fails(4);
            for option in ["--exist-ok", "--resize", "--replace"] {
                verb("create", &container, &[option, "-s", "8K", "b", "c"]);
                let length = |name| fs::metadata(container.path(name)).unwrap().len();
                assert_eq!(length("c"), 8192, "{option}");
                fs::remove_file(container.path("c")).unwrap();
            }
            assert_eq!(fs::metadata(container.path("b")).unwrap().len(), 8192);
            assert_eq!(names("/dev/shm"), [""; 0]);
        }
    });
}

#[test]
fn the_file_for_create_is_read_here() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "mount -t tmpfs tmpfs /tmp; echo theirs >/tmp/file; chmod 755 /tmp\n";
        let Some(container) = Container::start_mapped(IDS, script) else {
            return;
        };
        // Only root may read it here, and in the container it is another file.
        mount_volume("mode=700");
        fs::write("/mnt/file", "ours\n").unwrap();
        for from in ["--from=/mnt/file", "--from=-"] {
            let mut create = shmtool(["create", "--target", &container.target(), from, "f"]);
            create.stdin(fs::File::open("/mnt/file").unwrap());
            run(&mut create).prints("");
            verb("cat", &container, &["--shm", "f"]).prints("ours\n");
            verb("cat", &container, &["--shm", "--offset", "1", "f"]).prints("urs\n");
            verb("write-int", &container, &["-t", "u8", "f", "65"]).prints("");
            let inode = fs::metadata(container.path("f")).unwrap().ino();
            let mut overwrite = shmtool(["create", "--overwrite", from, "f"]);
            overwrite.args(["--target", &container.target()]);
            overwrite.stdin(fs::File::open("/mnt/file").unwrap());
            run(&mut overwrite).prints("");
            verb("cat", &container, &["--shm", "f"]).prints("ours\n");
            assert_eq!(fs::metadata(container.path("f")).unwrap().ino(), inode);
            verb("unlink", &container, &["f"]).prints("");
        }
    });
}

#[test]
fn ls_shows_the_objects_of_the_target_and_who_uses_them_outside() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        // The process has another ID in its own PID namespace, and the descriptor stays open.
        let script = [
            Container::TMPFS,
            "echo 1234 >/dev/shm/used; exec 3</dev/shm/used\n",
        ];
        let setup = Setup::new(&["--mount", "--pid", "--fork", "--kill-child"]);
        let container = setup.start(&script.concat()).unwrap();
        create("/dev/shm/ours", 0o600, 0);
        verb("create", &container, &["free"]).prints("");
        verb("ls", &container, &["-q"]).prints("/free\n/used\n");
        verb("ls", &container, &["-q", "--unused"]).prints("/free\n");
        verb("ls", &container, &["-q", "used"]).prints("/used\n");
        verb("ls", &container, &["ours"]).fails(3);
        let columns = ["--no-header", "-o", "name,size,pid,access"];
        let listed = verb("ls", &container, &columns);
        let words: Vec<_> = lines(&listed)
            .into_iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let used = format!("/used 5B {} open r", container.pid());
        assert_eq!(words, ["/free 0B - -", &used]);
        let objects = json(&["--target", &container.target(), "-p", "used"]);
        let processes = &objects["objects"][0]["processes"];
        assert_eq!(processes[0]["pid"], container.pid());
        assert_eq!(objects["filesystem"]["size"], 4 << 20);
    });
}

#[test]
fn unlink_removes_in_the_container_of_the_target_what_is_not_in_use() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "cd /dev/shm; for name in a b named used; do echo >$name; done; exec 3<used\n";
        for container in [
            Some(Container::start(script)),
            Container::start_mapped(IDS, script),
        ] {
            let Some(container) = container else { return };
            create("/dev/shm/a", 0o600, 0);
            let dry = verb("unlink", &container, &["-n", "--glob", "*"]);
            assert_eq!(lines(&dry).len(), 3, "{dry:?}");
            assert_eq!(container.names(), ["a", "b", "named", "used"]);
            verb("unlink", &container, &["-n", "named"]);
            verb("unlink", &container, &["named"]).prints("");
            verb("unlink", &container, &["named"]).fails(3);
            verb("unlink", &container, &["--unused", "used"])
                .fails(5)
                .says("/used: kept: in use");
            let swept = verb("unlink", &container, &["-v", "--glob", "*"]);
            assert!(
                swept.stderr.starts_with("shmtool: removed 2 objects"),
                "{swept:?}"
            );
            assert_eq!(container.names(), ["used"]);
            verb("unlink", &container, &["used"]).prints("");
            assert_eq!(container.names(), [""; 0]);
            assert_eq!(names("/dev/shm"), ["a"]);
        }
    });
}

#[test]
fn a_reader_in_the_container_is_woken_by_a_writer_in_the_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let Some(container) = Container::start_mapped(IDS, "") else {
            return;
        };
        let mut reader = shmtool(["read-int", "--target", &container.target()]);
        let reader = spawn(reader.args(["--until", "ge:3", "--timeout", "30", "n"]));
        verb("write-int", &container, &["n", "1"]).prints("");
        sleep(Duration::from_millis(100));
        let start = Instant::now();
        verb("write-int", &container, &["--if", "1", "n", "3"]).prints("");
        finish(reader).prints("3\n");
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}
