//! `--summary`: where the shared memory of the machine is.
//!
//! `Shmem` is that of the whole machine, so these tests look at all of it, but change only their own memory. Others use
//! the machine meanwhile, so a test that compares two measurements tries up to five times.

use crate::common::*;
use crate::{json, table};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Allocates memory of the kind that each line names, with the size in bytes, and frees it at the next line.
const ALLOCATE: &str = r#"
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def write(path, size):
    with open(path, "wb") as file:
        file.write(b"x" * size)
def segment(size):
    libc.shmat.restype = ctypes.c_void_p
    number = libc.shmget(0, ctypes.c_size_t(size), 0o600)
    address = ctypes.c_void_p(libc.shmat(number, None, 0))
    # It is gone when the last process that has it ends.
    call("shmctl", number, 0, None)
    ctypes.memset(address, 1, size)
    return lambda: libc.shmdt(address)
def named(size):
    write("/dev/shm/named", size)
    return lambda: os.unlink("/dev/shm/named")
def semaphores(size):
    write("/dev/shm/sem.test", size)
    return lambda: os.unlink("/dev/shm/sem.test")
def directories(size):
    write("/dev/shm/directory/file", size)
    return lambda: os.unlink("/dev/shm/directory/file")
def unlinked(size):
    file = open("/dev/shm/gone", "wb", buffering=0)
    os.unlink("/dev/shm/gone")
    file.write(b"x" * size)
    return file.close
def memfds(size):
    file = open(os.memfd_create("test"), "wb", buffering=0)
    file.write(b"x" * size)
    return file.close
def anonymous(size):
    memory = mmap.mmap(-1, size)
    memory.write(b"x" * size)
    return memory.close
def system_v(size):
    call("unshare", 0x08000000) if "ipc" in sys.argv else None
    return segment(size)
def other_tmpfs(size):
    write(sys.argv[1] + "/file", size)
    return lambda: os.unlink(sys.argv[1] + "/file")
def other_containers(size):
    if not os.path.exists("/dev/shm/container"):
        call("unshare", 0x00020000)
        call("mount", b"none", b"/", None, 0x44000, None)
        call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=128m")
        write("/dev/shm/container", 0)
    write("/dev/shm/file", size)
    return lambda: os.unlink("/dev/shm/file")
print("ready", flush=True)
for line in sys.stdin:
    kind, size = line.split()
    free = globals()[kind](int(size))
    print("allocated", flush=True)
    sys.stdin.readline()
    free()
    print("freed", flush=True)
"#;

/// Starts the script with these arguments.
fn start_allocator(args: &[&str]) -> Option<Peer> {
    let mut peer = Peer::start(&mut python(ALLOCATE, args)?);
    assert_eq!(peer.line(), "ready");
    Some(peer)
}

/// Others may allocate and free this much between two measurements.
const TOLERANCE: i64 = 1 << 20;

const KINDS: [&str; 11] = [
    "named",
    "semaphores",
    "directories",
    "unlinked",
    "memfds",
    "anonymous",
    "driver_buffers",
    "system_v",
    "other_containers",
    "other_tmpfs",
    "devtmpfs",
];

/// The bytes of each kind, and the difference at the end.
fn measure() -> [i64; 12] {
    let summary = json(&["--summary"]);
    let mut bytes = [0; 12];
    for (number, kind) in bytes.iter_mut().zip(KINDS) {
        *number = summary["kinds"][kind]["bytes"].as_i64().unwrap_or(0);
    }
    bytes[11] = summary["difference"].as_i64().unwrap();
    assert_eq!(
        summary["shmem"].as_i64(),
        Some(bytes.iter().sum()),
        "{summary:#}"
    );
    bytes
}

