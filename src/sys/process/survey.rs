//! One look at all processes for the memory that no path leads to: memfds, shared anonymous mappings, and what other
//! mount and IPC namespaces contain (`proc(5)`, `namespaces(7)`).

use super::files::FileSearch;
use super::ipc::{IpcNamespaces, Segment, own_segments};
use super::places::allow_more_descriptors;
use super::procfs::{Process, is_gone, pids};
use crate::sys::memory::nameless::{Nameless, nameless_device};
use crate::sys::mounts::{Mount, memory_mounts};
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs::File;
use std::io;

/// The mounts of a mount namespace.
#[derive(Debug)]
pub struct Namespace {
    /// A process in it.
    pub pid: i32,
    /// Its mounts of file systems in memory.
    pub mounts: Vec<Mount>,
}

/// What the processes have.
#[derive(Debug, Default)]
pub struct Survey {
    /// The device number of the kernel's own tmpfs. None if it is unknown; then there are no files.
    pub device: Option<u64>,
    /// The files in it that a process has open or mapped, with the bytes allocated. None if that is unknown. System V
    /// segments are not among them.
    pub files: HashMap<(Nameless, u64), Option<u64>>,
    /// The mounts of our own namespace.
    pub own_mounts: Vec<Mount>,
    /// The other mount namespaces.
    pub namespaces: Vec<Namespace>,
    /// The System V segments of all IPC namespaces.
    pub segments: Vec<Segment>,
    /// The number of IPC namespaces whose segments are not counted, because we may not enter them.
    pub closed_namespaces: usize,
    /// The IDs of the processes that may not be inspected.
    pub denied: Vec<i32>,
    /// Whether /proc does not show all processes of the machine, because this process is in a PID namespace.
    pub is_in_container: bool,
}

/// The inode number of the PID namespace that the kernel starts with (`PROC_PID_INIT_INO`, `<linux/proc_ns.h>`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

impl Survey {
    /// Looks at every process once.
    ///
    /// Processes may be hostile. This opens no path inside another mount namespace, and asks no file server.
    ///
    /// # Errors
    ///
    /// Fails if there is no `/proc`.
    pub fn take() -> io::Result<Survey> {
        // Each IPC namespace needs one.
        allow_more_descriptors();
        let device = nameless_device().ok();
        let own_mounts = memory_mounts(File::open("/proc/self/mountinfo")?)?;
        let mut scan = Scan {
            mounts: own_mounts.iter().map(|mount| mount.id).collect(),
            survey: Survey {
                device,
                own_mounts,
                is_in_container: own_namespace(c"/proc/self/ns/pid")?
                    .is_some_and(|inode| inode != INITIAL_PID_NAMESPACE),
                segments: own_segments()?,
                ..Survey::default()
            },
            search: FileSearch::new(device.as_slice()),
            mount_namespaces: own_namespace(c"/proc/self/ns/mnt")?.into_iter().collect(),
            ipc_namespaces: IpcNamespaces::new(),
        };
        for pid in pids()? {
            match scan.process(pid) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => scan.survey.denied.push(pid),
            }
        }
        let mut survey = scan.survey;
        for (_, segments) in scan.ipc_namespaces.segments() {
            match segments {
                Ok(segments) => survey.segments.extend(segments),
                Err(_) => survey.closed_namespaces += 1,
            }
        }
        Ok(survey)
    }
}

/// Returns the inode number of a namespace of our own, or None if the kernel was built without such namespaces.
fn own_namespace(path: &CStr) -> io::Result<Option<u64>> {
    match FileStatus::at(AT_FDCWD, path, 0) {
        Ok(namespace) => Ok(Some(namespace.inode)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

struct Scan {
    survey: Survey,
    search: FileSearch,
    ipc_namespaces: IpcNamespaces,
    /// The inode numbers of the mount namespaces that were seen.
    mount_namespaces: HashSet<u64>,
    /// The IDs of the mounts that were seen.
    mounts: HashSet<u64>,
}

impl Scan {
    fn process(&mut self, pid: i32) -> io::Result<()> {
        let process = Process::open(pid)?;
        self.mount_namespace(&process);
        self.ipc_namespaces.add(&process);
        if self.survey.device.is_none() {
            return Ok(());
        }
        let files = &mut self.survey.files;
        self.search.run(&process, &mut |file| {
            let kind = Nameless::from_path(&file.path());
            if let Some(kind) = kind.filter(|kind| *kind != Nameless::SystemV) {
                let allocated = files.entry((kind, file.inode)).or_default();
                if allocated.is_none() {
                    *allocated = file.status().map(|status| status.allocated);
                }
            }
        })
    }

    /// Reads the mounts of the process, if they are not those of an earlier process.
    fn mount_namespace(&mut self, process: &Process) {
        // Everybody may read the mounts, but not every namespace has a number that we may know.
        let number = process.namespace(c"ns/mnt");
        if number.is_ok_and(|number| self.mount_namespaces.contains(&number)) {
            return;
        }
        let mounts = process.open_file(c"mountinfo").map(File::from);
        let Ok(Ok(mut mounts)) = mounts.map(memory_mounts) else {
            return;
        };
        // A process that has ended has no mounts.
        if !mounts.is_empty() {
            self.mount_namespaces.extend(number);
        }
        mounts.retain(|mount| self.mounts.insert(mount.id));
        if !mounts.is_empty() {
            let pid = process.pid;
            self.survey.namespaces.push(Namespace { pid, mounts });
        }
    }
}
