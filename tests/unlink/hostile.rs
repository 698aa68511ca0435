//! Hostile files in `/dev/shm`, where anybody may create files.

use crate::common::*;
use crate::{printed_names, unlink};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

#[test]
fn a_sweep_removes_only_objects() {
    in_private_shm("size=4m", || {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let shm = Path::new("/dev/shm");
        symlink(outside.path(), shm.join("link")).unwrap();
        symlink("object", shm.join("link-to-object")).unwrap();
        symlink("loop", shm.join("loop")).unwrap();
        mkfifo("/dev/shm/fifo", Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(shm.join("socket")).unwrap();
        fs::create_dir(shm.join("directory")).unwrap();
        fs::write(shm.join("directory/file"), "").unwrap();
        fs::write(shm.join("object"), "").unwrap();
        fs::write(shm.join(OsStr::from_bytes(b"evil\x1b[2J\n\xff")), "").unwrap();
        for args in [
            &["--glob", "*"][..],
            &["--older-than", "0"],
            &["--include-in-use", "--glob", "*"],
        ] {
            fs::write(shm.join("object"), "").unwrap();
            run(shmtool(["unlink"]).args(args)).prints("");
            assert!(!shm.join("object").exists());
        }
        let left = fs::read_dir(shm).unwrap().count();
        assert_eq!(left, 6);
        assert!(outside.path().exists() && shm.join("directory/file").exists());
    });
}

#[test]
fn raw_bytes_never_reach_a_terminal() {
    in_private_shm("size=4m", || {
        let name = OsStr::from_bytes(b"evil\x1b[2J\n\xff");
        fs::write(Path::new("/dev/shm").join(name), "").unwrap();
        let shown = r"/evil\u{1b}[2J\n\xff";
        assert_eq!(printed_names(&unlink(&["-n", "--unused"])), [shown]);
        let terminal = on_terminal(&mut shmtool(["ls", "-q0"]));
        assert_eq!(str::from_utf8(&terminal), Ok("/evil\\u{1b}[2J\\n\\xff\0"));
        let _used = fs::File::open(Path::new("/dev/shm").join(name)).unwrap();
        run(shmtool(["unlink", "--unused"]).arg(name))
            .fails(5)
            .says(r"/evil\u{1b}[2J\n\xff: kept: in use");
    });
}
