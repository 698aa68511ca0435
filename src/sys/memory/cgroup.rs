//! Finding the memory cgroup of this process in the mounted cgroup file systems: `cgroups(7)`.

use crate::sys::mounts::{MountLine, mount_lines, unescape};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// The version of the memory controller. A machine uses only one of them, even if it mounts both hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The cgroup of this process, as seen through one mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub version: Version,
    pub mount_point: PathBuf,
    /// The path of the cgroup, relative to the mount point.
    pub path: PathBuf,
}

/// Finds our cgroup in every mount that shows it. In a container some mounts may show more ancestors than others.
pub(super) fn cgroups() -> io::Result<Vec<Cgroup>> {
    let (version, path) = match memory_cgroup(&fs::read("/proc/self/cgroup")?) {
        Some(found) => found,
        None => return Ok(Vec::new()),
    };
    let mountinfo = fs::read("/proc/self/mountinfo")?;
    Ok(mounted_cgroups(&mountinfo, version, &path))
}

/// Parses `/proc/PID/cgroup`, which has lines of `hierarchy:controllers:path`. The line of version 2 has no
/// controllers.
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

/// Returns each mount in `/proc/PID/mountinfo` that shows the memory cgroup `path`.
fn mounted_cgroups(mountinfo: &[u8], version: Version, path: &Path) -> Vec<Cgroup> {
    let cgroup = |line: MountLine| {
        let path_in = |field| PathBuf::from(OsString::from_vec(unescape(field)));
        let (root, mount_point) = (path_in(line.root), path_in(line.mount_point));
        let has_memory_controller = match version {
            Version::V1 => line.kind == b"cgroup" && has_word(line.options, b"memory"),
            Version::V2 => line.kind == b"cgroup2",
        };
        // The root of a bind mount is a cgroup. Both paths are relative to the root of our cgroup namespace. If our
        // process was moved out of that namespace, its path is like "/../other", which the mount may not show.
        let path = path.strip_prefix(&root).ok()?.to_owned();
        let is_shown = !path.components().any(|part| part == Component::ParentDir);
        (has_memory_controller && is_shown).then_some(Cgroup {
            version,
            mount_point,
            path,
        })
    };
    mount_lines(mountinfo).filter_map(cgroup).collect()
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "/docker/60b4";

    #[test]
    fn memory_cgroup_is_found_in_version_1_version_2_and_hybrid_setups() {
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
    fn mounts_that_show_an_ancestor_of_the_cgroup_are_found() {
        let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory\n";
        let bound = "40 1 0:32 /docker/60b4 /bound\\040here ro - cgroup cgroup rw,cpu,memory\n";
        let others = "32 31 0:29 / /cpu rw - cgroup cgroup rw,cpu\n1 1 0:32 /docker/60 /no rw - cgroup cgroup rw,memory\n";
        let text = [v1, others, bound, "short line\n", "\n"].concat();
        let found = mounted_cgroups(text.as_bytes(), Version::V1, Path::new("/docker/60b4/in"));
        let found: Vec<_> = found
            .iter()
            .map(|cgroup| (cgroup.mount_point.to_str(), cgroup.path.to_str()))
            .collect();
        let whole = (Some("/sys/fs/cgroup/memory"), Some("docker/60b4/in"));
        assert_eq!(found, [whole, (Some("/bound here"), Some("in"))]);
        assert_eq!(
            mounted_cgroups(text.as_bytes(), Version::V2, Path::new("/")),
            []
        );

        // The process has its own cgroup namespace, or was moved out of it.
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
}
