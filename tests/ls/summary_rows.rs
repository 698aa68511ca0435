//! `--summary`: memory of each kind moves the row of that kind, and no other.
//!
//! `Shmem` is that of the whole machine, so these tests look at all of it, but change only their own memory. Others use
//! the machine meanwhile, so a test that compares two measurements tries up to five times.

use crate::common::*;
use crate::json;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use std::ffi::OsStr;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

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

pub const KINDS: [&str; 11] = [
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
pub fn measure() -> [i64; 12] {
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
pub fn lock() -> Flock<fs::File> {
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
pub fn mount_tmpfs(path: &OsStr, options: &str) {
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
