//! One look at all processes for the memory that no path leads to: memfds, shared anonymous mappings, and what other
//! mount and IPC namespaces contain (`proc(5)`, `namespaces(7)`).

use super::proc::is_gone;
use super::system_v::Segments;
use crate::sys::mounts::{Mount, memory_mounts};
use crate::sys::status::FileStatus;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat, readlinkat};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, major, minor};
use nix::unistd::read;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// What a file without a name in any directory is. The kernel keeps all of them in a tmpfs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `memfd_create(2)`.
    Memfd,
    /// The memory of a mapping with `MAP_SHARED` and `MAP_ANONYMOUS`, `mmap(2)`.
    Anonymous,
    /// The buffer of a driver, such as that of a GPU.
    DriverBuffer,
}

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
    /// The files in it that a process has open or mapped, with the bytes allocated. None if that is unknown.
    pub files: HashMap<(FileKind, u64), Option<u64>>,
    /// The mounts of our own namespace.
    pub own_mounts: Vec<Mount>,
    /// The other mount namespaces.
    pub namespaces: Vec<Namespace>,
    /// The System V segments of all IPC namespaces.
    pub segments: Segments,
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
    /// Looks at every process once. `huge_page` is the size of a huge page.
    ///
    /// Processes may be hostile. This opens no path inside another mount namespace, and asks no file server.
    ///
    /// # Errors
    ///
    /// Fails if there is no `/proc`.
    pub fn take(huge_page: u64) -> io::Result<Survey> {
        let device = device_of_memfds();
        let own_mounts = memory_mounts(&fs::read("/proc/self/mountinfo")?);
        let mut scan = Scan {
            mounts: own_mounts.iter().map(|mount| mount.id).collect(),
            survey: Survey {
                device,
                own_mounts,
                is_in_container: own_namespace(c"/proc/self/ns/pid")?
                    .is_some_and(|inode| inode != INITIAL_PID_NAMESPACE),
                segments: Segments::own(huge_page)?,
                ..Survey::default()
            },
            device_in_maps: device
                .map(|device| format!("{:02x}:{:02x}", major(device), minor(device))),
            huge_page,
            mount_namespaces: own_namespace(c"/proc/self/ns/mnt")?.into_iter().collect(),
            ipc_namespaces: own_namespace(c"/proc/self/ns/ipc")?.into_iter().collect(),
            buffer: Vec::new(),
            length: 0,
        };
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match scan.process(pid) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => scan.survey.denied.push(pid),
            }
        }
        Ok(scan.survey)
    }
}

/// Returns the device number of the kernel's own tmpfs. It is not the same on all kernels.
fn device_of_memfds() -> Option<u64> {
    let file = memfd_create(c"shmtool", MFdFlags::MFD_CLOEXEC).ok()?;
    Some(FileStatus::of(&file).ok()?.device)
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
    /// None if it is unknown.
    device_in_maps: Option<String>,
    huge_page: u64,
    /// The inode numbers of the namespaces that were seen.
    mount_namespaces: HashSet<u64>,
    ipc_namespaces: HashSet<u64>,
    /// The IDs of the mounts that were seen.
    mounts: HashSet<u64>,
    /// What was read last. It only grows, because filling it with zeros takes time.
    buffer: Vec<u8>,
    length: usize,
}

impl Scan {
    fn process(&mut self, pid: i32) -> io::Result<()> {
        let directory = open_process(pid)?;
        self.mount_namespace(pid, &directory);
        self.ipc_namespace(&directory);
        if self.device_in_maps.is_none() {
            return Ok(());
        }
        match self.maps(&directory) {
            Ok(true) => return self.descriptors(&directory),
            Ok(false) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
        // A thread of the kernel's own; or the first thread has ended, and the others go on.
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = entry?.file_name().to_str().and_then(|tid| tid.parse().ok());
            if let Some(tid) = task.filter(|&tid| tid != pid) {
                // /proc does not list threads, but has their directories too.
                let directory = open_process(tid)?;
                self.maps(&directory)?;
                self.descriptors(&directory)?;
            }
        }
        Ok(())
    }

    /// Reads the mounts of the process, if they are not those of an earlier process.
    fn mount_namespace(&mut self, pid: i32, process: &OwnedFd) {
        // Everybody may read the mounts, but not every namespace has a number that we may know.
        let number = FileStatus::at(process.as_fd(), c"ns/mnt", 0).map(|namespace| namespace.inode);
        if number.is_ok_and(|number| self.mount_namespaces.contains(&number))
            || self.read(process, "mountinfo").is_err()
            || self.text().is_empty()
        {
            return;
        }
        self.mount_namespaces.extend(number);
        let mut mounts = memory_mounts(self.text());
        mounts.retain(|mount| self.mounts.insert(mount.id));
        if !mounts.is_empty() {
            self.survey.namespaces.push(Namespace { pid, mounts });
        }
    }

