//! How much memory the machine and our cgroup have left: `proc_meminfo(5)`, `cgroups(7)`.
//!
//! The kernel charges the memory of a shared memory object to the cgroup of the process that allocates it. Where
//! there is too little, the OOM killer strikes instead of an error.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The memory that can still be allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// In bytes, with what the kernel can reclaim or swap out.
    pub left: u64,
    /// What sets the limit.
    pub limit: Limit,
}

/// What limits memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The memory of the machine, and its swap space.
    Machine,
    /// A cgroup: that of this process or one above it.
    Cgroup {
        /// The limit in bytes.
        max: u64,
        /// The file that sets it.
        file: PathBuf,
    },
}

/// Estimates how much memory this process can still allocate; `None` if there is no `/proc`.
///
/// The estimate is rather too high than too low: a limit that cannot be read is none, and all page cache counts as
/// reclaimable. It does not see a limit of a cgroup above the one that a container shows as its root.
pub fn room() -> Option<Room> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let swap_free = value(&meminfo, "SwapFree:").unwrap_or(0) << 10;
    let machine = value(&meminfo, "MemAvailable:").map(|available| Room {
        left: (available << 10).saturating_add(swap_free),
        limit: Limit::Machine,
    });
    let cgroups = cgroups().unwrap_or_default();
    let rooms = cgroups.iter().flat_map(|cgroup| cgroup.rooms(swap_free));
    rooms.chain(machine).min_by_key(|room| room.left)
}

/// The number behind a key in a file such as `/proc/meminfo` or `memory.stat`.
fn value(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut words = lines.find_map(|mut words| (words.next() == Some(key)).then_some(words))?;
    words.next()?.parse().ok()
}

/// The two versions of the memory controller. A machine has one of them, even if it mounts both hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The cgroup of this process, as one mount shows it.
#[derive(Debug, PartialEq, Eq)]
struct Cgroup {
    version: Version,
    mount_point: PathBuf,
    /// From the mount point to the cgroup.
    path: PathBuf,
}

/// Looks up our cgroup in every mount that shows it. In a container some may show more of the way up than others.
fn cgroups() -> io::Result<Vec<Cgroup>> {
    let (version, path) = match memory_cgroup(&fs::read("/proc/self/cgroup")?) {
        Some(found) => found,
        None => return Ok(Vec::new()),
    };
    let mountinfo = fs::read("/proc/self/mountinfo")?;
    Ok(mounted_cgroups(&mountinfo, version, &path))
}

/// Reads `/proc/PID/cgroup`: lines of `hierarchy:controllers:path`. Version 2 has no controllers in its line.
fn memory_cgroup(text: &[u8]) -> Option<(Version, PathBuf)> {
    let fields = |line| -> Option<(&[u8], PathBuf)> {
        let mut fields = <[u8]>::splitn(line, 3, |&byte| byte == b':').skip(1);
        let controllers = fields.next()?;
        Some((
            controllers,
            PathBuf::from(OsStr::from_bytes(fields.next()?)),
        ))
    };
    let mut v2 = None;
    for (controllers, path) in text.split(|&byte| byte == b'\n').filter_map(fields) {
        if has_word(controllers, b"memory") {
            return Some((Version::V1, path));
        }
        if controllers.is_empty() {
            v2 = Some((Version::V2, path));
        }
    }
    v2
}

/// Reads `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`): where the cgroup `path` of the memory controller can be seen.
fn mounted_cgroups(mountinfo: &[u8], version: Version, path: &Path) -> Vec<Cgroup> {
    let read = |line| {
        let mut fields = <[u8]>::split(line, |&byte| byte == b' ');
        let (root, mount_point) = (unescaped(fields.nth(3)?), unescaped(fields.next()?));
        // After a number of optional fields and a "-": the file system type, the source, the options.
        fields.find(|field| field == b"-")?;
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let is_it = match version {
            Version::V1 => kind == b"cgroup" && has_word(options, b"memory"),
            Version::V2 => kind == b"cgroup2",
        };
        // The root of a bind mount is a cgroup; both paths are relative to the root of our cgroup namespace. A process
        // that was moved out of that namespace is in "/../other", which the mount may not show.
        let path = path.strip_prefix(&root).ok()?.to_owned();
        let is_shown = !path.components().any(|part| part == Component::ParentDir);
        (is_it && is_shown).then_some(Cgroup {
            version,
            mount_point,
            path,
        })
    };
    mountinfo
        .split(|&byte| byte == b'\n')
        .filter_map(read)
        .collect()
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|other| other == word)
}

/// A path of `/proc/PID/mountinfo`, where a space, a tab, a newline and a backslash are three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code =
            digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