/// Checks that memory of this kind moves its row, and no other, when it is allocated and when it is freed.
fn check_row(allocator: &mut Peer, kind: &str, size: i64) {
    let row = KINDS.iter().position(|one| *one == kind).unwrap();
    let moves = |before: [i64; 12], after: [i64; 12], size: i64| {
        let mut expected = [0; 12];
        expected[row] = size;
        (0..12).all(|one| (after[one] - before[one] - expected[one]).abs() <= TOLERANCE)
    };
    let mut seen = Vec::new();
    for _ in 0..5 {
        let before = measure();
        assert_eq!(allocator.ask(&format!("{kind} {size}")), "allocated");
        let allocated = measure();
        assert_eq!(allocator.ask("free"), "freed");
        let after = measure();
        if moves(before, allocated, size) && moves(allocated, after, -size) {
            return;
        }
        seen.push([before, allocated, after]);
        sleep(Duration::from_millis(200));
    }
    panic!("{kind}: {seen:?}");
}

/// Waits until no other test of this file allocates much.
fn lock() -> Flock<fs::File> {
    let file = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    Flock::lock(file, FlockArg::LockExclusive).unwrap()
}

fn check_all_rows(size: i64) {
    // Without root's rights, the size of a file that is only mapped is unknown.
    if !is_root() {
        return;
    }
    let _lock = lock();
    fs::create_dir("/dev/shm/directory").unwrap();
    let mounted = tempfile::tempdir().unwrap();
    mount_tmpfs(mounted.path().as_os_str(), "size=128m");
    let unlimited = tempfile::tempdir().unwrap();
    mount_tmpfs(unlimited.path().as_os_str(), "size=0");
    let mounted = mounted.path().to_str().unwrap();
    let Some(mut allocator) = start_allocator(&[mounted]) else {
        return;
    };
    for kind in KINDS {
        if kind != "driver_buffers" && kind != "devtmpfs" {
            check_row(&mut allocator, kind, size);
        }
    }
    let mut allocator = start_allocator(&[unlimited.path().to_str().unwrap(), "ipc"]).unwrap();
    for kind in ["other_tmpfs", "system_v"] {
        check_row(&mut allocator, kind, size);
    }
}

/// Mounts a file system. Only root may do that in the private mount namespace of a test.
fn mount_tmpfs(path: &OsStr, options: &str) {
    let (tmpfs, flags) = (Some("tmpfs"), MsFlags::empty());
    mount(tmpfs, path, tmpfs, flags, Some(options)).unwrap();
}

#[test]
fn memory_moves_only_the_row_of_its_kind() {
    in_private_shm("size=128m", || check_all_rows(8 << 20));
}

#[test]
#[ignore = "allocates 50 MB of each kind"]
fn fifty_megabytes_move_only_the_row_of_their_kind() {
    in_private_shm("size=128m", || check_all_rows(50_000_000 / 4096 * 4096));
}

#[test]
fn the_rows_add_up_to_shmem() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        fs::write("/dev/shm/sem.x", [1; 32]).unwrap();
        let rows = table(&["--summary", "-b"]);
        assert_eq!(rows[0], ["KIND", "COUNT", "SIZE", "NOTE"]);
        assert_eq!(rows[1], ["named", "objects", "1", "8192", "/dev/shm"]);
        assert_eq!(rows[2], ["semaphores", "1", "4096", "/dev/shm"]);
        assert_eq!(rows.len(), KINDS.len() + 3);
        let size_after = |words: usize, row: &[String]| row[words].parse::<i64>().unwrap();
        let sum: i64 = rows[1..]
            .iter()
            .map(|row| match row[0].as_str() {
                "named" | "driver" | "other" | "System" => size_after(3, row),
                "Shmem" => 0,
                _ => size_after(2, row),
            })
            .sum();
        let shmem = rows.last().unwrap();
        assert_eq!(shmem[0], "Shmem");
        assert_eq!(sum, size_after(2, shmem), "{rows:?}");
        let without_header = table(&["--summary", "--no-header"]);
        assert_eq!(
            without_header[0],
            ["named", "objects", "1", "8KiB", "/dev/shm"]
        );
    });
}

