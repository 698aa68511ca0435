//! Finding every `/dev/shm` on the machine: one for each container, by the mount namespaces of all processes
//! (`mount_namespaces(7)`).

use super::crew::{self, End, Job};
use super::procfs::{Process, other_threads, pids, read_file};
use super::rights::Rights;
use super::socket::Message;
use super::target::{Target, TargetError};
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Processes that see the same files with the same rights: they have the same mount namespace, user namespace and root
/// directory.
#[derive(Debug)]
pub struct Group {
    /// The process IDs, the most important process first: the one that is 1 in its own PID namespace, or the oldest.
    pub pids: Vec<i32>,
    /// Whether the first process is 1 in its own PID namespace.
    pub has_init: bool,
}

/// All groups of processes in other mount namespaces than ours.
#[derive(Debug, Default)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<Group>,
    /// The IDs of the processes that may not be inspected.
    pub denied: Vec<i32>,
}

impl Groups {
    /// Looks at every process that `/proc` shows.
    ///
    /// # Errors
    ///
    /// Fails if `/proc` cannot be read.
    pub fn find() -> io::Result<Groups> {
        let own = FileStatus::at(AT_FDCWD, c"/proc/self/ns/mnt", 0)?.inode;
        let mut found = Groups::default();
        let mut by_view: HashMap<View, Vec<i32>> = HashMap::new();
        for pid in pids()? {
            match View::of(pid, own) {
                Ok(Some(view)) => by_view.entry(view).or_default().push(pid),
                // It is in our own mount namespace, or has ended.
                Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => {}
                Err(_) => found.denied.push(pid),
            }
        }
        let mut buffer = Vec::new();
        let groups = by_view.into_values();
        found.groups = groups.map(|pids| Group::new(pids, &mut buffer)).collect();
        // The order must not depend on a hash.
        found.groups.sort_unstable_by_key(|group| group.pids[0]);
        Ok(found)
    }
}

/// What decides which `/dev/shm` a process sees, and with which rights.
#[derive(Debug, PartialEq, Eq, Hash)]
struct View {
    mount_namespace: u64,
    user_namespace: u64,
    root: (u64, u64, u64),
}

impl View {
    /// Returns `None` if the process is in the mount namespace `own`.
    fn of(pid: i32, own: u64) -> nix::Result<Option<View>> {
        let status = |file: &str| {
            let path = CString::new(format!("/proc/{pid}/{file}")).map_err(|_| Errno::EINVAL)?;
            FileStatus::at(AT_FDCWD, &path, 0)
        };
        let mount_namespace = match status("ns/mnt") {
            // The first thread may have ended while others go on.
            Err(Errno::ENOENT) => return View::of_thread(pid, own),
            result => result?.inode,
        };
        if mount_namespace == own {
            return Ok(None);
        }
        let root = status("root")?;
        Ok(Some(View {
            mount_namespace,
            user_namespace: status("ns/user")?.inode,
            root: (root.device, root.inode, root.mount_id),
        }))
    }

    /// Returns the view of another thread of a process whose first thread has ended.
    fn of_thread(pid: i32, own: u64) -> nix::Result<Option<View>> {
        match other_threads(pid).unwrap_or_default().first() {
            Some(&thread) => View::of(thread, own),
            None => Ok(None),
        }
    }
}

impl Group {
    fn new(mut pids: Vec<i32>, buffer: &mut Vec<u8>) -> Group {
        // Usually the first process of a container has the lowest ID.
        pids.sort_unstable();
        let init = pids.iter().position(|pid| is_init(*pid, buffer));
        let first = init.or_else(|| {
            let started = |index: &usize| start_time(pids[*index], buffer).unwrap_or(u64::MAX);
            (0..pids.len()).min_by_key(started)
        });
        pids[..=first.unwrap_or(0)].rotate_right(1);
        Group {
            pids,
            has_init: init.is_some(),
        }
    }

