//! Giving up rights: becoming root of another user namespace (`user_namespaces(7)`, `setns(2)`, `ioctl_ns(2)`).

use crate::sys::error::errno;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `NS_GET_USERNS` of `<linux/nsfs.h>`, which libc lacks.
const NS_GET_USERNS: libc::c_ulong = 0xb701;

/// `NS_GET_PARENT` of `<linux/nsfs.h>`.
const NS_GET_PARENT: libc::c_ulong = 0xb702;

/// User namespaces can be nested this deep (`user_namespaces(7)`).
const MAX_DEPTH: usize = 32;

/// The rights of root of another container: at most these are used in its `/dev/shm`.
#[derive(Debug)]
pub struct Rights {
    /// The user namespace that owns the mount namespace, and then that of the process. Only those that are not our
    /// own, and each once.
    namespaces: Vec<OwnedFd>,
}

/// Why the rights could not be taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsError {
    /// No user ID is mapped into the user namespace, so that it has no root.
    NothingMapped,
    /// A system call failed.
    Os(Errno),
}

impl From<Errno> for RightsError {
    fn from(errno: Errno) -> RightsError {
        RightsError::Os(errno)
    }
}

impl Rights {
    /// Returns the rights of root in the container with these namespaces.
    ///
    /// A process can be in a user namespace that does not own its mount namespace: it may have joined the mount
    /// namespace of another container, or created a user namespace only. Root of the container has the rights that both
    /// have in common.
    ///
    /// # Errors
    ///
    /// `EPERM` if the owner is a user namespace outside of our own; otherwise those of `ioctl_ns(2)`.
    pub fn of(mount_namespace: BorrowedFd, user_namespace: OwnedFd) -> nix::Result<Rights> {
        let own = own_user_namespace()?;
        let owner = related(mount_namespace, NS_GET_USERNS)?;
        let mut namespaces = Vec::new();
        let mut known = vec![own];
        for namespace in [owner, user_namespace] {
            let status = FileStatus::of(&namespace)?;
            if !known.iter().any(|one| one.is_same_file(&status)) {
                namespaces.push(namespace);
                known.push(status);
            }
        }
        Ok(Rights { namespaces })
    }

    /// Returns whether the container is in our own user namespace, so that its root has the rights of ours.
    pub fn are_ours(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// The descriptors that [`assume`](Self::assume) needs.
    pub fn descriptors(&self) -> impl Iterator<Item = i32> {
        self.namespaces.iter().map(AsRawFd::as_raw_fd)
    }

    /// Returns how deep the user namespace is nested in ours. Less deep means more rights.
    pub fn depth(&self) -> usize {
        let Ok(own) = own_user_namespace() else {
            return MAX_DEPTH;
        };
        let depth = |namespace: &OwnedFd| {
            let mut parent = related(namespace.as_fd(), NS_GET_PARENT);
            let mut depth = 1;
            while let Ok(now) = parent
                && depth < MAX_DEPTH
                && !FileStatus::of(&now).is_ok_and(|now| now.is_same_file(&own))
            {
                parent = related(now.as_fd(), NS_GET_PARENT);
                depth += 1;
            }
            depth
        };
        self.namespaces.iter().map(depth).max().unwrap_or(0)
    }

    /// Takes on these rights for good: from now on, this process may do only what root of the container may do.
    ///
    /// Our own groups go first: later the user namespace can forbid that, and group 0 may do more than the container.
    /// Nobody in the container can inspect this process, because it is not dumpable (`PR_SET_DUMPABLE`, `prctl(2)`).
    ///
    /// # Errors
    ///
    /// [`RightsError::NothingMapped`], or `EPERM` if we may not enter the user namespace.
    pub fn assume(&self) -> Result<(), RightsError> {
        prctl::set_dumpable(false)?;
        match setgroups(&[]) {
            // Whoever is not root has started the container with the same groups.
            Err(Errno::EPERM) if !geteuid().is_root() || !may_set_groups() => {}
            result => result?,
        }
        let mut entered = false;
        for namespace in &self.namespaces {
            match setns(namespace, CloneFlags::CLONE_NEWUSER) {
                Ok(()) => entered = true,
                // We are in it, or in one that has less rights than this one.
                Err(_) if entered => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if entered {
            let lowest = |map: IdMap| map.lowest().ok_or(RightsError::NothingMapped);
            let gid = Gid::from_raw(lowest(IdMap::own_groups()?)?);
            let uid = Uid::from_raw(lowest(IdMap::own_users()?)?);
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
            // The change of IDs may have reset it.
            prctl::set_dumpable(false)?;
        }
        Ok(())
    }
}

/// Returns whether the user namespace lets its root change the groups of a process.
fn may_set_groups() -> bool {
    // Without this file, the kernel is too old to forbid it.
    fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"allow"))
}

fn own_user_namespace() -> nix::Result<FileStatus> {
    FileStatus::at(AT_FDCWD, c"/proc/self/ns/user", 0)
}

/// Returns a namespace that is related to another one (`ioctl_ns(2)`, which nix does not wrap).
fn related(namespace: BorrowedFd, request: libc::c_ulong) -> nix::Result<OwnedFd> {
    // SAFETY: both requests take no memory, and return a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), request as _);
        Ok(OwnedFd::from_raw_fd(Errno::result(fd)?))
    }
}