#[test]
fn json_has_all_kinds_in_bytes() {
    in_private_shm("size=4m", || {
        fs::create_dir("/dev/shm/directory").unwrap();
        fs::write("/dev/shm/directory/file", [1; 5000]).unwrap();
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        fs::hard_link("/dev/shm/x", "/dev/shm/y").unwrap();
        let summary = json(&["--summary"]);
        let kinds = summary["kinds"].as_object().unwrap();
        assert_eq!(kinds.len(), KINDS.len());
        for kind in KINDS {
            let members = &kinds[kind];
            assert_eq!(
                members["count"].is_u64(),
                kind != "unlinked",
                "{kind}: {members}"
            );
            assert!(
                members["bytes"].is_u64() && members["partial"].is_boolean(),
                "{members}"
            );
        }
        for (kind, count, bytes) in [("named", 2, 8192), ("directories", 1, 8192)] {
            assert_eq!(
                (&kinds[kind]["count"], &kinds[kind]["bytes"]),
                (&Value::from(count), &Value::from(bytes)),
                "{kind}"
            );
        }
        assert_eq!(kinds["unlinked"]["bytes"], 0);
        // The private /dev/shm covers another one.
        let places = kinds["other_containers"]["file_systems"]
            .as_array()
            .unwrap();
        for place in places {
            assert_eq!(place["mount_point"], "/dev/shm");
            assert_eq!(place["place"], format!("pid:{}", place["pid"]));
            assert!(place["bytes"].is_u64() && place["device"].is_string());
        }
        assert!(summary["uninspected_processes"].is_u64());
        assert!(summary["uncounted_ipc_namespaces"].is_u64());
        assert!(summary["container"].is_boolean());
    });
}

/// The entry of a file system in the JSON.
fn file_system(summary: &Value, kind: &str, mount_point: &str) -> Value {
    let list = summary["kinds"][kind]["file_systems"].as_array().unwrap();
    let mut found = list.iter().filter(|one| one["mount_point"] == mount_point);
    found.next().cloned().unwrap_or_default()
}

#[test]
fn mount_points_are_shown_without_control_characters() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let _lock = lock();
        let directory = tempfile::tempdir().unwrap();
        let hostile = directory.path().join("a b\n\u{1b}[31m\\040");
        let bytes = directory.path().join(OsStr::from_bytes(b"\xff"));
        for path in [&hostile, &bytes] {
            fs::create_dir(path).unwrap();
            mount_tmpfs(path.as_os_str(), "size=64m");
            fs::write(path.join("file"), vec![1; 16 << 20]).unwrap();
        }
        let shown = run(&mut shmtool(["ls", "--summary"]));
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(!text.contains('\u{1b}'), "{text}");
        let summary = json(&["--summary"]);
        // Only the largest are shown.
        if summary["kinds"]["other_tmpfs"]["file_systems"][3]["bytes"].as_u64() < Some(16 << 20) {
            let shown = [r"/a b\n\u{1b}[31m\\040 16MiB", r"/\xff 16MiB"];
            assert!(shown.iter().all(|one| text.contains(one)), "{text}");
        }
        let found = file_system(&summary, "other_tmpfs", hostile.to_str().unwrap());
        assert_eq!(found["bytes"], 16 << 20);
        let found = file_system(&summary, "other_tmpfs", &bytes.to_string_lossy());
        assert_eq!(
            found["mount_point_bytes"].as_array().unwrap().last(),
            Some(&Value::from(255))
        );
        // A file system that another one hides is still measured.
        mount_tmpfs(hostile.as_os_str(), "size=64m");
        let summary = json(&["--summary"]);
        let list = summary["kinds"]["other_tmpfs"]["file_systems"]
            .as_array()
            .unwrap();
        let covered = |one: &&Value| {
            one["mount_point"] == hostile.to_str().unwrap() && one["covered"] == true
        };
        let covered = list.iter().find(covered).expect("it is listed");
        assert_eq!(covered["bytes"], 16 << 20);
    });
}

