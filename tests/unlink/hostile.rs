//! What others plant in `/dev/shm`, which anybody may write to.

use crate::common::*;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

#[test]
fn a_sweep_is_not_led_astray() {
    in_private_shm("hostile::a_sweep_is_not_led_astray", "size=4m", || {
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
            &["-f", "--glob", "*"],
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
fn a_terminal_gets_no_raw_bytes() {
    in_private_shm("hostile::a_terminal_gets_no_raw_bytes", "size=4m", || {
        let name = OsStr::from_bytes(b"evil\x1b[2J\n\xff");
        fs::write(Path::new("/dev/shm").join(name), "").unwrap();
        run(&mut shmtool(["unlink", "-n", "--unused"])).prints(b"/evil\x1b[2J\n\xff\n");
        let terminal = on_terminal(&mut shmtool(["unlink", "-n", "--unused"]));
        assert_eq!(str::from_utf8(&terminal), Ok("/evil\\u{1b}[2J\\n\\xff\n"));
        let terminal = on_terminal(&mut shmtool(["ls", "-q0"]));
        assert_eq!(str::from_utf8(&terminal), Ok("/evil\\u{1b}[2J\\n\\xff\0"));
        let _used = fs::File::open(Path::new("/dev/shm").join(name)).unwrap();
        run(shmtool(["unlink", "--unused"]).arg(name))
            .fails(5)
            .says(r"/evil\u{1b}[2J\n\xff: left, because it is in use");
    });
}

#[test]
fn an_object_without_any_permission_is_not_judged_but_its_name_can_go() {
    in_private_shm(
        "hostile::an_object_without_any_permission_is_not_judged_but_its_name_can_go",
        "size=4m",
        || {
            fs::write("/dev/shm/closed", "").unwrap();
            fs::set_permissions("/dev/shm/closed", fs::Permissions::from_mode(0o000)).unwrap();
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown("/dev/shm/closed", Some(65534), None).unwrap();
                let swept = run(as_nobody(&mut shmtool(["unlink", "--unused"])));
                assert_eq!(
                    swept.stderr,
                    "shmtool: 1 object taken for used, because the kernel does not say: Permission denied\n"
                );
                assert!(swept.status.success() && fs::exists("/dev/shm/closed").unwrap());
                run(as_nobody(&mut shmtool(["unlink", "closed"]))).prints("");
            } else {
                run(&mut shmtool(["unlink", "closed"])).prints("");
            }
            assert!(!fs::exists("/dev/shm/closed").unwrap());
        },
    );
}
