//! File servers that never answer.

use crate::common::*;
use crate::*;
use nix::sys::signal::{SIGKILL, SIGUSR1, kill};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::Pid;
use std::os::unix::fs::MetadataExt;

fn has_fuse() -> bool {
    fs::File::options().write(true).open("/dev/fuse").is_ok() || {
        skipped("no FUSE");
        false
    }
}

/// Starts a container where our FUSE server, which answers nothing, is mounted at this path. Returns None if FUSE or
/// user namespaces are not available.
fn start(user: Option<u32>, prepare: &str, mount_point: &str) -> Option<Container> {
    let setup = match user {
        Some(user) => Setup::new(&["--user", "--map-root-user", "--mount"]).user(user),
        None => Setup::new(&["--mount"]),
    };
    setup
        .env("SILENT", "1")
        .env("server", fuse_server()?)
        .start(&format!("{prepare}\nexec \"$server\" {mount_point}\n"))
}

/// Sweeps, and asserts that this takes the object in the other container, and names the one with the server.
fn sweeps_the_others(container: &Container, other: &Container, reason: &str) {
    fs::write(other.path("x"), "").unwrap();
    let start = Instant::now();
    let (swept, ended) = sweep_all(&[]);
    assert_eq!(swept, [format!("/x {}", other.place())]);
    let message = format!("shmtool: {}: skipped: {reason}\n", container.place());
    assert!(ended.stderr.starts_with(&message), "{ended:?}");
    assert!(ended.status.success() && start.elapsed() < HANG);
    let pid = container.pid();
    run(&mut shmtool(["ls", "--target", &pid.to_string()]))
        .fails(1)
        .says(format!("process {pid}: {reason}"));
}

#[test]
fn a_server_on_dev_shm_is_not_asked() {
    in_private_system(SHM, || {
        if !is_root() || !has_fuse() {
            return;
        }
        allow_fuse();
        let other = Container::start("");
        for user in [None, Some(NOBODY)] {
            let Some(container) = start(user, "", "/dev/shm") else {
                return;
            };
            sweeps_the_others(&container, &other, "its /dev/shm is not a tmpfs");
        }
    });
}

/// A link that leads to the server.
const LINK: &str = "
mount -t tmpfs tmpfs /mnt
mkdir /mnt/served /mnt/dev
touch /mnt/dev/fuse
mount --bind /dev/fuse /mnt/dev/fuse
ln -s /mnt/served/x /mnt/dev/shm
mount --rbind /mnt/dev /dev
";

#[test]
fn a_server_on_dev_is_not_asked() {
    in_private_system(SHM, || {
        if !is_root() || !has_fuse() {
            return;
        }
        allow_fuse();
        let other = Container::start("");
        let reason = "its /dev/shm cannot be looked up without asking a file server, which may \
                      never answer";
        for (user, prepare, mount_point) in [
            (None, "", "/dev"),
            (Some(NOBODY), "", "/dev"),
            (Some(NOBODY), LINK, "/mnt/served"),
        ] {
            let Some(container) = start(user, prepare, mount_point) else {
                return;
            };
            sweeps_the_others(&container, &other, reason);
        }
    });
}