impl Cgroup {
    /// What is left in each cgroup that has a limit, from the mount point down to our own.
    fn rooms(&self, swap_free: u64) -> Vec<Room> {
        let own = self.mount_point.join(&self.path);
        let levels = self.path.components().count() + 1;
        let mut way_down: Vec<_> = own.ancestors().take(levels).collect();
        way_down.reverse();
        let room = |directory: &Path, swap: &mut u64| match self.version {
            Version::V1 => room_v1(directory, directory == own, *swap),
            Version::V2 => room_v2(directory, swap),
        };
        // A cgroup cannot swap more than the cgroups above it may.
        let mut swap = swap_free;
        way_down
            .iter()
            .filter_map(|directory| room(directory, &mut swap))
            .collect()
    }
}

fn room_v2(directory: &Path, swap: &mut u64) -> Option<Room> {
    if *swap > 0
        && let Some(swap_max) = number(directory, "memory.swap.max")
    {
        let used = number(directory, "memory.swap.current").unwrap_or(0);
        *swap = swap_max.saturating_sub(used).min(*swap);
    }
    // "max" is no number, and the root has no such file.
    let max = number(directory, "memory.max")?;
    let current = number(directory, "memory.current")?;
    let stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
    let reclaimable = ["inactive_file", "active_file", "slab_reclaimable"]
        .map(|key| value(&stat, key).unwrap_or(0));
    let total = reclaimable
        .iter()
        .fold(max, |sum, &bytes| sum.saturating_add(bytes));
    Some(Room {
        left: total.saturating_add(*swap).saturating_sub(current),
        limit: Limit::Cgroup {
            max,
            file: directory.join("memory.max"),
        },
    })
}

fn room_v1(directory: &Path, is_own: bool, swap_free: u64) -> Option<Room> {
    /// No limit is this large. "Unlimited" is the largest multiple of a page.
    const UNLIMITED: u64 = 1 << 62;
    let max = number(directory, "memory.limit_in_bytes").filter(|&max| max < UNLIMITED)?;
    // Before Linux 5.11 a cgroup may be told not to count the cgroups below it.
    if !is_own && number(directory, "memory.use_hierarchy") == Some(0) {
        return None;
    }
    let used = number(directory, "memory.usage_in_bytes")?;
    let stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
    let file =
        ["total_inactive_file", "total_active_file"].map(|key| value(&stat, key).unwrap_or(0));
    let reclaimable = file[0].saturating_add(file[1]);
    let room = |max: u64, used, more| {
        max.saturating_add(reclaimable)
            .saturating_add(more)
            .saturating_sub(used)
    };
    // Without swap accounting the kernel has no files for memory and swap together.
    let with_swap = number(directory, "memory.memsw.limit_in_bytes")
        .zip(number(directory, "memory.memsw.usage_in_bytes"));
    let with_swap = with_swap.map_or(u64::MAX, |(max, used)| room(max, used, 0));
    Some(Room {
        left: room(max, used, swap_free).min(with_swap),
        limit: Limit::Cgroup {
            max,
            file: directory.join("memory.limit_in_bytes"),
        },
    })
}

