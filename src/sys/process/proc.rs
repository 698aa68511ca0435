//! Which processes use the files of some file systems: `/proc/PID/fd` and `/proc/PID/maps`, `proc(5)`.

use super::identity::Identity;
use super::ipc::ipc_namespace;
use crate::sys::memory::nameless::Nameless;
use crate::sys::status::FileStatus;
use maps::{Devices, MapsLine, read_all, unescaped};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::libc;
use nix::sys::stat::Mode;
use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

mod maps;

pub use maps::Rights;

/// What the kernel adds to the path of a file that has no name any more.
pub const DELETED: &[u8] = b" (deleted)";

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
        Scan::new(devices, None).all()
    }

    /// Like [`Holders::of`], and also finds the users of memory without a name, which the kernel keeps in files on the
    /// device `nameless`. Memfds and shared anonymous mappings are in `held`; [`Nameless`] tells them apart.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn with_nameless(devices: &[u64], nameless: u64) -> io::Result<Holders> {
        let devices = [devices, &[nameless]].concat();
        Scan::new(&devices, Some(nameless)).all()
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
    let mut scan = Scan::new(&[device], None);
    scan.process(pid)?;
    Ok(scan
        .holders
        .held
        .into_keys()
        .map(|(_, inode)| inode)
        .collect())
}

/// A look at every process: there are many, so what is not needed is not asked.
struct Scan {
    devices: Devices,
    /// The device of memory without a name, if that is wanted.
    nameless: Option<u64>,
    holders: Holders,
    /// That of the process that is looked at, once it is found to use a file.
    identity: Option<Rc<Identity>>,
    /// Its IPC namespace, once it is found to use a System V segment.
    ipc_namespace: Option<u64>,
    /// Whether we may follow the links in `/proc/PID/map_files`, as far as we know.
    may_follow: bool,
    buffer: Vec<u8>,
}

impl Scan {
    fn new(devices: &[u64], nameless: Option<u64>) -> Scan {
        Scan {
            devices: Devices::new(devices),
            nameless,
            holders: Holders::default(),
            identity: None,
            ipc_namespace: None,
            may_follow: true,
            buffer: Vec::new(),
        }
    }

