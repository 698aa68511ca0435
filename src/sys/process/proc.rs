//! Which processes use the files of some file systems.

use super::files::{Access, FileSearch, UsedFile};
use super::identity::Identity;
use super::ipc::IpcNamespaces;
use super::procfs::{Process, pids};
use crate::sys::memory::nameless::Nameless;
use crate::sys::status::FileStatus;
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;

pub use super::files::{DELETED, Rights};
pub use super::procfs::is_gone;

/// How one process uses a file.
#[derive(Debug)]
pub struct Use {
    /// Its id in our PID namespace.
    pub pid: i32,
    /// Its user and command line.
    pub identity: Rc<Identity>,
    /// The rights of its shared mappings, if it has any.
    pub shared: Option<Rights>,
    /// The rights of its private mappings, if it has any. What it stores there goes into a copy of its own.
    pub private: Option<Rights>,
    /// The rights of its descriptors, if it has any.
    pub open: Option<Rights>,
}

/// A file that is used.
#[derive(Debug, Default)]
pub struct Held {
    /// The path of one that has no name any more, with [`DELETED`] added to it; else it was not asked.
    pub path: Vec<u8>,
    /// As far as a mapping of it reaches, in bytes.
    pub extent: u64,
    /// The status of one that has no name any more, if there was a way to ask.
    pub status: Option<FileStatus>,
    /// By whom.
    pub uses: Vec<Use>,
}

/// All files of some file systems that are used.
#[derive(Debug, Default)]
pub struct Holders {
    /// The files, by their device and inode numbers.
    pub held: HashMap<(u64, u64), Held>,
    /// The System V segments, by their IPC namespaces and shmids. Only [`Holders::with_nameless`] finds them.
    pub segments: HashMap<(u64, u64), Held>,
    /// The ids of the processes that may not be inspected.
    pub denied: Vec<i32>,
}

impl Holders {
    /// Finds the users of all files on these devices. Inspects every process once, including this one, which may have
    /// inherited descriptors of objects.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn of(devices: &[u64]) -> io::Result<Holders> {
        Scan::all(devices, None, None)
    }

    /// Like [`Holders::of`], and also finds the users of memory without a name, which the kernel keeps in files on the
    /// device `nameless`. Memfds and shared anonymous mappings are in `held`; [`Nameless`] tells them apart. The IPC
    /// namespaces of all processes are added to `namespaces`.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn with_nameless(
        devices: &[u64],
        nameless: u64,
        namespaces: Option<&mut IpcNamespaces>,
    ) -> io::Result<Holders> {
        let devices = [devices, &[nameless]].concat();
        Scan::all(&devices, Some(nameless), namespaces)
    }

    fn entry(&mut self, key: Key) -> &mut Held {
        match key {
            Key::File(device, inode) => self.held.entry((device, inode)).or_default(),
            Key::Segment(namespace, shmid) => self.segments.entry((namespace, shmid)).or_default(),
        }
    }
}

/// What is used.
enum Key {
    /// A file, by its device and inode number.
    File(u64, u64),
    /// A System V segment, by its IPC namespace and shmid. Its inode number is the shmid, so that segments of different
    /// namespaces have the same one.
    Segment(u64, u64),
}

/// Lists the inode numbers of the files of one file system that one process has open or mapped.
///
/// # Errors
///
/// `ENOENT` or `ESRCH`: `/proc` does not show the process. Any other: it may not be inspected.
pub fn inodes_used_by(pid: i32, device: u64) -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    FileSearch::new(&[device]).run(&Process::open(pid)?, &mut |file| {
        inodes.insert(file.inode);
    })?;
    Ok(inodes)
}

/// A look at every process: there are many, so what is not needed is not asked.
struct Scan {
    /// The device of memory without a name, if that is wanted.
    nameless: Option<u64>,
    holders: Holders,
    /// The process that is looked at.
    pid: i32,
    /// Its identity, once it is found to use a file.
    identity: Option<Rc<Identity>>,
    /// Its IPC namespace, once it is found to use a System V segment.
    ipc_namespace: Option<u64>,
}

impl Scan {
    /// Inspects every process.
    fn all(
        devices: &[u64],
        nameless: Option<u64>,
        mut namespaces: Option<&mut IpcNamespaces>,
    ) -> io::Result<Holders> {
        let mut search = FileSearch::new(devices);
        let mut scan = Scan {
            nameless,
            holders: Holders::default(),
            pid: 0,
            identity: None,
            ipc_namespace: None,
        };
        for pid in pids()? {
            scan.pid = pid;
            scan.identity = None;
            scan.ipc_namespace = None;
            let look = |process: Process| {
                if let Some(namespaces) = &mut namespaces {
                    namespaces.add(&process);
                }
                search.run(&process, &mut |file| scan.add(file))
            };
            match Process::open(pid).map_err(io::Error::from).and_then(look) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => scan.holders.denied.push(pid),
            }
        }
        Ok(scan.holders)
    }

    fn add(&mut self, file: &UsedFile) {
        let Some(rights) = file.rights() else { return };
        let Some(key) = self.key(file) else { return };
        let held = self.holders.entry(key);
        // A file that still has a name can be looked at by that.
        if held.status.is_none() && file.is_unlinked() {
            held.status = file.status();
            if held.status.is_some() || held.path.is_empty() {
                held.path = file.path().into_owned();
            }
        }
        // Processes come one after the other, so that if this one is there it is the last.
        if held.uses.last().is_none_or(|last| last.pid != self.pid) {
            let read_identity = || Rc::new(Identity::read(file.process));
            held.uses.push(Use {
                pid: self.pid,
                identity: Rc::clone(self.identity.get_or_insert_with(read_identity)),
                shared: None,
                private: None,
                open: None,
            });
        }
        let one_use = held.uses.last_mut().expect("it was just put there");
        let known = match &file.access {
            Access::Mapping(line) => {
                held.extent = held.extent.max(line.offset + (line.end - line.start));
                match line.is_private {
                    true => &mut one_use.private,
                    false => &mut one_use.shared,
                }
            }
            Access::Descriptor { .. } => &mut one_use.open,
        };
        let known = known.get_or_insert_default();
        known.read |= rights.read;
        known.write |= rights.write;
    }

    /// Tells what a file is, or returns None if nobody asked for it.
    fn key(&mut self, file: &UsedFile) -> Option<Key> {
        if self.nameless != Some(file.device) {
            return Some(Key::File(file.device, file.inode));
        }
        // Only the path tells what a file without a name is.
        match Nameless::from_path(&file.path())? {
            Nameless::Memfd | Nameless::Anonymous => Some(Key::File(file.device, file.inode)),
            Nameless::DriverBuffer => None,
            Nameless::SystemV => {
                let namespace = match self.ipc_namespace {
                    Some(namespace) => namespace,
                    None => file.process.namespace(c"ns/ipc").ok()?,
                };
                self.ipc_namespace = Some(namespace);
                Some(Key::Segment(namespace, file.inode))
            }
        }
    }
}
