//! System V shared memory segments (`shmget(2)`), and the IPC namespaces that they belong to (`ipc_namespaces(7)`).
//!
//! A segment that no process has attached appears only in `/proc/sysvipc/shm`, and each IPC namespace has a table of
//! its own.

use super::crew::{self, Channel, End, Job};
use super::procfs::Process;
use super::rights::{IdMap, Rights, RightsError};
use super::socket::Message;
use crate::sys::error::errno;
use crate::sys::memory::mapping::page_size;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The table of the segments in the IPC namespace of the process that reads it, `proc_sysvipc(5)`.
const TABLE: &str = "/proc/sysvipc/shm";

/// A System V segment as the table of its IPC namespace describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// multiplies their memory by the number of pages in a huge page once too often. The other segments never have more
    /// than their size in memory, rounded up to a transparent huge page.
    fn is_huge(&self) -> bool {
        // One page of page table entries of 8 bytes maps this much.
        let huge_page = (page_size() * (page_size() / 8)) as u64;
        self.resident
            > self
                .size
                .checked_next_multiple_of(huge_page)
                .unwrap_or(self.size)
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

/// Reads the table of our own IPC namespace, without segments that consist of huge pages. It is empty if the kernel has
/// no System V IPC.
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
    let mut segments: Vec<_> = table.lines().filter_map(Segment::parse).collect();
    segments.retain(|segment| !segment.is_huge());
    segments
}

/// The IPC namespaces of processes, by their inode numbers.
#[derive(Debug)]
pub struct IpcNamespaces {
    /// Our own. 0 if the kernel has none.
    pub own: u64,
    /// The others, each with a process in it, or why they cannot be opened. They stay when their processes end.
    others: BTreeMap<u64, (i32, nix::Result<OwnedFd>)>,
}

impl IpcNamespaces {
    /// Starts with our own namespace only.
    pub fn new() -> IpcNamespaces {
        let own = FileStatus::at(AT_FDCWD, c"/proc/self/ns/ipc", 0);
        IpcNamespaces {
            own: own.map_or(0, |own| own.inode),
            others: BTreeMap::new(),
        }
    }

    /// Adds the namespace of a process. There is none to add if the process has ended or may not be inspected.
    pub fn add(&mut self, process: &Process) {
        let Ok(number) = process.namespace(c"ns/ipc") else {
            return;
        };
        if number == self.own || self.others.contains_key(&number) {
            return;
        }
        match process.open_file(c"ns/ipc") {
            // It has ended meanwhile. Other processes may be in the same namespace.
            Err(Errno::ENOENT | Errno::ESRCH) => {}
            namespace => drop(self.others.insert(number, (process.pid, namespace))),
        }
    }

    /// The number of each other namespace, and the ID of a process in it.
    pub fn processes(&self) -> impl Iterator<Item = (u64, i32)> {
        self.others.iter().map(|(number, (pid, _))| (*number, *pid))
    }

    /// Reads the tables of the other namespaces, each in a child that enters the namespace. User and group IDs are those
    /// of our own user namespace.
    ///
    /// The error is `EPERM` if we may not enter the namespace, and `ETIMEDOUT` if the child takes too long.
    pub fn segments(&self) -> Vec<(u64, nix::Result<Vec<Segment>>)> {
        let numbers = self.others.keys();
        let mut tables: Vec<_> = numbers.map(|&number| (number, Ok(Vec::new()))).collect();
        let jobs = self.others.values().map(|(_, namespace)| Job {
            kept: namespace.iter().map(AsRawFd::as_raw_fd).collect(),
            may_share: false,
            work: Box::new(move |channel: &Channel| {
                let namespace = namespace.as_ref().map_err(|errno| *errno);
                match namespace.and_then(|namespace| segments_in(namespace, channel)) {
                    Ok(segments) => segments
                        .into_iter()
                        .try_for_each(|segment| channel.send_value(&Answer::Ok(segment))),
                    Err(errno) => channel.send_value(&Answer::Err(errno as i32)),
                }
            }),
        });
        let receive = |job: usize, message: Message| {
            let table = &mut tables[job].1;
            match message.value::<Answer>() {
                Some(Ok(segment)) => table.iter_mut().for_each(|table| table.push(segment)),
                Some(Err(errno)) => *table = Err(Errno::from_raw(errno)),
                None => {}
            }
            Ok::<(), Infallible>(())
        };
        let Ok(ends) = crew::run(jobs, receive);
        for ((_, table), end) in tables.iter_mut().zip(ends) {
            match end {
                End::Done => {}
                End::Stuck => *table = Err(Errno::ETIMEDOUT),
                End::Failed(errno) => *table = Err(errno),
            }
        }
        tables
    }
}