    /// Inspects every process.
    fn all(mut self) -> io::Result<Holders> {
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match self.process(pid) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => self.holders.denied.push(pid),
            }
        }
        Ok(self.holders)
    }

    fn process(&mut self, pid: i32) -> io::Result<()> {
        self.identity = None;
        self.ipc_namespace = None;
        let directory = format!("/proc/{pid}");
        match self.maps(pid, &directory) {
            Ok(true) => return self.descriptors(pid, &directory),
            Ok(false) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
        // A thread of the kernel's own; or the first thread has ended, and the others go on.
        for entry in fs::read_dir(format!("{directory}/task"))? {
            let task = entry?.file_name();
            if task.to_str() == Some(&pid.to_string()) {
                continue;
            }
            let directory = format!("{directory}/task/{}", task.display());
            self.maps(pid, &directory)?;
            self.descriptors(pid, &directory)?;
        }
        Ok(())
    }

    /// Tells what a file is, or returns None if nobody asked for it.
    fn key(&mut self, device: u64, inode: u64, path: &[u8], directory: &str) -> Option<Key> {
        if self.nameless != Some(device) {
            return Some(Key::File(device, inode));
        }
        match Nameless::from_path(path)? {
            Nameless::Memfd | Nameless::Anonymous => Some(Key::File(device, inode)),
            Nameless::SystemV => {
                let namespace = match self.ipc_namespace {
                    Some(namespace) => namespace,
                    None => ipc_namespace(directory).ok()?,
                };
                self.ipc_namespace = Some(namespace);
                Some(Key::Segment(namespace, inode))
            }
        }
    }

    /// Whether there are any.
    fn maps(&mut self, pid: i32, directory: &str) -> io::Result<bool> {
        let mut buffer = mem::take(&mut self.buffer);
        let result = read_all(&format!("{directory}/maps"), &mut buffer);
        if result.is_ok() {
            for line in buffer.split(|&byte| byte == b'\n') {
                if let Some(mapped) = MapsLine::read(line, &self.devices) {
                    self.mapping(pid, directory, &mapped);
                }
            }
        }
        let is_empty = buffer.is_empty();
        self.buffer = buffer;
        result.map(|()| !is_empty)
    }

    fn mapping(&mut self, pid: i32, directory: &str, mapped: &MapsLine) {
        let Some(key) = self.key(mapped.device, mapped.inode, mapped.path, directory) else {
            return;
        };
        let held = self.holders.entry(key);
        held.extent = held.extent.max(mapped.offset + (mapped.end - mapped.start));
        // What still has a name can be looked at by that.
        if held.status.is_none() && mapped.path.ends_with(DELETED) {
            if held.path.is_empty() {
                held.path = unescaped(mapped.path);
            }
            if self.may_follow {
                let (start, end) = (mapped.start, mapped.end);
                let link = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
                match status_of_link(&link, mapped.device, mapped.inode) {
                    Ok(status) => held.status = status,
                    // Only who may look into every process may follow it (`CAP_CHECKPOINT_RESTORE`).
                    Err(Errno::EPERM) => self.may_follow = false,
                    Err(_) => {}
                }
                // What looks like an escaped newline may be what the program wrote.
                if held.status.is_some()
                    && held.path.contains(&b'\n')
                    && let Ok(path) = fs::read_link(&link)
                {
                    held.path = path_bytes(path);
                }
            }
        }
        let one = one_use(held, pid, &mut self.identity, directory);
        add(
            match mapped.is_private {
                true => &mut one.private,
                false => &mut one.shared,
            },
            mapped.rights,
        );
    }

    fn descriptors(&mut self, pid: i32, process: &str) -> io::Result<()> {
        let path = format!("{process}/fd");
        let mut directory = Dir::open(path.as_str(), OFlag::O_DIRECTORY, Mode::empty())?;
        // Read to the end first: the iterator has the directory to itself.
        let names: Vec<_> = directory
            .iter()
            .filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_owned()))
            .filter(|name| !name.to_bytes().starts_with(b"."))
            .collect();
        for name in names {
            // Closed meanwhile.
            let Ok(file) = FileStatus::at(directory.as_fd(), &name, 0) else {
                continue;
            };
            if !self.devices.contains(file.device) || !file.is_type(libc::S_IFREG) {
                continue;
            }
            // The link's own mode says what it was opened for.
            let Ok(link) = FileStatus::at(directory.as_fd(), &name, libc::AT_SYMLINK_NOFOLLOW)
            else {
                continue;
            };
            let read_path = || {
                let path = Path::new(&path).join(OsStr::from_bytes(name.to_bytes()));
                fs::read_link(&path).map_or_else(|_| Vec::new(), path_bytes)
            };
            // Only the path tells what a file without a name is.
            let link_path = (self.nameless == Some(file.device)).then(read_path);
            let kind_path = link_path.as_deref().unwrap_or_default();
            let Some(key) = self.key(file.device, file.inode, kind_path, process) else {
                continue;
            };
            let held = self.holders.entry(key);
            if held.status.is_none() && file.links == 0 {
                held.status = Some(file);
                held.path = link_path.unwrap_or_else(read_path);
            }
            let rights = Rights {
                read: link.mode & 0o400 != 0,
                write: link.mode & 0o200 != 0,
            };
            let one = one_use(held, pid, &mut self.identity, process);
            add(&mut one.open, rights);
        }
        Ok(())
    }
}

/// Returns the status of the file at the end of a link, if it is still the one that was seen there.
fn status_of_link(link: &str, device: u64, inode: u64) -> nix::Result<Option<FileStatus>> {
    let link = CString::new(link).map_err(|_| Errno::EINVAL)?;
    let now = FileStatus::at(AT_FDCWD, &link, 0)?;
    Ok((now.device == device && now.inode == inode).then_some(now))
}

fn one_use<'a>(
    held: &'a mut Held,
    pid: i32,
    identity: &mut Option<Rc<Identity>>,
    directory: &str,
) -> &'a mut Use {
    // Processes come one after the other, so that if it is there it is the last.
    if held.uses.last().is_none_or(|last| last.pid != pid) {
        let identity = identity.get_or_insert_with(|| Rc::new(Identity::read(directory)));
        held.uses.push(Use {
            pid,
            identity: Rc::clone(identity),
            shared: None,
            private: None,
            open: None,
        });
    }
    held.uses.last_mut().expect("it was just put there")
}

fn add(rights: &mut Option<Rights>, more: Rights) {
    let rights = rights.get_or_insert_default();
    rights.read |= more.read;
    rights.write |= more.write;
}

/// Whether `/proc` has nothing about the process (any more).
pub fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ESRCH].map(|errno| Some(errno as i32));
    gone.contains(&error.raw_os_error())
}

fn path_bytes(path: PathBuf) -> Vec<u8> {
    path.into_os_string().into_vec()
}
