//! System V shared memory segments (`shmget(2)`), and the IPC namespaces that they belong to (`ipc_namespaces(7)`).
//!
//! A segment that no process has attached appears only in `/proc/sysvipc/shm`, and each IPC namespace has a table of
//! its own.

use super::child;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, read, write};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The table of the segments in the IPC namespace of the process that reads it, `proc_sysvipc(5)`.
const TABLE: &str = "/proc/sysvipc/shm";

/// A System V segment as the table of its IPC namespace describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The ID of the segment. Different IPC namespaces use the same IDs.
    pub shmid: i32,
    /// The key, or 0 if the segment is private or marked for removal.
    pub key: u32,
    /// The permissions.
    pub mode: u32,
    /// The size in bytes.
    pub size: u64,
    /// How many times the segment is attached.
    pub attached: u64,
    /// The user ID of the owner.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
    /// When a process last attached or detached the segment, in seconds since 1970. 0 if none ever did.
    pub used: i64,
    /// When the segment was created or its owner or permissions last changed, in seconds since 1970.
    pub changed: i64,
    /// The number of bytes in memory.
    pub resident: u64,
    /// The number of bytes that are swapped out.
    pub swapped: u64,
}

impl Segment {
    /// Reads a line of the table. Returns None for the header.
    fn parse(line: &str) -> Option<Segment> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let time = |index: usize| fields.get(index)?.parse::<i64>().ok();
        Some(Segment {
            // The kernel prints the key as a signed number.
            key: fields.first()?.parse::<i32>().ok()?.cast_unsigned(),
            shmid: fields.get(1)?.parse().ok()?,
            mode: u32::from_str_radix(fields.get(2)?, 8).ok()?,
            size: number(3)?,
            attached: number(6)?,
            uid: number(7)?.try_into().ok()?,
            gid: number(8)?.try_into().ok()?,
            used: time(11)?.max(time(12)?),
            changed: time(13)?,
            resident: number(14)?,
            swapped: number(15)?,
        })
    }

    /// Returns whether the segment consists of huge pages (`SHM_HUGETLB`), which are not part of `Shmem`. The kernel
    /// counts each of their bytes 512 times. The other segments never have more than their size in memory, rounded up
    /// to a transparent huge page.
    pub fn is_huge(&self) -> bool {
        const TRANSPARENT_HUGE_PAGE: u64 = 2 << 20;
        let pages = self.size.div_ceil(TRANSPARENT_HUGE_PAGE);
        self.resident > pages.saturating_mul(TRANSPARENT_HUGE_PAGE)
    }

    /// Returns the properties of the segment as those of a file. Its inode number is the shmid. Since nobody notices the
    /// stores to it, the modification time is that of the last attach or detach.
    pub fn status(&self) -> FileStatus {
        const SECOND: i128 = 1_000_000_000;
        FileStatus {
            device: 0,
            inode: u64::from(self.shmid.unsigned_abs()),
            mode: libc::S_IFREG | self.mode & 0o777,
            links: 0,
            uid: self.uid,
            gid: self.gid,
            size: self.size,
            allocated: self.resident.saturating_add(self.swapped),
            modified: i128::from(self.used.max(self.changed)) * SECOND,
            changed: i128::from(self.changed) * SECOND,
            is_mount: false,
            mount_id: 0,
        }
    }
}

