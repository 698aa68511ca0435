//! The file systems in memory that any process sees, each once.

use crate::sys::memory::mapping::page_size;
use crate::sys::mounts::Mount;
use crate::sys::process::survey::Survey;
use crate::sys::shm::tmpfs::{Free, measure_at};
use nix::errno::Errno;
use nix::sys::stat::makedev;
use std::collections::HashMap;

/// What a file system is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The `/dev/shm` of another mount namespace.
    OtherContainer,
    /// The device files.
    Devtmpfs,
    /// Anything else.
    Tmpfs,
}

/// A file system in memory.
#[derive(Debug)]
pub struct FileSystem {
    /// The device number.
    pub device: u64,
    /// What it is for.
    pub class: Class,
    /// Where it is mounted, as the process `pid` sees it. This may contain any bytes but NUL. None for the root file
    /// system that the kernel started with, which is mounted where no path leads to.
    pub mount_point: Option<Vec<u8>>,
    /// Whether another mount hides it there.
    pub is_covered: bool,
    /// A process that sees this mount point, or None if we see it.
    pub pid: Option<i32>,
    /// The number of bytes that its files take. None if it could not be measured.
    pub bytes: Option<u64>,
    /// Whether some files could not be measured.
    has_unmeasured_files: bool,
    /// The maximum number of bytes. 0 means no limit, and None the default.
    limit: Option<u64>,
    /// How well the mount point names the file system.
    rank: Rank,
    /// A path of our own that leads to its root directory.
    own_path: Option<Vec<u8>>,
}

/// Whether a mount is hidden, and whether it shows only a part of the file system. The lowest is the best.
type Rank = (bool, bool);

/// The rank of a mount that can be reached and shows everything.
const BEST: Rank = (false, false);

fn rank(mount: &Mount) -> Rank {
    (mount.is_covered, mount.root != b"/")
}

impl FileSystem {
    fn new(mount: &Mount, pid: Option<i32>) -> FileSystem {
        FileSystem {
            device: mount.device,
            class: match mount.is_devtmpfs {
                true => Class::Devtmpfs,
                false => Class::Tmpfs,
            },
            mount_point: Some(mount.mount_point.clone()),
            is_covered: mount.is_covered,
            pid,
            bytes: None,
            has_unmeasured_files: false,
            limit: mount.limit,
            rank: rank(mount),
            own_path: None,
        }
    }

    /// Returns whether it may contain more than was measured.
    pub fn is_partial(&self) -> bool {
        self.bytes.is_none() || self.has_unmeasured_files
    }

    /// Measures it. Returns false if it does not exist any more.
    fn measure(&mut self, default_limit: u64) -> bool {
        let limit = self.limit.unwrap_or(default_limit);
        match Free::of(self.device) {
            // Without a limit, the file system does not count its pages.
            Ok(_) if limit == 0 => self.measure_by_path(),
            Ok(free) => self.bytes = Some(free.used_of(limit)),
            Err(Errno::EINVAL) => return false,
            // Other architectures, and sandboxes.
            Err(_) => self.measure_by_path(),
        }
        true
    }

    /// Measures it if we have a path to it. No path in another namespace can be trusted.
    fn measure_by_path(&mut self) {
        let path = self.own_path.as_deref();
        if let Some(Ok(usage)) = path.map(|path| measure_at(path, self.device)) {
            self.bytes = Some(usage.bytes);
            self.has_unmeasured_files = usage.is_partial;
        }
    }
}

/// Finds and measures all file systems in memory. `own_device` is that of our own `/dev/shm`, which is not another
/// container's, and `total_memory` is the memory of the machine.
pub fn measure(survey: &Survey, own_device: Option<u64>, total_memory: u64) -> Vec<FileSystem> {
    // The default of tmpfs(5).
    let default_limit = total_memory / 2;
    let mut found = find(survey, own_device);
    let root = initial_root(survey, &found, default_limit);
    found.retain_mut(|file_system| file_system.measure(default_limit));
    found.extend(root);
    found
}

fn find(survey: &Survey, own_device: Option<u64>) -> Vec<FileSystem> {
    let mut found = HashMap::new();
    for mount in &survey.own_mounts {
        let file_system = found
            .entry(mount.device)
            .or_insert_with(|| FileSystem::new(mount, None));
        if rank(mount) < file_system.rank {
            *file_system = FileSystem::new(mount, None);
        }
        if rank(mount) == BEST {
            file_system.own_path = file_system.mount_point.clone();
        }
    }
    for namespace in &survey.namespaces {
        for mount in &namespace.mounts {
            let file_system = found
                .entry(mount.device)
                .or_insert_with(|| FileSystem::new(mount, Some(namespace.pid)));
            let is_shm = mount.mount_point == b"/dev/shm" && rank(mount) == BEST;
            // The host may see it too, at a path of the container runtime.
            if is_shm && file_system.class == Class::Tmpfs && Some(mount.device) != own_device {
                *file_system = FileSystem {
                    class: Class::OtherContainer,
                    own_path: file_system.own_path.take(),
                    ..FileSystem::new(mount, Some(namespace.pid))
                };
            }
        }
    }
    found.into_values().collect()
}