/// The number that a file of a cgroup holds.
fn number(directory: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(directory.join(name))
        .ok()?
        .trim_end()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "/docker/60b4";

    #[test]
    fn the_memory_cgroup_is_found_in_both_versions_and_with_both_mounted() {
        for (text, version, path) in [
            ("0::/user.slice/a b\n", Version::V2, "/user.slice/a b"),
            (
                "9:name=systemd:/\n4:memory:/docker/60b4\n0::/\n",
                Version::V1,
                CONTAINER,
            ),
            ("0::/x\n3:cpuset,memory:/a:b\n", Version::V1, "/a:b"),
            // The hybrid layout of systemd with the memory controller in version 2.
            (
                "5:name=systemd:/s\n2:hugetlb,memoryless:/h\n0::/u\n",
                Version::V2,
                "/u",
            ),
        ] {
            assert_eq!(
                memory_cgroup(text.as_bytes()),
                Some((version, path.into())),
                "{text}"
            );
        }
        for text in ["", "\n", "garbage", "4:cpu:/x\n"] {
            assert_eq!(memory_cgroup(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_mount_shows_the_cgroup_if_its_root_is_on_the_way_up() {
        let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory\n";
        let bound = "40 1 0:32 /docker/60b4 /bound\\040here ro - cgroup cgroup rw,cpu,memory\n";
        let others = "32 31 0:29 / /cpu rw - cgroup cgroup rw,cpu\n1 1 0:32 /docker/60 /no rw - cgroup cgroup rw,memory\n";
        let text = [v1, others, bound, "short line\n", "\n"].concat();
        let found = mounted_cgroups(text.as_bytes(), Version::V1, Path::new("/docker/60b4/in"));
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.mount_point.to_str(), it.path.to_str()))
            .collect();
        let whole = (Some("/sys/fs/cgroup/memory"), Some("docker/60b4/in"));
        assert_eq!(found, [whole, (Some("/bound here"), Some("in"))]);
        assert_eq!(
            mounted_cgroups(text.as_bytes(), Version::V2, Path::new("/")),
            []
        );

        // In a cgroup namespace of its own, and moved out of it.
        let v2 = b"31 23 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            mounted_cgroups(v2, Version::V2, Path::new("/"))[0].path,
            Path::new("")
        );
        let outside = b"31 23 0:28 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mounted_cgroups(outside, Version::V2, Path::new("/../../other"))[0].path,
            Path::new("other")
        );
        assert_eq!(mounted_cgroups(v2, Version::V2, Path::new("/../other")), []);
    }

    #[test]
    fn octal_escapes_in_mountinfo_are_undone() {
        assert_eq!(
            unescaped(br"/a\040b\134\011\012c\9\04"),
            Path::new("/a b\\\t\nc\\9\\04")
        );
    }

    /// A directory tree like that of a cgroup file system.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn rooms(version: Version, root: &Path, path: &str, swap_free: u64) -> Vec<(u64, u64)> {
        let cgroup = Cgroup {
            version,
            mount_point: root.to_owned(),
            path: path.into(),
        };
        let rooms = cgroup.rooms(swap_free).into_iter();
        let limit = |limit| match limit {
            Limit::Cgroup { max, .. } => max,
            Limit::Machine => unreachable!("it was not asked for"),
        };
        rooms.map(|room| (room.left, limit(room.limit))).collect()
    }

    #[test]
    fn version_2_counts_page_cache_and_swap_as_left() {
        let root = tree(&[
            ("cgroup.procs", ""),
            ("pod/memory.max", "1000\n"),
            ("pod/memory.current", "900\n"),
            ("pod/memory.swap.max", "40\n"),
            ("pod/memory.swap.current", "10\n"),
            (
                "pod/memory.stat",
                "anon 1\nfile 300\ninactive_file 100\nactive_file 50\nslab_reclaimable 7\nshmem 150\n",
            ),
            ("pod/free/memory.max", "max\n"),
            ("pod/free/memory.high", "1\n"),
            ("pod/free/own/memory.max", "500\n"),
            ("pod/free/own/memory.current", "600\n"),
            ("pod/free/own/memory.stat", "inactive_file 200\n"),
            ("pod/free/own/memory.swap.max", "max\n"),
        ]);
        let left = |path, swap| rooms(Version::V2, root.path(), path, swap);
        assert_eq!(left("pod/free/own", 0), [(257, 1000), (100, 500)]);
        // The cgroup above has 30 left, whatever our own may swap.
        assert_eq!(left("pod/free/own", 5000), [(287, 1000), (130, 500)]);
        assert_eq!(left("pod/free/own", 20), [(277, 1000), (120, 500)]);
        assert_eq!(left("pod", 0), [(257, 1000)]);
        assert_eq!(left("", 0), []);
        assert_eq!(left("gone", 0), []);
    }

    #[test]
    fn version_1_takes_the_tighter_of_memory_and_memory_with_swap() {
        let stat = "inactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n";
        let root = tree(&[
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("a/memory.limit_in_bytes", "1000"),
            ("a/memory.usage_in_bytes", "900"),
            ("a/memory.memsw.limit_in_bytes", "1100"),
            ("a/memory.memsw.usage_in_bytes", "980"),
            ("a/memory.stat", stat),
            ("a/b/memory.limit_in_bytes", "800"),
            ("a/b/memory.usage_in_bytes", "100"),
            ("a/b/memory.stat", stat),
        ]);
        let left = |path, swap| rooms(Version::V1, root.path(), path, swap);
        assert_eq!(left("a/b", 0), [(250, 1000), (850, 800)]);
        assert_eq!(left("a/b", 10), [(260, 1000), (860, 800)]);
        assert_eq!(left("a/b", 5000), [(270, 1000), (5850, 800)]);
        fs::write(root.path().join("a/memory.use_hierarchy"), "0").unwrap();
        assert_eq!(left("a/b", 0), [(850, 800)]);
        assert_eq!(left("a", 0), [(250, 1000)]);
    }

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal: 5 kB\nMemAvailable:   23951228 kB\nSwapFree:\n";
        assert_eq!(value(text, "MemAvailable:"), Some(23951228));
        assert_eq!(value(text, "SwapFree:"), None);
        assert_eq!(value(text, "Mem"), None);
        assert!(room().is_none_or(|room| room.left > 0));
    }
}