/// Reads the table of our own IPC namespace. It is empty if the kernel has no System V IPC.
///
/// # Errors
///
/// Those of `open(2)` and `read(2)`.
pub fn own_segments() -> io::Result<Vec<Segment>> {
    match fs::read_to_string(TABLE) {
        Ok(table) => Ok(parse_table(&table)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse_table(table: &str) -> Vec<Segment> {
    table.lines().filter_map(Segment::parse).collect()
}

/// Returns the inode number of the IPC namespace of a process, given its directory in `/proc`. It identifies the
/// namespace.
///
/// # Errors
///
/// Those of `statx(2)`: `ENOENT` if the process has ended, `EACCES` if it may not be inspected.
pub fn ipc_namespace(process: &str) -> nix::Result<u64> {
    let path = CString::new(format!("{process}/ns/ipc")).map_err(|_| Errno::EINVAL)?;
    Ok(FileStatus::at(AT_FDCWD, &path, 0)?.inode)
}

/// Finds all IPC namespaces of the processes that `/proc` shows, by their inode numbers. The descriptors stay valid when
/// the processes end.
///
/// # Errors
///
/// There is no `/proc`.
pub fn ipc_namespaces() -> io::Result<HashMap<u64, OwnedFd>> {
    let mut namespaces = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let process = format!("/proc/{pid}");
        let is_new =
            ipc_namespace(&process).is_ok_and(|namespace| !namespaces.contains_key(&namespace));
        // A process that has ended meanwhile shares its namespace with others, or the namespace has ended too.
        if is_new
            && let Ok(namespace) = File::open(format!("{process}/ns/ipc"))
            && let Ok(status) = FileStatus::of(&namespace)
        {
            namespaces.insert(status.inode, namespace.into());
        }
    }
    Ok(namespaces)
}

/// How long a child may take to read a table.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Reads the table of another IPC namespace, in a child that enters it. User and group IDs are those of our own user
/// namespace.
///
/// # Errors
///
/// `EPERM` if we may not enter the namespace, `ETIMEDOUT` if the child takes too long, and those of `fork(2)`, `pipe(2)`
/// and `open(2)`.
pub fn segments_of(namespace: BorrowedFd) -> io::Result<Vec<Segment>> {
    let (output, input) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the child only makes system calls. It allocates no memory, which another thread may have locked.
    let child = match unsafe { fork() }? {
        ForkResult::Child => child::exit(match copy_table(namespace, &input) {
            Ok(()) => 0,
            Err(errno) => errno as i32,
        }),
        ForkResult::Parent { child } => child,
    };
    drop(input);
    let table = read_until(&output, Instant::now() + TIME_LIMIT);
    if table.is_err() {
        // The child may not have ended.
        let _ = kill(child, Signal::SIGKILL);
    }
    let status = wait(child)?;
    let table = table?;
    match status {
        WaitStatus::Exited(_, 0) => Ok(parse_table(&String::from_utf8_lossy(&table))),
        WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        // It was killed.
        _ => Err(Errno::ECHILD.into()),
    }
}

/// Enters the namespace and copies its table to the pipe.
fn copy_table(namespace: BorrowedFd, pipe: &OwnedFd) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    setns(namespace, CloneFlags::CLONE_NEWIPC)?;
    let table = open(TABLE, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut buffer = [0; 4096];
    loop {
        let mut rest = match read(&table, &mut buffer)? {
            0 => return Ok(()),
            count => &buffer[..count],
        };
        while !rest.is_empty() {
            rest = &rest[write(pipe, rest)?..];
        }
    }
}

/// Reads a pipe to its end.
fn read_until(pipe: &OwnedFd, deadline: Instant) -> nix::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(Errno::ETIMEDOUT),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        }
        match read(pipe, &mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn wait(child: Pid) -> nix::Result<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    const HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
                          atime      dtime      ctime                   rss                  swap";

    #[test]
    fn a_table_is_parsed() {
        let line = "-559038737      32769  1640  8192 11 12      2  1000  1001     0     0         20         30         10  4096  512";
        let table = parse_table(&format!("{HEADER}\n{line}\n{line} 7\nx\n{}\n", &line[..40]));
        assert_eq!(table.len(), 2);
        let expected = Segment {
            shmid: 32769,
            key: 0xdead_beef,
            mode: 0o1640,
            size: 8192,
            attached: 2,
            uid: 1000,
            gid: 1001,
            used: 30,
            changed: 10,
            resident: 4096,
            swapped: 512,
        };
        assert_eq!(table[0], expected);
        let status = table[0].status();
        assert_eq!((status.mode & 0o7777, status.allocated), (0o640, 4608));
        assert_eq!(status.last_change(), 30_000_000_000);
    }

    #[test]
    fn huge_pages_are_told_by_the_memory_that_they_seem_to_take() {
        let line = |size: u64, resident: u64| {
            let line = format!("0 1 600 {size} 1 1 0 0 0 0 0 0 0 0 {resident} 0");
            Segment::parse(&line).unwrap().is_huge()
        };
        assert!(!line(5000, 8192) && !line(5000, 2 << 20) && !line(0, 0));
        assert!(line(2 << 20, 1 << 30));
    }

    #[test]
    fn the_segments_of_another_namespace_are_read() {
        let script = "ipcmk -M 4096 >&2 && echo ready && read line";
        let mut unshare = Command::new("unshare");
        unshare.args(["--ipc", "sh", "-c", script]);
        let unshare = unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = unshare.stderr(Stdio::null()).spawn() else {
            return;
        };
        let mut ready = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        // Without privileges there is no other namespace.
        if ready == "ready\n" {
            let process = format!("/proc/{}", child.id());
            let namespace = ipc_namespace(&process).unwrap();
            assert_ne!(namespace, ipc_namespace("/proc/self").unwrap());
            let namespaces = ipc_namespaces().unwrap();
            let segments = segments_of(namespaces[&namespace].as_fd()).unwrap();
            assert_eq!(segments.len(), 1);
            assert_eq!((segments[0].size, segments[0].attached), (4096, 0));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        let not_a_namespace = File::open("/dev/null").unwrap();
        let error = segments_of(not_a_namespace.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    }
}
