//! What counts as use of an object. Each test sweeps, and so has a private `/dev/shm`.

use crate::common::*;
use crate::*;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

#[test]
fn a_sweep_keeps_objects_that_are_in_use_in_any_way() {
    in_private_shm("size=4m", || {
        create(&[
            "free-1",
            "free-2",
            "mapped-to-read",
            "mapped-to-write",
            "open",
            "open-elsewhere",
            "sent",
            "path-only",
        ]);
        let to_read = map(&open("mapped-to-read"), Access::Read);
        let writable = File::options()
            .read(true)
            .write(true)
            .open("/dev/shm/mapped-to-write")
            .unwrap();
        let to_write = map(&writable, Access::ReadWrite);
        drop(writable);
        let opened = open("open");
        fs::hard_link("/dev/shm/open-elsewhere", "/dev/shm/other-name").unwrap();
        let elsewhere = open("other-name");
        // In flight: no process has a descriptor for it.
        let (sender, receiver) = UnixStream::pair().unwrap();
        let sent = open("sent");
        let fds = [sent.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(
            sender.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &rights,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        drop(sent);
        fs::copy("/bin/sleep", "/dev/shm/running").unwrap();
        let mut running = Command::new("/dev/shm/running")
            .arg("1000")
            .spawn()
            .unwrap();
        let held = [
            "mapped-to-read",
            "mapped-to-write",
            "open",
            "open-elsewhere",
            "other-name",
            "running",
            "sent",
        ];

        // free-1, free-2 and path-only are removed: nobody has them open or mapped.
        unlink(&["--glob", "*"]).prints("");
        assert_eq!(remaining(), held);
        unlink(&["--unused"]).prints("");
        assert_eq!(remaining(), held);
        let mut bytes = [0; 4];
        opened.read_exact_at(&mut bytes, 0).unwrap();
        elsewhere.read_exact_at(&mut bytes, 0).unwrap();
        use shmtool::sys::memory::int::IntType;
        let expected = i32::from_ne_bytes(*b"mapp").to_string();
        for mapping in [&to_read, &to_write] {
            assert_eq!(mapping.load(0, IntType::I32).unwrap().to_string(), expected);
        }

        running.kill().unwrap();
        running.wait().unwrap();
        drop((to_read, to_write, opened, elsewhere, receiver, sender));
        unlink(&["--unused"]).prints("");
        assert_eq!(remaining(), [""; 0]);
    });
}

#[test]
fn processes_in_other_pid_namespaces_and_of_other_users_count() {
    in_private_shm("size=4m", || {
        create(&["far", "free"]);
        let script = "exec 3< /dev/shm/far; echo open; read line";
        let mut far = Command::new("unshare");
        far.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "sh",
            "-c",
            script,
        ]);
        let Ok(mut far) = far.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            return;
        };
        let mut line = [0; 5];
        if far.stdout.take().unwrap().read_exact(&mut line).is_ok() {
            unlink(&["--unused"]).prints("");
            assert_eq!(remaining(), ["far"]);
        }
        drop(far.stdin.take());
        far.wait().unwrap();

        if is_root() {
            create(&["of-nobody"]);
            fs::set_permissions("/dev/shm/of-nobody", fs::Permissions::from_mode(0o644)).unwrap();
            let mut reader = Command::new("sh");
            reader.args(["-c", "exec 3< /dev/shm/of-nobody; echo; read line"]);
            let mut reader = Peer::start(as_nobody(&mut reader));
            reader.line();
            unlink(&["--unused"]).prints("");
            assert_eq!(remaining(), ["of-nobody"]);
        }
    });
}

#[test]
fn objects_that_cannot_be_judged_count_as_in_use() {
    in_private_shm("size=4m", || {
        create(&["a", "b"]);
        // The first three calls of fcntl check the standard streams, and the next two belong to fdopendir(3).
        let inject = "inject=fcntl:error=EINVAL:when=6+";
        for (args, fate) in [
            (&["unlink", "--unused"][..], "kept"),
            (&["ls", "-q", "--unused"], "not listed"),
        ] {
            let Some(mut strace) = strace(&["-e", inject], args) else {
                return;
            };
            let ended = run(&mut strace);
            assert_eq!(
                (ended.status.code(), &ended.stdout[..]),
                (Some(0), &b""[..])
            );
            assert_eq!(
                ended.stderr,
                format!(
                    "shmtool: 2 objects {fate}: cannot tell whether they are in use (invalid argument)\n"
                )
            );
        }
        // A NAME alone is looked up without reading the directory.
        let inject = "inject=fcntl:error=EINVAL:when=4+";
        let named = run(&mut strace(&["-e", inject], ["unlink", "--unused", "a"]).unwrap());
        named
            .fails(5)
            .says("/a: kept: cannot tell whether it is in use (invalid argument)");
        assert_eq!(remaining(), ["a", "b"]);
    });
}