/// Measures the root file system that the kernel starts with and unpacks an initramfs into. If the kernel then moves on
/// to a disk, no path leads to the files that are left, and no mountinfo shows their file system.
fn initial_root(survey: &Survey, found: &[FileSystem], default_limit: u64) -> Option<FileSystem> {
    // The kernel's own tmpfs for memfds comes first.
    let device = makedev(0, 2);
    if survey.device == Some(device) || found.iter().any(|one| one.device == device) {
        return None;
    }
    let all = survey.namespaces.iter().flat_map(|one| &one.mounts);
    let devtmpfs = survey
        .own_mounts
        .iter()
        .chain(all)
        .find(|mount| mount.is_devtmpfs)?;
    // Its limits are those of the devtmpfs, which was mounted just after it, unless somebody has changed those. By
    // default, the maximum number of inodes is the same as that of pages.
    let limit = devtmpfs.limit.unwrap_or(default_limit);
    let pages = limit / page_size() as u64;
    let has_default_limits = match (devtmpfs.limit, devtmpfs.max_inodes) {
        (None, None) => true,
        (Some(_), Some(inodes)) => inodes == pages,
        _ => false,
    };
    let free = Free::of(device)
        .ok()
        .filter(|free| has_default_limits && (1..=pages).contains(&free.inodes))?;
    // With another limit, the number would be absurd; a ramfs has no free inodes.
    let used = Some(free.used_of(limit)).filter(|&used| used <= limit)?;
    Some(FileSystem {
        device,
        class: Class::Tmpfs,
        mount_point: None,
        is_covered: true,
        pid: None,
        bytes: Some(used),
        has_unmeasured_files: false,
        limit: Some(limit),
        rank: BEST,
        own_path: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mounts::memory_mounts;
    use crate::sys::process::survey::Namespace;

    fn survey(own: &str, others: &[(i32, &str)]) -> Survey {
        Survey {
            own_mounts: memory_mounts(own.as_bytes()).unwrap(),
            namespaces: others
                .iter()
                .map(|&(pid, text)| Namespace {
                    pid,
                    mounts: memory_mounts(text.as_bytes()).unwrap(),
                })
                .collect(),
            ..Survey::default()
        }
    }

    #[test]
    fn each_file_system_is_found_once_and_named_by_its_best_mount() {
        let own = "\
1 0 0:10 / /dev/shm rw - tmpfs x rw
2 0 0:11 /part /bound rw - tmpfs x rw
3 0 0:11 / /run rw - tmpfs x rw
4 0 0:12 / /var/lib/containers/1/shm rw - tmpfs x rw
5 0 0:13 / /hidden rw - tmpfs x rw
6 5 0:14 / /hidden rw - tmpfs x rw
";
        let other = "\
7 0 0:12 / /dev/shm rw - tmpfs x rw
8 0 0:11 /part /dev/shm rw - tmpfs x rw
9 0 0:10 / /dev/shm rw - tmpfs x rw
10 0 0:15 / /secret rw - tmpfs x rw
";
        let survey = survey(own, &[(7, other), (8, "11 0 0:12 / /tmp rw - tmpfs x rw")]);
        let mut found = find(&survey, Some(makedev(0, 10)));
        found.sort_by_key(|one| one.device);
        let summary: Vec<_> = found
            .iter()
            .map(|one| {
                let path = str::from_utf8(one.mount_point.as_deref().unwrap()).unwrap();
                (path, one.class, one.pid, one.own_path.is_some())
            })
            .collect();
        assert_eq!(
            summary,
            [
                ("/dev/shm", Class::Tmpfs, None, true),
                ("/run", Class::Tmpfs, None, true),
                ("/dev/shm", Class::OtherContainer, Some(7), true),
                ("/hidden", Class::Tmpfs, None, false),
                ("/hidden", Class::Tmpfs, None, true),
                ("/secret", Class::Tmpfs, Some(7), false),
            ]
        );
        assert_eq!(
            found[2].own_path.as_deref(),
            Some(&b"/var/lib/containers/1/shm"[..])
        );
        assert!(found[3].is_covered && !found[4].is_covered);
    }

    #[test]
    fn a_root_file_system_with_unknown_limits_is_not_measured() {
        for options in ["size=4096k,nr_inodes=1048576", "size=4096k", "nr_inodes=7"] {
            let own = format!("1 0 0:6 / /dev rw - devtmpfs x rw,{options}");
            assert!(initial_root(&survey(&own, &[]), &[], 1 << 30).is_none());
        }
        assert!(initial_root(&survey("", &[]), &[], 1 << 30).is_none());
    }
}
