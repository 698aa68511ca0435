//! Which processes use the files of a file system: `/proc/PID/fd` and `/proc/PID/maps`, `proc(5)`.

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{major, makedev, minor};
use nix::unistd::getpid;
use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, Metadata};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What a process may do with what it has open or mapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Load or read.
    pub read: bool,
    /// Store or write, for all to see.
    pub write: bool,
}

/// How one process uses a file.
#[derive(Debug)]
pub struct Use {
    /// Its id in our PID namespace.
    pub pid: i32,
    /// What it calls itself (`PR_SET_NAME`, `prctl(2)`): any bytes.
    pub command: Vec<u8>,
    /// It has it mapped.
    pub mapped: Option<Rights>,
    /// It has a descriptor for it.
    pub open: Option<Rights>,
}

/// A file that is used.
#[derive(Debug, Default)]
pub struct Held {
    /// As the kernel tells it: ` (deleted)` is added to one that is gone.
    pub path: Vec<u8>,
    /// As far as a mapping of it reaches, in bytes.
    pub extent: u64,
    /// What `stat(2)` knows, if there was a way to ask.
    pub metadata: Option<Metadata>,
    /// By whom.
    pub uses: Vec<Use>,
}

/// All files of one file system that are used, by their inode numbers.
#[derive(Debug, Default)]
pub struct Holders {
    /// The files.
    pub held: HashMap<u64, Held>,
    /// How many processes may not be looked at.
    pub denied: usize,
}

impl Holders {
    /// Looks at every process but this one, once.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn of(device: u64) -> io::Result<Holders> {
        let mut holders = Holders::default();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pid == getpid().as_raw() {
                continue;
            }
            let directory = Path::new("/proc").join(&name);
            let looked = holders
                .look_at_maps(pid, &directory, device)
                .and_then(|()| holders.look_at_descriptors(pid, &directory, device));
            match looked {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => holders.denied += 1,
            }
        }
        Ok(holders)
    }

    fn look_at_maps(&mut self, pid: i32, directory: &Path, device: u64) -> io::Result<()> {
        let device = format!("{:02x}:{:02x}", major(device), minor(device));
        let maps = fs::read(directory.join("maps"))?;
        for line in maps.split(|&byte| byte == b'\n') {
            let Some(mapped) = MapsLine::read(line).filter(|line| line.device == device.as_bytes())
            else {
                continue;
            };
            let held = self.held.entry(mapped.inode).or_default();
            held.extent = held.extent.max(mapped.offset + (mapped.end - mapped.start));
            if held.metadata.is_none() {
                // Only who may trace every process may follow it (`CAP_CHECKPOINT_RESTORE`).
                let link = format!("map_files/{:x}-{:x}", mapped.start, mapped.end);
                held.metadata = fs::metadata(directory.join(link)).ok();
                held.path = unescaped(mapped.path);
            }
            let one = one_use(held, pid, directory);
            add(&mut one.mapped, mapped.rights);
        }
        Ok(())
    }

    fn look_at_descriptors(&mut self, pid: i32, directory: &Path, device: u64) -> io::Result<()> {
        let directory_of_fds = directory.join("fd");
        let fds = File::open(&directory_of_fds)?;
        for entry in fs::read_dir(&directory_of_fds)? {
            let name = entry?.file_name();
            // Closed meanwhile.
            let Ok(file) = status(&fds, &name, 0) else {
                continue;
            };
            let is_file = u32::from(file.stx_mode) & libc::S_IFMT == libc::S_IFREG;
            if makedev(file.stx_dev_major.into(), file.stx_dev_minor.into()) != device || !is_file {
                continue;
            }
            let held = self.held.entry(file.stx_ino).or_default();
            let link = directory_of_fds.join(&name);
            if held.metadata.is_none() {
                held.metadata = fs::metadata(&link).ok();
                held.path = fs::read_link(&link).map_or_else(|_| Vec::new(), path_bytes);
            }
            // The link's own mode says what it was opened for.
            let Ok(own) = status(&fds, &name, libc::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            let rights = Rights {
                read: own.stx_mode & 0o400 != 0,
                write: own.stx_mode & 0o200 != 0,
            };
            let one = one_use(held, pid, directory);
            add(&mut one.open, rights);
        }
        Ok(())
    }
}

/// One line of `/proc/PID/maps`.
struct MapsLine<'a> {
    start: u64,
    end: u64,
    rights: Rights,
    offset: u64,
    device: &'a [u8],
    inode: u64,
    path: &'a [u8],
}

impl<'a> MapsLine<'a> {
    fn read(line: &'a [u8]) -> Option<MapsLine<'a>> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let hex = |field: &[u8]| u64::from_str_radix(str::from_utf8(field).ok()?, 16).ok();
        let range = fields.next()?;
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let rights = fields.next()?;
        Some(MapsLine {
            start: hex(&range[..dash])?,
            end: hex(&range[dash + 1..])?,
            rights: Rights {
                read: rights.contains(&b'r'),
                // What is stored into a private mapping goes into a copy.
                write: rights.contains(&b'w') && rights.contains(&b's'),
            },
            offset: hex(fields.next()?)?,
            device: fields.next()?,
            inode: str::from_utf8(fields.next()?).ok()?.parse().ok()?,
            path: fields.next().unwrap_or_default().trim_ascii_start(),
        })
    }
}

fn one_use<'a>(held: &'a mut Held, pid: i32, directory: &Path) -> &'a mut Use {
    // Processes come one after the other, so that if it is there it is the last.
    if held.uses.last().is_none_or(|last| last.pid != pid) {
        let command = fs::read(directory.join("comm")).unwrap_or_default();
        held.uses.push(Use {
            pid,
            command: command.trim_ascii_end().to_owned(),
            mapped: None,
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

/// A process that ended meanwhile.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ESRCH].map(|errno| Some(errno as i32));
    gone.contains(&error.raw_os_error())
}

/// What `statx(2)` knows without asking a server: others may have files open on one that is gone, and an
/// answer would never come. nix does not wrap it.
fn status(directory: &File, name: &OsStr, flags: i32) -> io::Result<libc::statx> {
    let name = CString::new(name.as_bytes())?;
    let flags = flags | libc::AT_STATX_DONT_SYNC;
    let mask = libc::STATX_BASIC_STATS;
    let mut status = MaybeUninit::zeroed();
    // SAFETY: both pointers are to memory of our own that outlives the call; zeros are a valid `statx`.
    unsafe {
        let result = libc::statx(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags,
            mask,
            status.as_mut_ptr(),
        );
        Errno::result(result)?;
        Ok(status.assume_init())
    }
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