/// Makes the FUSE device available to the attacker, in the mount namespace of the test.
fn allow_fuse() {
    mount(
        Some("tmpfs"),
        "/mnt",
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    let device = fs::metadata("/dev/fuse").unwrap().rdev();
    mknod("/mnt/fuse", SFlag::S_IFCHR, Mode::empty(), device).unwrap();
    fs::set_permissions("/mnt/fuse", fs::Permissions::from_mode(0o666)).unwrap();
    let none = None::<&str>;
    mount(Some("/mnt/fuse"), "/dev/fuse", none, MsFlags::MS_BIND, none).unwrap();
}

/// An overlay looks local, but its lower directory can belong to a server.
#[test]
fn a_server_below_an_overlay_delays_a_sweep_for_some_seconds_only() {
    in_private_system(SHM, || {
        if !is_root() || !has_fuse() {
            return;
        }
        let Some(server) = fuse_server() else { return };
        let script = "
mount -t tmpfs tmpfs /mnt
mkdir /mnt/lower /mnt/upper /mnt/root
mkfifo /mnt/ready
\"$server\" /mnt/lower >/mnt/ready &
echo $! >/mnt/upper/server
read line </mnt/ready
test \"$line\" = mounted
mkdir /mnt/root/x
mount -t overlay -o lowerdir=/mnt/lower:/mnt/upper overlay /mnt/root
exec python3 -c 'import os, time
os.chroot(\"/mnt/root\")
print(\"ready\", flush=True)
time.sleep(1000)'
";
        let setup = Setup::new(&["--mount"]).env("server", server);
        let other = Container::start("");
        let container = setup.start(script).unwrap();
        let pid = fs::read_to_string(format!("/proc/{}/root/server", container.pid())).unwrap();
        let server = Pid::from_raw(pid.trim().parse().unwrap());
        kill(server, SIGUSR1).unwrap();
        fs::write(other.path("x"), "").unwrap();
        let start = Instant::now();
        let (swept, ended) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", other.place())], "{ended:?}");
        assert!(
            ended.stderr.contains("did not answer for 5 seconds"),
            "{ended:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(20));
        // Only the end of the server ends what waits for it.
        kill(server, SIGKILL).unwrap();
    });
}

/// A system call that reads the directory into memory of the server holds the lock of the directory. Whoever wants to
/// write waits for it, and so does everybody after that, in a sleep that not even SIGKILL ends.
#[test]
fn a_container_that_locks_its_directory_delays_a_sweep_for_some_seconds_only() {
    in_private_system(SHM, || {
        if !is_root() || !has_fuse() {
            return;
        }
        allow_fuse();
        let Some(server) = fuse_server() else { return };
        let Some(_) = python("", &[]) else { return };
        let attack = r#"
import ctypes, mmap, os, signal, threading, time
GETDENTS64 = {"x86_64": 217, "aarch64": 61}[os.uname().machine]
file = os.open("/mnt/served/torn", os.O_RDWR)
page = mmap.mmap(file, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
directory = os.open("/dev/shm", os.O_RDONLY)
os.kill(int(os.environ["pid"]), signal.SIGUSR1)
read = lambda: ctypes.CDLL(None).syscall(GETDENTS64, directory, ctypes.c_void_p(address), 4096)
threading.Thread(target=read, daemon=True).start()
time.sleep(0.5)
threading.Thread(target=os.mkdir, args=("/dev/shm/new",), daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
time.sleep(1000)
"#;
        let script = "
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
echo >/dev/shm/x
mount -t tmpfs tmpfs /mnt
mkdir /mnt/served
mkfifo /mnt/ready
\"$server\" /mnt/served >/mnt/ready &
export pid=$!
read line </mnt/ready
test \"$line\" = mounted
exec python3 -c \"$attack\"
";
        let setup = Setup::new(&["--user", "--map-root-user", "--mount", "--pid", "--fork"]);
        let setup = setup.user(NOBODY).env("server", server);
        let setup = setup.env("attack", attack);
        let Some(container) = setup.start(script) else {
            return;
        };
        // One comes before the container in the list, and one after it, from the same child.
        let before = Container::start("echo >/dev/shm/x\n");
        let Some(after) = Container::start_mapped("0 100000 1000", "echo >/dev/shm/x\n") else {
            return;
        };
        for args in [
            &["ls", "--everywhere"][..],
            &["unlink", "--everywhere", "-v", "--unused"],
        ] {
            let start = Instant::now();
            let ended = finish(spawn(&mut shmtool(args)));
            for other in [&before, &after] {
                let has_row = lines(&ended)
                    .into_iter()
                    .any(|line| line.split_whitespace().any(|word| word == other.place()));
                assert!(ended.status.success() && has_row, "{ended:?}");
            }
            let skipped = ": skipped: it did not answer for 5 seconds\n";
            assert!(ended.stderr.contains(skipped), "{ended:?}");
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        // What waits in such a container can be interrupted.
        let target = container.target();
        let mut waiting = spawn(&mut shmtool([
            "write-int",
            "--target",
            &target,
            "new-one",
            "1",
        ]));
        sleep(Duration::from_millis(300));
        waiting.kill().unwrap();
        let start = Instant::now();
        waiting.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}