    /// Counts the System V segments that the process can see, if no earlier process sees them.
    fn ipc_namespace(&mut self, process: &OwnedFd) {
        let Ok(namespace) = FileStatus::at(process.as_fd(), c"ns/ipc", 0) else {
            return;
        };
        if !self.ipc_namespaces.insert(namespace.inode) {
            return;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let segments = openat(process, "ns/ipc", flags, Mode::empty())
            .and_then(|namespace| Segments::of_namespace(namespace.as_fd(), self.huge_page));
        match segments {
            Ok(Segments { count, bytes }) => {
                self.survey.segments.count += count;
                self.survey.segments.bytes += bytes;
            }
            Err(_) => self.survey.closed_namespaces += 1,
        }
    }

    /// Looks for mapped files. Returns whether the process has any memory.
    fn maps(&mut self, process: &OwnedFd) -> io::Result<bool> {
        self.read(process, "maps")?;
        let (files, device) = (&mut self.survey.files, self.survey.device);
        let device_in_maps = self.device_in_maps.as_deref().unwrap_or_default();
        for line in self.buffer[..self.length].split(|&byte| byte == b'\n') {
            let Some(mapped) = Mapped::parse(line, device_in_maps.as_bytes()) else {
                continue;
            };
            let Some(kind) = kind_of(mapped.path) else {
                continue;
            };
            let allocated = files.entry((kind, mapped.inode)).or_default();
            if allocated.is_none() {
                // Only who may look into every process may follow it (`CAP_CHECKPOINT_RESTORE`).
                let link = format!("map_files/{:x}-{:x}", mapped.start, mapped.end);
                let link = CString::new(link).expect("it contains no NUL");
                let file = FileStatus::at(process.as_fd(), &link, 0).ok();
                let is_same =
                    |now: &FileStatus| (Some(now.device), now.inode) == (device, mapped.inode);
                *allocated = file.filter(is_same).map(|file| file.allocated);
            }
        }
        Ok(!self.text().is_empty())
    }

    /// Looks for open files.
    fn descriptors(&mut self, process: &OwnedFd) -> io::Result<()> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(process, "fd", flags, Mode::empty())?;
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
            if Some(file.device) != self.survey.device || !file.is_type(libc::S_IFREG) {
                continue;
            }
            let Ok(path) = readlinkat(directory.as_fd(), &*name) else {
                continue;
            };
            if let Some(kind) = kind_of(path.as_bytes()) {
                let allocated = self.survey.files.entry((kind, file.inode)).or_default();
                allocated.get_or_insert(file.allocated);
            }
        }
        Ok(())
    }

    /// Reads a file in the directory of a process.
    fn read(&mut self, process: &OwnedFd, name: &str) -> nix::Result<()> {
        const ROOM: usize = 64 << 10;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(process, name, flags, Mode::empty())?;
        self.length = 0;
        loop {
            if self.buffer.len() < self.length + ROOM {
                self.buffer.resize(self.length + ROOM, 0);
            }
            match read(&file, &mut self.buffer[self.length..])? {
                0 => return Ok(()),
                count => self.length += count,
            }
        }
    }

    /// Returns what was read last.
    fn text(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// Opens the directory of a process, so that everything in it is about the same process.
fn open_process(pid: i32) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(format!("/proc/{pid}").as_str(), flags, Mode::empty())
}

/// Tells the kind of a file by the path that the kernel shows for it. Returns None for System V segments, which are
/// counted elsewhere.
fn kind_of(path: &[u8]) -> Option<FileKind> {
    match path {
        _ if path.starts_with(b"/SYSV") => None,
        _ if path.starts_with(b"/memfd:") => Some(FileKind::Memfd),
        _ if path.starts_with(b"/dev/zero") => Some(FileKind::Anonymous),
        _ => Some(FileKind::DriverBuffer),
    }
}

/// A line of `/proc/PID/maps`.
struct Mapped<'a> {
    start: u64,
    end: u64,
    inode: u64,
    path: &'a [u8],
}

impl<'a> Mapped<'a> {
    /// Parses a line about a file on this device. Most are not, and are not parsed any further.
    fn parse(line: &'a [u8], device: &[u8]) -> Option<Mapped<'a>> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let range = fields.next()?;
        if fields.nth(2)? != device {
            return None;
        }
        let number =
            |digits: &[u8], radix| u64::from_str_radix(str::from_utf8(digits).ok()?, radix).ok();
        let dash = range.iter().position(|&byte| byte == b'-')?;
        Some(Mapped {
            start: number(&range[..dash], 16)?,
            end: number(&range[dash + 1..], 16)?,
            inode: number(fields.next()?, 10)?,
            path: fields.next().unwrap_or_default().trim_ascii_start(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_parsed() {
        let line = b"7f00-9f00 rw-s 00000000 00:01 1234                       /memfd:a b (deleted)";
        let mapped = Mapped::parse(line, b"00:01").unwrap();
        assert_eq!(
            (mapped.start, mapped.end, mapped.inode),
            (0x7f00, 0x9f00, 1234)
        );
        assert_eq!(kind_of(mapped.path), Some(FileKind::Memfd));
        for line in [
            &line[..20],
            b"",
            b"x y z",
            b"7f00 rw-s 0 00:01 1",
            b"7f00-9f00 rw-s 0 00:1a 1",
        ] {
            assert!(Mapped::parse(line, b"00:01").is_none());
        }
    }

    #[test]
    fn the_path_tells_the_kind() {
        for (path, kind) in [
            (&b"/dev/zero (deleted)"[..], Some(FileKind::Anonymous)),
            (b"/SYSV00000000 (deleted)", None),
            (b"/drm mm object (deleted)", Some(FileKind::DriverBuffer)),
            (b"/memfd:SYSV (deleted)", Some(FileKind::Memfd)),
        ] {
            assert_eq!(kind_of(path), kind);
        }
    }
}
