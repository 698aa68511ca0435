//! The mounts that a process sees: `proc_pid_mountinfo(5)`.

use nix::sys::stat::makedev;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};

/// A mount of a file system that stores its files in shared memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// The ID of the mount, which no other mount in any namespace has at the same time.
    pub id: u64,
    /// The device number of the file system.
    pub device: u64,
    /// The directory of the file system that is mounted.
    pub root: Vec<u8>,
    /// Where it is mounted, as the process sees it. Users choose such paths, so they may contain any bytes but NUL.
    pub mount_point: Vec<u8>,
    /// Whether another mount at the same mount point hides this one.
    pub is_covered: bool,
    /// Whether it is the devtmpfs, which contains the device files.
    pub is_devtmpfs: bool,
    /// The maximum size in bytes. 0 means no limit, and None the default: half of the memory of the machine.
    pub limit: Option<u64>,
    /// The maximum number of inodes, if the default was changed.
    pub max_inodes: Option<u64>,
}

/// A line of `/proc/PID/mountinfo`. The paths have octal escapes, which [`unescape`] decodes.
pub struct MountLine<'a> {
    /// The ID of the mount.
    pub id: u64,
    /// The ID of the mount below.
    parent: u64,
    device: &'a [u8],
    /// The directory of the file system that is mounted.
    pub root: &'a [u8],
    /// Where it is mounted.
    pub mount_point: &'a [u8],
    /// The type of the file system.
    pub kind: &'a [u8],
    /// The options of the file system, with commas.
    pub options: &'a [u8],
}

/// Parses `/proc/PID/mountinfo`. Lines that make no sense are skipped.
pub fn mount_lines(mountinfo: &[u8]) -> impl Iterator<Item = MountLine<'_>> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(parse)
}

fn parse(line: &[u8]) -> Option<MountLine<'_>> {
    let mut fields = line.split(|&byte| byte == b' ');
    Some(MountLine {
        id: number(fields.next()?)?,
        parent: number(fields.next()?)?,
        device: fields.next()?,
        root: fields.next()?,
        mount_point: fields.next()?,
        // A variable number of optional fields, then "-", the file system type, the source, and the options.
        kind: fields.find(|field| field == b"-").and(fields.next())?,
        options: fields.nth(1)?,
    })
}

/// Reads `/proc/PID/mountinfo` line by line, until `each` returns true. A user can make it as long as a gigabyte.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn find_mount(
    mountinfo: impl Read,
    mut each: impl FnMut(&MountLine) -> bool,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, mountinfo);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if parse(text).is_some_and(|line| each(&line)) {
            break;
        }
        line.clear();
    }
    Ok(())
}

/// Returns the mounts of every tmpfs, of the devtmpfs, and of the root file system that the kernel starts with, from
/// `/proc/PID/mountinfo`.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn memory_mounts(mountinfo: impl Read) -> io::Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    // Hashes, because mount points can be long.
    let mut covered = HashSet::new();
    let hash = |id: u64, mount_point: &[u8]| {
        let mut hasher = DefaultHasher::new();
        (id, mount_point).hash(&mut hasher);
        hasher.finish()
    };
    find_mount(mountinfo, |line| {
        covered.insert(hash(line.parent, line.mount_point));
        let own = hash(line.id, line.mount_point);
        mounts.extend(memory_mount(line).map(|mount| (own, mount)));
        false
    })?;
    let finish = |(own, mount): (u64, Mount)| Mount {
        is_covered: covered.contains(&own),
        ..mount
    };
    Ok(mounts.into_iter().map(finish).collect())
}

/// Returns the mount if its file system stores its files in shared memory.
fn memory_mount(line: &MountLine) -> Option<Mount> {
    if ![&b"tmpfs"[..], b"devtmpfs", b"rootfs"].contains(&line.kind) {
        return None;
    }
    let options = line.options.split(|&byte| byte == b',');
    let option = |key: &[u8]| {
        let value = options.clone().find_map(|one| one.strip_prefix(key));
        value.map(|value: &[u8]| value.strip_suffix(b"k").unwrap_or(value))
    };
    let (limit, max_inodes) = (option(b"size="), option(b"nr_inodes="));
    let device = line.device;
    let colon = device.iter().position(|&byte| byte == b':')?;
    Some(Mount {
        id: line.id,
        device: makedev(number(&device[..colon])?, number(&device[colon + 1..])?),
        root: unescape(line.root),
        mount_point: unescape(line.mount_point),
        is_covered: false,
        is_devtmpfs: line.kind == b"devtmpfs",
        limit: limit
            .and_then(number)
            .map(|kibibytes| kibibytes.saturating_mul(1024)),
        max_inodes: max_inodes.and_then(number),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Decodes a path in `/proc/PID/mountinfo`, where space, tab, newline and backslash are written as a backslash and
/// three octal digits.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code =
            digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_of_tmpfs_are_parsed() {
        let text = br"22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw,size=12334556k,nr_inodes=3083639,mode=755
25 24 0:23 / /dev/shm rw,relatime shared:3 master:1 - tmpfs tmpfs rw,size=64k
30 25 0:27 /a\040b /dev/shm rw - tmpfs  rw
31 30 0:1048577 / /tmp/x\134\011y rw - tmpfs tmpfs ro,nr_inodes=0,size=0k
";
        let mounts = memory_mounts(&text[..]).unwrap();
        let summary: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.id, mount.device, mount.is_covered, mount.limit))
            .collect();
        assert_eq!(
            summary,
            [
                (24, makedev(0, 6), false, Some(12334556 << 10)),
                (25, makedev(0, 23), true, Some(65536)),
                (30, makedev(0, 27), false, None),
                (31, makedev(0, 1048577), false, Some(0)),
            ]
        );
        assert!(mounts[0].is_devtmpfs && !mounts[1].is_devtmpfs);
        assert_eq!(mounts[0].max_inodes, Some(3083639));
        assert_eq!(mounts[2].root, b"/a b");
        assert_eq!(mounts[3].mount_point, b"/tmp/x\\\ty");
    }

    #[test]
    fn escaped_bytes_of_paths_are_decoded() {
        assert_eq!(
            unescape(br"/a\040b\134\011\012c\9\04"),
            b"/a b\\\t\nc\\9\\04"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes: Vec<u8>, fields in "[0-9]{1,30} [0-9]{1,3} [0-9:]{0,25} / /[ -~]{0,9} rw - tmpfs x [a-z=0-9,]{0,40}") {
            memory_mounts(&bytes[..]).unwrap();
            memory_mounts(fields.as_bytes()).unwrap();
        }
    }
}
