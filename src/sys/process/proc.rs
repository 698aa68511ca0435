//! Which processes use the files of a file system: `/proc/PID/fd` and `/proc/PID/maps`, `proc(5)`.

use super::identity::Identity;
use crate::sys::status::FileStatus;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::libc;
use nix::sys::stat::{Mode, major, minor};
use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What the kernel adds to the path of a file that has no name any more.
pub const DELETED: &[u8] = b" (deleted)";

/// What a process may do with what it has open or mapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Load or read.
    pub read: bool,
    /// Store or write.
    pub write: bool,
}

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

/// All files of one file system that are used, by their inode numbers.
#[derive(Debug, Default)]
pub struct Holders {
    /// The files.
    pub held: HashMap<u64, Held>,
    /// The ids of the processes that may not be inspected.
    pub denied: Vec<i32>,
}

impl Holders {
    /// Looks at every process once. This one is no exception: it may have inherited descriptors of objects.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn of(device: u64) -> io::Result<Holders> {
        let mut scan = Scan::new(device);
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match scan.process(pid) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => scan.holders.denied.push(pid),
            }
        }
        Ok(scan.holders)
    }
}

/// Lists the inode numbers of the files of one file system that one process has open or mapped.
///
/// # Errors
///
/// `ENOENT` or `ESRCH`: `/proc` does not show the process. Any other: it may not be inspected.
pub fn inodes_used_by(pid: i32, device: u64) -> io::Result<HashSet<u64>> {
    let mut scan = Scan::new(device);
    scan.process(pid)?;
    Ok(scan.holders.held.into_keys().collect())
}

/// A look at every process: there are many, so what is not needed is not asked.
struct Scan {
    device: u64,
    device_in_maps: String,
    holders: Holders,
    /// That of the process that is looked at, once it is found to use a file.
    identity: Option<Rc<Identity>>,
    buffer: Vec<u8>,
}

impl Scan {
    fn new(device: u64) -> Scan {
        Scan {
            device,
            device_in_maps: format!("{:02x}:{:02x}", major(device), minor(device)),
            holders: Holders::default(),
            identity: None,
            buffer: Vec::new(),
        }
    }

    fn process(&mut self, pid: i32) -> io::Result<()> {
        self.identity = None;
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

    /// Whether there are any.
    fn maps(&mut self, pid: i32, directory: &str) -> io::Result<bool> {
        read_all(&format!("{directory}/maps"), &mut self.buffer)?;
        for line in self.buffer.split(|&byte| byte == b'\n') {
            let Some(mapped) = MapsLine::read(line, self.device_in_maps.as_bytes()) else {
                continue;
            };
            let held = self.holders.held.entry(mapped.inode).or_default();
            held.extent = held.extent.max(mapped.offset + (mapped.end - mapped.start));
            // What still has a name can be looked at by that.
            if held.status.is_none() && mapped.path.ends_with(DELETED) {
                // Only who may look into every process may follow it (`CAP_CHECKPOINT_RESTORE`).
                let (start, end) = (mapped.start, mapped.end);
                let link = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
                held.status = status_of_link(&link, self.device, mapped.inode);
                held.path = unescaped(mapped.path);
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
        Ok(!self.buffer.is_empty())
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
            if file.device != self.device || !file.is_type(libc::S_IFREG) {
                continue;
            }
            // The link's own mode says what it was opened for.
            let Ok(link) = FileStatus::at(directory.as_fd(), &name, libc::AT_SYMLINK_NOFOLLOW)
            else {
                continue;
            };
            let held = self.holders.held.entry(file.inode).or_default();
            if held.status.is_none() && file.links == 0 {
                let path = Path::new(&path).join(OsStr::from_bytes(name.to_bytes()));
                held.status = Some(file);
                held.path = fs::read_link(&path).map_or_else(|_| Vec::new(), path_bytes);
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
fn status_of_link(link: &str, device: u64, inode: u64) -> Option<FileStatus> {
    let link = CString::new(link).ok()?;
    let is_same = |now: &FileStatus| (now.device, now.inode) == (device, inode);
    FileStatus::at(AT_FDCWD, &link, 0).ok().filter(is_same)
}

/// One line of `/proc/PID/maps`.
struct MapsLine<'a> {
    start: u64,
    end: u64,
    rights: Rights,
    is_private: bool,
    offset: u64,
    inode: u64,
    path: &'a [u8],
}

impl<'a> MapsLine<'a> {
    /// Reads a line about a file on this device. Most are not, and are not read any further.
    fn read(line: &'a [u8], device: &[u8]) -> Option<MapsLine<'a>> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let (range, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next()? != device {
            return None;
        }
        let number =
            |digits: &[u8], radix| u64::from_str_radix(str::from_utf8(digits).ok()?, radix).ok();
        let dash = range.iter().position(|&byte| byte == b'-')?;
        Some(MapsLine {
            start: number(&range[..dash], 16)?,
            end: number(&range[dash + 1..], 16)?,
            rights: Rights {
                read: rights.contains(&b'r'),
                write: rights.contains(&b'w'),
            },
            is_private: rights.contains(&b'p'),
            offset: number(offset, 16)?,
            inode: number(fields.next()?, 10)?,
            path: fields.next().unwrap_or_default().trim_ascii_start(),
        })
    }
}

/// Reads a file of `/proc`, which does not say how long it is.
fn read_all(path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    const ROOM: usize = 64 << 10;
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        buffer.resize(buffer.len().max(length + ROOM), 0);
        match file.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    buffer.truncate(length);
    Ok(())
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

/// In `/proc/PID/maps` a newline in a path is `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    const NEWLINE: &[u8] = br"\012";
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.windows(NEWLINE.len()).position(|four| four == NEWLINE) {
        bytes.extend_from_slice(&rest[..at]);
        bytes.push(b'\n');
        rest = &rest[at + NEWLINE.len()..];
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let line =
            b"7f00-9f00 rw-s 00001000 00:1a 1234                       /dev/shm/a b (deleted)";
        let mapped = MapsLine::read(line, b"00:1a").unwrap();
        assert_eq!(
            (mapped.start, mapped.end, mapped.offset),
            (0x7f00, 0x9f00, 0x1000)
        );
        assert_eq!(
            (mapped.inode, mapped.path),
            (1234, &b"/dev/shm/a b (deleted)"[..])
        );
        assert!(mapped.rights.read && mapped.rights.write && !mapped.is_private);
        let copied = MapsLine::read(b"7f00-9f00 rw-p 0 00:1a 1 /dev/shm/x", b"00:1a").unwrap();
        assert!(copied.rights.write && copied.is_private);
        for line in [
            &line[..20],
            b"",
            b"x y z",
            b"7f00 rw-s 0 00:1a 1",
            b"7f00-9f00 rw-s 0 00:1b 1",
        ] {
            assert!(MapsLine::read(line, b"00:1a").is_none());
        }
    }

    #[test]
    fn a_newline_in_a_path_is_told_from_a_backslash() {
        assert_eq!(unescaped(br"/a\012b\0\012"), b"/a\nb\\0\n");
        assert_eq!(unescaped(b"/plain"), b"/plain");
    }
}