#[test]
fn leases_are_not_trusted_on_other_file_systems() {
    // On overlayfs a mapping keeps only the underlying file open, so the kernel grants a lease although the object is
    // in use.
    in_private_shm("size=4m", || {
        for directory in ["lower", "upper", "work"] {
            fs::create_dir(format!("/dev/shm/{directory}")).unwrap();
        }
        let mut mount = Command::new("mount");
        let directories = "lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper,workdir=/dev/shm/work";
        mount.args(["-t", "overlay", "-o", directories, "overlay", "/dev/shm"]);
        if !mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
        {
            return;
        }
        create(&["mapped"]);
        let _mapping = map(&open("mapped"), Access::Read);
        let swept = unlink(&["--unused"]);
        assert_eq!(
            swept.stderr,
            "shmtool: 1 object kept: cannot tell whether it is in use (operation not supported)\n"
        );
        assert_eq!(remaining(), ["mapped"]);
    });
}

#[test]
fn filters_also_protect_named_objects_that_are_in_use() {
    in_private_shm("size=4m", || {
        create(&["live", "dead", "later"]);
        let _live = open("live");
        for filter in [
            &["--older-than", "0"][..],
            &["--glob", "l*"],
            &["--larger-than", "0"],
            &["--unused"],
        ] {
            for extra in [&[][..], &["-f"], &["-n"]] {
                let args = [filter, extra, &["live"]].concat();
                unlink(&args).fails(5).says("/live: kept: in use");
            }
        }
        // The other objects are still removed.
        unlink(&["--older-than", "0", "live", "dead"])
            .fails(5)
            .says("/live: kept: in use");
        assert_eq!(remaining(), ["later", "live"]);
        // Without filters a NAME is removed as rm removes a file.
        unlink(&["live"]).prints("");
        assert_eq!(remaining(), ["later"]);
    });
}

#[test]
fn include_in_use_overrides_the_protection() {
    in_private_shm("size=4m", || {
        create(&["free", "used", "named", "plain", "sem.s"]);
        let (used, _named) = (open("used"), open("named"));
        unlink(&["-f", "--glob", "*"]).prints("");
        assert_eq!(remaining(), ["named", "sem.s", "used"]);
        unlink(&["--include-in-use", "--unused"]).fails(2);
        unlink(&["--include-in-use", "--unused", "named"]).fails(2);
        unlink(&["--include-in-use", "--glob", "x*", "named"])
            .fails(5)
            .says("/named: kept: its name does not match");
        unlink(&["--include-in-use", "--glob", "n*", "named"]).prints("");
        assert_eq!(remaining(), ["sem.s", "used"]);
        create(&["plain"]);
        let _plain = open("plain");
        unlink(&["--include-in-use", "plain"]).prints("");
        let dry = unlink(&["-n", "--include-in-use", "--glob", "*"]);
        assert_eq!(
            (printed_names(&dry), dry.stderr.as_str()),
            (
                vec!["/used"],
                "shmtool: would remove 1 object in use: its 4KiB will be freed when the last user ends\n\
                     shmtool: not swept: 1 semaphore with 4KiB (see -a)\n"
            )
        );
        unlink(&["--include-in-use", "--glob", "*"]).prints("");
        assert_eq!(remaining(), ["sem.s"]);
        let mut bytes = [0; 4];
        used.read_exact_at(&mut bytes, 0).unwrap();
    });
}

#[test]
fn include_in_use_removes_what_cannot_be_judged() {
    in_private_shm("size=4m", || {
        create(&["a", "b"]);
        let inject = "inject=fcntl:error=EINVAL:when=6+";
        let args = ["unlink", "--include-in-use", "--glob", "*"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        run(&mut strace).prints("");
        assert_eq!(remaining(), [""; 0]);
    });
}