/// Which IDs of a user namespace stand for which IDs of ours (`user_namespaces(7)`).
#[derive(Debug, Clone, Default)]
pub struct IdMap(Vec<[u32; 3]>);

impl IdMap {
    /// Parses `/proc/PID/uid_map`. Lines that are malformed are left out.
    pub fn parse(text: &str) -> IdMap {
        let line = |line: &str| {
            let numbers = line.split_whitespace().map(|number| number.parse().ok());
            numbers.collect::<Option<Vec<u32>>>()?.try_into().ok()
        };
        IdMap(text.lines().filter_map(line).collect())
    }

    /// Reads the map of the user IDs of our own user namespace to those of its parent.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `read(2)`.
    pub fn own_users() -> nix::Result<IdMap> {
        IdMap::read("/proc/self/uid_map")
    }

    /// Reads the map of the group IDs of our own user namespace to those of its parent.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `read(2)`.
    pub fn own_groups() -> nix::Result<IdMap> {
        IdMap::read("/proc/self/gid_map")
    }

    fn read(path: &str) -> nix::Result<IdMap> {
        let text = fs::read_to_string(path).map_err(|error| errno(&error))?;
        Ok(IdMap::parse(&text))
    }

    /// Returns the lowest ID inside of the user namespace.
    fn lowest(&self) -> Option<u32> {
        self.0.iter().map(|[inside, ..]| *inside).min()
    }

    /// Returns the ID inside of the user namespace that stands for one of our IDs.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.0.iter().find_map(|[inside, first, count]| {
            let offset = outside.checked_sub(*first)?;
            (offset < *count).then_some(inside.checked_add(offset)?)
        })
    }

    /// Returns our ID for which an ID inside of the user namespace stands.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let swap = |[inside, outside, count]: &[u32; 3]| [*outside, *inside, *count];
        IdMap(self.0.iter().map(swap).collect()).inside(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_in_ranges() {
        let map =
            IdMap::parse("         1     100000      65535\n         0       1000          1\nx\n");
        assert_eq!(map.lowest(), Some(0));
        for (outside, inside) in [
            (1000, Some(0)),
            (100_000, Some(1)),
            (165_534, Some(65_535)),
            (165_535, None),
            (0, None),
        ] {
            assert_eq!(map.inside(outside), inside);
            if let Some(inside) = inside {
                assert_eq!(map.outside(inside), Some(outside));
            }
        }
        assert_eq!(map.outside(65_536), None);
        assert_eq!(IdMap::parse("").lowest(), None);
        let all = IdMap::parse("0 0 4294967295");
        assert_eq!(all.inside(4_294_967_294), Some(4_294_967_294));
    }
}