#[test]
fn a_part_of_a_file_system_as_dev_shm_does_not_count_the_rest_as_unlinked() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        mount_tmpfs(directory.path().as_os_str(), "size=64m");
        let part = directory.path().join("part");
        fs::create_dir(&part).unwrap();
        fs::write(directory.path().join("rest"), vec![1; 1 << 20]).unwrap();
        fs::write(part.join("x"), vec![1; 8192]).unwrap();
        let none = None::<&str>;
        mount(Some(&part), "/dev/shm", none, MsFlags::MS_BIND, none).unwrap();
        let summary = json(&["--summary"]);
        assert_eq!(summary["kinds"]["named"]["bytes"], 8192);
        assert_eq!(summary["kinds"]["unlinked"]["bytes"], Value::Null);
        let rest = file_system(&summary, "other_tmpfs", directory.path().to_str().unwrap());
        assert_eq!(rest["bytes"], 1 << 20);
    });
}

#[test]
fn without_ustat_mounts_of_our_own_are_measured_by_path() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        mount_tmpfs(directory.path().as_os_str(), "size=64m");
        fs::write(directory.path().join("file"), vec![1; 1 << 20]).unwrap();
        for fault in ["ustat:error=ENOSYS", "ustat,openat2:error=EPERM"] {
            let inject = format!("inject={fault}");
            let Some(mut ls) = strace(&["-e", &inject], ["ls", "--summary", "-J"]) else {
                return;
            };
            let shown = run(&mut ls);
            let summary = serde_json::from_slice(&shown.stdout).expect(&shown.stderr);
            let path = directory.path().to_str().unwrap();
            let found = file_system(&summary, "other_tmpfs", path);
            assert_eq!(found["bytes"], 1 << 20, "{fault}");
        }
    });
}

#[test]
fn other_users_see_less_and_are_told_so() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        fs::write("/dev/shm/x", [1; 5000]).unwrap();
        let shown = run(as_nobody(&mut shmtool(["ls", "--summary", "-J"])));
        assert!(shown.status.success(), "{shown:?}");
        let summary: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(summary["kinds"]["named"]["bytes"], 8192);
        assert_eq!(summary["kinds"]["memfds"]["partial"], true);
        assert!(
            shown.stderr.contains("could not be inspected ("),
            "{shown:?}"
        );
    });
}

#[test]
fn in_a_container_a_message_says_that_shmem_is_that_of_the_machine() {
    in_private_shm("size=4m", || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]);
        let works = unshare.arg("true").output();
        if !works.is_ok_and(|ended| ended.status.success()) {
            return skipped("no PID namespace");
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]);
        let shown = run(unshare
            .arg(env!("CARGO_BIN_EXE_shmtool"))
            .args(["ls", "--summary", "-J"]));
        assert!(
            shown.stderr.contains("Shmem is that of the whole machine"),
            "{shown:?}"
        );
        let summary: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(summary["container"], true);
    });
}

#[test]
fn a_file_server_that_never_answers_does_not_delay_the_summary() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        // Nobody reads the requests from the descriptor.
        const STUCK: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
call("unshare", 0x00020000)
call("mount", b"none", b"/", None, 0x44000, None)
call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=8m")
fuse = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse
if libc.mount(b"stuck", b"/dev", b"fuse", 0, options) == 0:
    inside = os.open("/dev", 0o10000000)
    print("stuck", flush=True)
sys.stdin.read()
"#;
        let Some(mut python) = python(STUCK, &[]) else {
            return;
        };
        let mut peer = Peer::start(&mut python);
        if !fs::exists("/dev/fuse").unwrap() || peer.line() != "stuck" {
            return skipped("no FUSE");
        }
        let start = Instant::now();
        measure();
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn other_options_are_usage_errors() {
    for args in [
        &["x"][..],
        &["-p"],
        &["-a"],
        &["-q"],
        &["-o", "name"],
        &["--sort", "name"],
        &["-r"],
        &["-n"],
        &["--color", "never"],
        &["--unlinked"],
        &["--in-use"],
        &["--unused"],
        &["--glob", "x"],
        &["--owner", "0"],
        &["--older-than", "1h"],
        &["--larger-than", "1"],
        &["--pid", "1"],
    ] {
        run(shmtool(["ls", "--summary"]).args(args)).fails(2);
    }
    run(&mut shmtool(["ls", "--summary", "--glob", "x"]))
        .fails(2)
        .says("--summary cannot be used with --glob PATTERN");
    output_fails(&mut shmtool(["ls", "--summary"]));
}
