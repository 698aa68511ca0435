//! How much memory is available in the machine and in our cgroup: `proc_meminfo(5)`, `cgroups(7)`.
//!
//! The kernel charges the memory of a shared memory object to the cgroup of the process that allocates it. If that
//! exceeds a limit, the allocation does not fail; instead, the OOM killer kills a process.

use super::cgroup::{Cgroup, Version, cgroups};
use std::fs;
use std::path::{Path, PathBuf};

/// An estimate of the memory that can still be allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableMemory {
    /// The number of bytes, including memory that the kernel can reclaim or swap out.
    pub bytes: u64,
    /// What limits the memory.
    pub limit: Limit,
}

/// What limits the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The memory and swap space of the machine.
    Machine,
    /// The cgroup of this process, or one of its ancestors.
    Cgroup {
        /// The limit in bytes.
        max: u64,
        /// The file that sets it.
        file: PathBuf,
    },
}

/// The memory of a cgroup that does not count as available. Programs need a part of the page cache to run: their code. If
/// the kernel reclaims that for an object, they read it again and again, until the OOM killer ends it.
const RESERVE: u64 = 1 << 20;

/// Estimates how much memory this process can still allocate. Returns `None` if there is no `/proc`.
///
/// When in doubt, the estimate is too high: limits that cannot be read are ignored, and all page cache except a
/// megabyte counts as reclaimable. Inside a container it does not see limits of cgroups above the root of the container.
pub fn available_memory() -> Option<AvailableMemory> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let swap_free = field(&meminfo, "SwapFree:").unwrap_or(0) << 10;
    let machine = field(&meminfo, "MemAvailable:").map(|available| AvailableMemory {
        bytes: (available << 10).saturating_add(swap_free),
        limit: Limit::Machine,
    });
    let cgroups = cgroups().unwrap_or_default();
    let available = cgroups
        .iter()
        .flat_map(|cgroup| cgroup.available(swap_free))
        .map(|memory| AvailableMemory {
            bytes: memory.bytes.saturating_sub(RESERVE),
            ..memory
        });
    available.chain(machine).min_by_key(|memory| memory.bytes)
}

/// Returns the number after a key in a file such as `/proc/meminfo` or `memory.stat`.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut words = lines.find_map(|mut words| (words.next() == Some(key)).then_some(words))?;
    words.next()?.parse().ok()
}

impl Cgroup {
    /// Returns the available memory of each cgroup that has a limit, from the mount point down to our own cgroup.
    fn available(&self, swap_free: u64) -> Vec<AvailableMemory> {
        let own = self.mount_point.join(&self.path);
        let levels = self.path.components().count() + 1;
        let mut top_down: Vec<_> = own.ancestors().take(levels).collect();
        top_down.reverse();
        let available = |directory: &Path, swap: &mut u64| match self.version {
            Version::V1 => available_v1(directory, directory == own, *swap),
            Version::V2 => available_v2(directory, swap),
        };
        // A cgroup cannot use more swap space than its ancestors allow.
        let mut swap = swap_free;
        top_down
            .iter()
            .filter_map(|directory| available(directory, &mut swap))
            .collect()
    }
}

fn available_v2(directory: &Path, swap: &mut u64) -> Option<AvailableMemory> {
    if *swap > 0
        && let Some(swap_max) = read_number(directory, "memory.swap.max")
    {
        let used = read_number(directory, "memory.swap.current").unwrap_or(0);
        *swap = swap_max.saturating_sub(used).min(*swap);
    }
    // This returns None without a limit: then the file contains "max", or, in the root cgroup, does not exist.
    let max = read_number(directory, "memory.max")?;
    let current = read_number(directory, "memory.current")?;
    let stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
    let reclaimable = ["inactive_file", "active_file", "slab_reclaimable"]
        .map(|key| field(&stat, key).unwrap_or(0));
    let total = reclaimable
        .iter()
        .fold(max, |sum, &bytes| sum.saturating_add(bytes));
    Some(AvailableMemory {
        bytes: total.saturating_add(*swap).saturating_sub(current),
        limit: Limit::Cgroup {
            max,
            file: directory.join("memory.max"),
        },
    })
}