    /// Opens the most important process that still exists.
    ///
    /// # Errors
    ///
    /// Those of [`Target::open`].
    pub fn open(&self) -> Result<(i32, Target), TargetError> {
        let mut result = Err(TargetError::NoProcess);
        for &pid in &self.pids {
            result = Target::open(pid).map(|target| (pid, target));
            if !matches!(result, Err(TargetError::NoProcess)) {
                break;
            }
        }
        result
    }
}

/// Returns the inode number of the mount namespace of a process, if it may be inspected.
pub fn mount_namespace(pid: i32) -> Option<u64> {
    Process::open(pid).ok()?.namespace(c"ns/mnt").ok()
}

/// Returns whether a process is 1 in its own PID namespace (`NSpid`, `proc_pid_status(5)`).
fn is_init(pid: i32, buffer: &mut Vec<u8>) -> bool {
    if read_file(pid, "status", buffer).is_err() {
        return false;
    }
    let mut lines = buffer.split(|&byte| byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"NSpid:"));
    ids.is_some_and(|ids| ids.ends_with(b"\t1"))
}

/// Returns when a process started, in clock ticks since the machine started (field 22, `proc_pid_stat(5)`).
fn start_time(pid: i32, stat: &mut Vec<u8>) -> Option<u64> {
    read_file(pid, "stat", stat).ok()?;
    // The command before it is in parentheses, and may contain any bytes.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat[end..].split(|&byte| byte == b' ').nth(20)?;
    str::from_utf8(field).ok()?.parse().ok()
}

/// A `/dev/shm` that was looked for.
#[derive(Debug)]
pub struct Found {
    /// The directory, opened with `O_PATH`, or why there is none.
    pub directory: Result<OwnedFd, TargetError>,
    /// The rights of root of the container, with which the directory must be used.
    pub rights: Rc<Rights>,
}

/// Finds the `/dev/shm` of each target in a child. With `to_read`, it must be possible to list the directory.
///
/// Targets in our own user namespace share children: root of each has the same rights. Every other one gets a child of
/// its own, which gives up our rights for good.
///
/// The targets are taken one after the other, so that few descriptors are open at a time.
pub fn find_directories(targets: impl Iterator<Item = Target>, to_read: bool) -> Vec<Found> {
    let mut rights = Vec::new();
    let mut results = HashMap::new();
    let jobs = targets.map(|target| {
        rights.push(Rc::clone(&target.rights));
        Job {
            kept: target.descriptors(),
            may_share: target.rights.are_ours(),
            work: Box::new(move |channel| {
                let found = target.find_directory(to_read);
                channel.die_with_parent()?;
                let (result, directory) = match &found {
                    Ok(directory) => (Ok(()), Some(directory.as_fd())),
                    Err(error) => (Err(*error), None),
                };
                let bytes = serde_json::to_vec(&result).map_err(|_| Errno::EINVAL)?;
                channel.send(&bytes, directory)
            }),
        }
    });
    let receive = |index, message: Message| -> Result<(), std::convert::Infallible> {
        let result: Result<(), TargetError> = serde_json::from_slice(message.bytes)
            .unwrap_or(Err(TargetError::Os(Errno::EINVAL as i32)));
        let directory = result.and_then(|()| {
            let no_descriptor = TargetError::Os(Errno::EMFILE as i32);
            message.descriptor.ok_or(no_descriptor)
        });
        results.insert(index, directory);
        Ok(())
    };
    let Ok(ends) = crew::run(jobs, receive);
    let found = rights.into_iter().zip(ends).enumerate();
    found
        .map(|(index, (rights, end))| Found {
            directory: results.remove(&index).unwrap_or(Err(match end {
                End::Stuck => TargetError::Stuck,
                End::Failed(errno) => errno.into(),
                End::Done => TargetError::Os(Errno::EINVAL as i32),
            })),
            rights,
        })
        .collect()
}

/// Raises the limit of open descriptors as far as this process may (`RLIMIT_NOFILE`, `getrlimit(2)`). Each place needs
/// some.
pub fn allow_more_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // If it fails, a place that cannot be opened is reported.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
