//! The lines of `/proc/PID/maps`, `proc_pid_maps(5)`.

use memchr::memchr;
use nix::sys::stat::{major, minor};

/// What a process may do with what it has open or mapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Load or read.
    pub read: bool,
    /// Store or write.
    pub write: bool,
}

/// The devices whose files are looked for, as `/proc/PID/maps` writes them.
#[derive(Debug)]
pub struct Devices(Vec<(Box<[u8]>, u64)>);

impl Devices {
    /// Remembers these device numbers.
    pub fn new(devices: &[u64]) -> Devices {
        let text = |&device: &u64| format!("{:02x}:{:02x}", major(device), minor(device));
        let mut known: Vec<_> = devices
            .iter()
            .map(|device| (text(device).into_bytes().into_boxed_slice(), *device))
            .collect();
        known.sort_unstable();
        known.dedup();
        Devices(known)
    }

    /// Returns whether this is one of the devices.
    pub fn contains(&self, device: u64) -> bool {
        self.0.iter().any(|&(_, known)| known == device)
    }

    /// Returns the number of a device, if it is one of these.
    fn find(&self, text: &[u8]) -> Option<u64> {
        let index = self.0.binary_search_by(|(known, _)| known[..].cmp(text));
        Some(self.0[index.ok()?].1)
    }
}

/// One line of `/proc/PID/maps`.
#[derive(Debug)]
pub struct MapsLine<'a> {
    /// The first address.
    pub start: u64,
    /// The address after the last one.
    pub end: u64,
    /// What the process may do with it.
    pub rights: Rights,
    /// Whether stores go into a copy.
    pub is_private: bool,
    /// The offset in the file.
    pub offset: u64,
    /// The device number of the file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The path, in which a newline is [`NEWLINE`].
    pub path: &'a [u8],
}

/// How a newline is written in a path. A path may contain the same four characters itself.
const NEWLINE: &[u8] = br"\012";

impl<'a> MapsLine<'a> {
    /// Reads a line about a file on one of the devices. Most lines are about others, and are not read any further.
    pub fn read(line: &'a [u8], devices: &Devices) -> Option<MapsLine<'a>> {
        // The range is followed by the rights, which are four letters. The kernel has written this: in the first five
        // fields, one space follows each.
        let after_range = memchr(b' ', line)?;
        let (range, rest) = (&line[..after_range], &line[after_range + 1..]);
        let (rights, rest) = (rest.get(..4)?, rest.get(5..)?);
        let after_offset = memchr(b' ', rest)?;
        let (offset, rest) = (&rest[..after_offset], &rest[after_offset + 1..]);
        let after_device = memchr(b' ', rest)?;
        let device = devices.find(&rest[..after_device])?;
        let rest = &rest[after_device + 1..];
        let (inode, path) = rest.split_at(memchr(b' ', rest).unwrap_or(rest.len()));
        let number =
            |digits: &[u8], radix| u64::from_str_radix(str::from_utf8(digits).ok()?, radix).ok();
        let dash = memchr(b'-', range)?;
        Some(MapsLine {
            start: number(&range[..dash], 16)?,
            end: number(&range[dash + 1..], 16)?,
            rights: Rights {
                read: rights.contains(&b'r'),
                write: rights.contains(&b'w'),
            },
            is_private: rights.contains(&b'p'),
            offset: number(offset, 16)?,
            device,
            inode: number(inode, 10)?,
            path: path.trim_ascii_start(),
        })
    }
}

/// Replaces what looks like an escaped newline in a path.
pub fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = find_newline(rest) {
        bytes.extend_from_slice(&rest[..at]);
        bytes.push(b'\n');
        rest = &rest[at + NEWLINE.len()..];
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// Returns the position of what looks like an escaped newline.
pub fn find_newline(path: &[u8]) -> Option<usize> {
    path.windows(NEWLINE.len()).position(|four| four == NEWLINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::makedev;

    #[test]
    fn a_line_of_maps_is_read() {
        let devices = Devices::new(&[makedev(0, 0x1a), makedev(8, 0x101)]);
        let line =
            b"7f00-9f00 rw-s 00001000 00:1a 1234                       /dev/shm/a b (deleted)";
        let mapped = MapsLine::read(line, &devices).unwrap();
        assert_eq!(
            (mapped.start, mapped.end, mapped.offset),
            (0x7f00, 0x9f00, 0x1000)
        );
        assert_eq!(
            (mapped.device, mapped.inode, mapped.path),
            (makedev(0, 0x1a), 1234, &b"/dev/shm/a b (deleted)"[..])
        );
        assert!(mapped.rights.read && mapped.rights.write && !mapped.is_private);
        let copied = MapsLine::read(b"7f00-9f00 rw-p 0 00:1a 1 /dev/shm/x", &devices).unwrap();
        assert!(copied.rights.write && copied.is_private);
        let other = MapsLine::read(b"7f00-9f00 r--s 0 08:101 7 /x", &devices).unwrap();
        assert_eq!((other.device, other.inode), (makedev(8, 0x101), 7));
        for line in [
            &line[..20],
            b"",
            b"x y z",
            b"7f00 rw-s 0 00:1a 1",
            b"7f00-9f00 rw-s 0 00:1b 1",
            b"7f00-9f00 rw-s 0 00:1 1",
        ] {
            assert!(MapsLine::read(line, &devices).is_none());
        }
    }

    #[test]
    fn a_newline_in_a_path_is_told_from_a_backslash() {
        assert_eq!(unescaped(br"/a\012b\0\012"), b"/a\nb\\0\n");
        assert_eq!(unescaped(b"/plain"), b"/plain");
    }
}