fn available_v1(directory: &Path, is_own: bool, swap_free: u64) -> Option<AvailableMemory> {
    /// Larger than any real limit. Without a limit, the file contains the largest multiple of the page size.
    const UNLIMITED: u64 = 1 << 62;
    let max = read_number(directory, "memory.limit_in_bytes").filter(|&max| max < UNLIMITED)?;
    // Before Linux 5.11 a cgroup could be configured not to count its descendants.
    if !is_own && read_number(directory, "memory.use_hierarchy") == Some(0) {
        return None;
    }
    let used = read_number(directory, "memory.usage_in_bytes")?;
    let stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
    let file =
        ["total_inactive_file", "total_active_file"].map(|key| field(&stat, key).unwrap_or(0));
    let reclaimable = file[0].saturating_add(file[1]);
    let available = |max: u64, used, more| {
        max.saturating_add(reclaimable)
            .saturating_add(more)
            .saturating_sub(used)
    };
    // Without swap accounting there are no files for memory and swap together.
    let with_swap = read_number(directory, "memory.memsw.limit_in_bytes")
        .zip(read_number(directory, "memory.memsw.usage_in_bytes"));
    let with_swap = with_swap.map_or(u64::MAX, |(max, used)| available(max, used, 0));
    Some(AvailableMemory {
        bytes: available(max, used, swap_free).min(with_swap),
        limit: Limit::Cgroup {
            max,
            file: directory.join("memory.limit_in_bytes"),
        },
    })
}

/// Reads the number in a file of a cgroup.
fn read_number(directory: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(directory.join(name))
        .ok()?
        .trim_end()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates files like those of a cgroup file system.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn available_in(version: Version, root: &Path, path: &str, swap_free: u64) -> Vec<(u64, u64)> {
        let cgroup = Cgroup {
            version,
            mount_point: root.to_owned(),
            path: path.into(),
        };
        let available = cgroup.available(swap_free).into_iter();
        let limit = |limit| match limit {
            Limit::Cgroup { max, .. } => max,
            Limit::Machine => unreachable!("only cgroups are examined"),
        };
        available
            .map(|memory| (memory.bytes, limit(memory.limit)))
            .collect()
    }

    #[test]
    fn version_2_counts_page_cache_and_swap_as_available() {
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
        let available = |path, swap| available_in(Version::V2, root.path(), path, swap);
        assert_eq!(available("pod/free/own", 0), [(257, 1000), (100, 500)]);
        // The parent cgroup has 30 bytes of swap left, which also limits our own cgroup.
        assert_eq!(available("pod/free/own", 5000), [(287, 1000), (130, 500)]);
        assert_eq!(available("pod/free/own", 20), [(277, 1000), (120, 500)]);
        assert_eq!(available("pod", 0), [(257, 1000)]);
        assert_eq!(available("", 0), []);
        assert_eq!(available("gone", 0), []);
    }

    #[test]
    fn version_1_uses_the_lower_limit_of_memory_and_memory_with_swap() {
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
        let available = |path, swap| available_in(Version::V1, root.path(), path, swap);
        assert_eq!(available("a/b", 0), [(250, 1000), (850, 800)]);
        assert_eq!(available("a/b", 10), [(260, 1000), (860, 800)]);
        assert_eq!(available("a/b", 5000), [(270, 1000), (5850, 800)]);
        fs::write(root.path().join("a/memory.use_hierarchy"), "0").unwrap();
        assert_eq!(available("a/b", 0), [(850, 800)]);
        assert_eq!(available("a", 0), [(250, 1000)]);
    }

    #[test]
    fn meminfo_is_parsed() {
        let text = "MemTotal: 5 kB\nMemAvailable:   23951228 kB\nSwapFree:\n";
        assert_eq!(field(text, "MemAvailable:"), Some(23951228));
        assert_eq!(field(text, "SwapFree:"), None);
        assert_eq!(field(text, "Mem"), None);
        assert!(available_memory().is_none_or(|memory| memory.bytes > 0));
    }
}