/// What a child sends: a segment, or the number of an error.
type Answer = Result<Segment, i32>;

/// Enters a namespace and reads its table, which is that of the namespace of the process that opens it.
fn segments_in(namespace: &OwnedFd, channel: &Channel) -> nix::Result<Vec<Segment>> {
    match setns(namespace, CloneFlags::CLONE_NEWIPC) {
        // We are not root, but may become root of the user namespace that owns this one.
        Err(Errno::EPERM) => {}
        result => {
            result?;
            return own_segments().map_err(|error| errno(&error));
        }
    }
    let own: OwnedFd = File::open("/proc/self/ns/user")
        .map_err(|error| errno(&error))?
        .into();
    let rights = Rights::of(namespace.as_fd(), own)?;
    // The table will have IDs of that user namespace. The kernel shows which IDs of its parent they stand for, and the
    // parent must be our own.
    if rights.depth() != 1 {
        return Err(Errno::EPERM);
    }
    rights.assume().map_err(|error| match error {
        RightsError::NothingMapped => Errno::EPERM,
        RightsError::Os(errno) => errno,
    })?;
    channel.die_with_parent()?;
    setns(namespace, CloneFlags::CLONE_NEWIPC)?;
    let mut segments = own_segments().map_err(|error| errno(&error))?;
    let (users, groups) = (IdMap::own_users()?, IdMap::own_groups()?);
    for segment in &mut segments {
        segment.uid = users.outside(segment.uid).unwrap_or(segment.uid);
        segment.gid = groups.outside(segment.gid).unwrap_or(segment.gid);
    }
    Ok(segments)
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
        let line =
            |size: u64, resident: u64| format!("0 1 600 {size} 1 1 0 0 0 0 0 0 0 0 {resident} 0");
        let is_huge = |size, resident| Segment::parse(&line(size, resident)).unwrap().is_huge();
        let page = page_size() as u64;
        let huge_page = page * page / 8;
        assert!(!is_huge(5000, 2 * page) && !is_huge(5000, huge_page) && !is_huge(0, 0));
        assert!(is_huge(huge_page, huge_page * (huge_page / page)));
        assert!(!is_huge(u64::MAX, u64::MAX));
        let lines = [
            line(8 << 20, 4 << 20),
            line(100, 4096),
            line(huge_page, huge_page * 512),
        ];
        let table = parse_table(&format!("{HEADER}\n{}\n", lines.join("\n")));
        let resident: Vec<_> = table.iter().map(|segment| segment.resident).collect();
        assert_eq!(resident, [4 << 20, 4096]);
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
            let process = Process::open(child.id() as i32).unwrap();
            let namespace = process.namespace(c"ns/ipc").unwrap();
            let mut namespaces = IpcNamespaces::new();
            assert_ne!(namespace, namespaces.own);
            namespaces.add(&Process::open(std::process::id() as i32).unwrap());
            namespaces.add(&process);
            namespaces.add(&process);
            assert!(namespaces.others.keys().eq([&namespace]));
            let not_a_namespace = File::open("/dev/null").unwrap();
            namespaces
                .others
                .insert(u64::MAX - 1, (1, Ok(not_a_namespace.into())));
            namespaces.others.insert(u64::MAX, (1, Err(Errno::EMFILE)));
            let tables = namespaces.segments();
            let segments = tables[0].1.as_ref().unwrap();
            assert_eq!(segments.len(), 1);
            assert_eq!((segments[0].size, segments[0].attached), (4096, 0));
            assert_eq!(tables[1].1, Err(Errno::EINVAL));
            assert_eq!(tables[2].1, Err(Errno::EMFILE));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
