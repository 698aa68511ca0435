//! Overlays: a file that was opened before its first change is not the file that changes.

use crate::common::*;
use crate::mounts::*;
use crate::*;

#[test]
fn a_waiter_that_started_before_the_first_change_sees_it() {
    in_private_shm(ROOM, || {
        let Some(overlay) = Overlay::new() else {
            return;
        };
        let file = overlay.path("file");
        let reader = spawn(on_file("read-int", &file).args(["--until", "2"]));
        let mut follow = on_file("read-int", &file);
        let follower = spawn(follow.args(["--follow", "--count", "2"]));
        let mut descriptor = on_file("read-int", "/dev/stdin");
        descriptor.stdin(fs::File::open(&file).unwrap());
        let of_descriptor = spawn_waiter(descriptor.args(["--until", "2"]));
        assert!(
            !fs::exists("/dev/shm/upper/file").unwrap(),
            "reading copies nothing"
        );
        write_int(&file, &["2"]).prints("");
        finish(reader).prints("2\n");
        finish(follower).prints("0\n2\n");
        finish(of_descriptor).prints("2\n");
        assert_eq!(int_on_disk("/dev/shm/lower/file", 0), 0);
        assert_eq!(int_on_disk("/dev/shm/upper/file", 0), 2);
    });
}

#[test]
fn a_waiter_sees_the_first_change_by_another_program() {
    in_private_shm(ROOM, || {
        let Some(overlay) = Overlay::new() else {
            return;
        };
        let file = overlay.path("file");
        let reader = spawn_waiter(on_file("read-int", &file).args(["--until", "lt:0"]));
        let writer = fs::File::options().write(true).open(&file).unwrap();
        writer.write_all_at(&(-1_i32).to_ne_bytes(), 0).unwrap();
        finish(reader).prints("-1\n");
    });
}

#[test]
fn a_change_waits_before_and_after_the_first_change() {
    in_private_shm(ROOM, || {
        let Some(overlay) = Overlay::new() else {
            return;
        };
        let file = overlay.path("file");
        let changers = [(); 3].map(|()| {
            let args = ["--if", "ge:1", "--wait", "--add", "-1"];
            spawn(on_file("write-int", &file).args(args))
        });
        sleep(TIME_TO_FALL_ASLEEP);
        write_int(&file, &["--add", "3"]).prints("3\n");
        for changer in changers {
            assert!(finish(changer).status.success());
        }
        read_int(&file, &[]).prints("0\n");
    });
}

#[test]
fn a_hole_on_an_overlay_is_read_without_allocating_memory() {
    use std::os::unix::fs::MetadataExt;
    in_private_shm(ROOM, || {
        let Some(overlay) = Overlay::new() else {
            return;
        };
        let file = overlay.path("sparse");
        fs::File::create(&file).unwrap().set_len(8192).unwrap();
        read_int(&file, &["--count", "all", "--until", "0"]).prints("0\n".repeat(2048));
        let waiter = spawn_waiter(on_file("read-int", &file).args(["--until", "1"]));
        assert_eq!(fs::metadata(&file).unwrap().blocks(), 0);
        write_int(&file, &["1"]).prints("");
        finish(waiter).prints("1\n");
    });
}
