//! Files on FUSE: with a cache they can be mapped, with direct I/O they cannot.

use crate::common::fuse::Fuse;
use crate::common::*;
use crate::mounts::ROOM;
use crate::*;

/// The `i32` at an offset of every file before it is changed.
fn original(offset: usize) -> i32 {
    let bytes = Fuse::bytes(offset + 4);
    i32::from_ne_bytes(bytes[offset..].try_into().unwrap())
}

#[test]
fn a_file_with_direct_io_is_read_and_stored_into() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored-direct");
        read_int(&file, &["--offset", "4"]).prints(format!("{}\n", original(4)));
        write_int(&file, &["--offset", "4", "-9"]).prints("");
        assert_eq!(
            (int_on_disk(&file, 4), int_on_disk(&file, 8)),
            (-9, original(8))
        );
        read_int(&file, &["--offset", "4", "--until", "lt:0"]).prints("-9\n");
        // Several VALUEs, an unaligned offset, another order, and --sync.
        let args = [
            "-t", "u16", "--offset", "11", "--endian", "big", "--sync", "0x0102", "0x0304",
        ];
        write_int(&file, &args).prints("");
        read_int(
            &file,
            &["-t", "u32", "--offset", "11", "--endian", "big", "-x"],
        )
        .prints("0x01020304\n");
        let all = read_int(&file, &["-t", "u8", "--offset", "8000", "--count", "all"]);
        assert_eq!(String::from_utf8(all.stdout).unwrap().lines().count(), 192);
        let problem = "too small: i32 at offset 8190 needs 8194 bytes, the file has 8192";
        fails_with(write_int(&file, &["--offset", "8190", "1"]), &file, problem);
    });
}

#[test]
fn a_file_with_direct_io_refuses_atomic_changes_with_the_reason() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored-direct");
        for args in [
            &["--add", "1"][..],
            &["--or", "1"],
            &["--swap", "1"],
            &["--if", "ge:0", "1"],
            &["--if", "ge:0", "--wait", "--timeout", "1", "--add", "1"],
        ] {
            let ended = write_int(&file, args);
            let problem = "it cannot be mapped shared: ";
            let hint = "only a plain store works there, because the change would not be atomic";
            fails_mentioning(&ended, 1, &[problem, &format!("\nhint: {hint}\n")]);
        }
        assert_eq!(int_on_disk(&file, 0), original(0));
    });
}

#[test]
fn a_file_with_direct_io_is_waited_for() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored-direct");
        let reader = spawn(on_file("read-int", &file).args(["--until", "5"]));
        let mut follow = on_file("read-int", &file);
        let follower = spawn_waiter(follow.args(["--follow", "--count", "2"]));
        write_int(&file, &["5"]).prints("");
        finish(reader).prints("5\n");
        finish(follower).prints(format!("{}\n5\n", original(0)));
    });
}

#[test]
fn a_file_with_direct_io_that_ends_early_for_a_moment_is_waited_for() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored-direct");
        // The first ones may be those of the dynamic linker.
        let inject = ["-e", "inject=pread64:retval=0:when=4..6"];
        let args = ["read-int", "--until", "5", "--file"];
        let Some(mut read) = strace(&inject, args) else {
            return;
        };
        let waiter = spawn(read.arg(&file));
        sleep(Duration::from_millis(500));
        write_int(&file, &["5"]).prints("");
        finish(waiter).prints("5\n");
    });
}

#[test]
fn a_descriptor_that_appends_is_not_used_for_a_file_with_direct_io() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored-direct");
        let script = r#""$0" write-int --file /dev/fd/3 5 3<>"$1""#;
        let append = r#"exec "$0" write-int --file /dev/stdin 5"#;
        let mut sh = Command::new("sh");
        run(sh
            .args(["-c", script, env!("CARGO_BIN_EXE_shmtool")])
            .arg(&file))
        .prints("");
        let mut options = fs::File::options();
        let appending = options.read(true).append(true).open(&file).unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", append, env!("CARGO_BIN_EXE_shmtool")]);
        let ended = run(sh.stdin(appending));
        fails_mentioning(
            &ended,
            1,
            &["/dev/stdin: its descriptor appends (O_APPEND)"],
        );
        assert_eq!(fs::metadata(&file).unwrap().len(), 8192);
    });
}

#[test]
fn a_file_with_a_cache_is_changed_on_the_server() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("stored");
        write_int(&file, &["--offset", "4096", "--sync", "77"]).prints("");
        // Opening the file drops the cache, so that this comes from the server.
        assert_eq!(int_on_disk(&file, 4096), 77);
        write_int(&file, &["--offset", "4096", "--add", "1"]).prints("78\n");
        read_int(&file, &["--offset", "4096"]).prints("78\n");
        let fails = write_int(fuse.path("less"), &["--offset", "4096", "1"]);
        assert_eq!(
            (fails.status.code(), fails.signal()),
            (Some(1), None),
            "{fails:?}"
        );
    });
}

#[test]
fn a_store_succeeds_though_the_server_cannot_set_times() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("bare");
        write_int(&file, &["5"]).prints("");
        write_int(&file, &["--sync", "--add", "1"]).prints("6\n");
        read_int(&file, &[]).prints("6\n");
    });
}

#[test]
fn an_error_of_the_server_while_it_reads_is_an_error() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        for (name, offset) in [("torn", "262144"), ("unreadable", "0")] {
            let ended = read_int(fuse.path(name), &["--offset", offset]);
            assert_eq!(
                (ended.status.code(), ended.signal()),
                (Some(1), None),
                "{ended:?}"
            );
            assert!(ended.stderr.contains(name), "{ended:?}");
        }
    });
}

#[test]
fn a_file_with_another_inode_number_at_each_look_is_changed_once() {
    in_private_shm(ROOM, || {
        let Some(fuse) = Fuse::mount() else { return };
        let file = fuse.path("fickle");
        let sum = original(0) + 1;
        write_int(&file, &["--add", "1"]).prints(format!("{sum}\n"));
        write_int(&file, &["7"]).prints("");
        write_int(&file, &["--if", "7", "--wait", "--add", "1"]).prints("8\n");
        read_int(&file, &["--until", "8"]).prints("8\n");
    });
}
