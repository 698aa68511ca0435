//! Finding the `/dev/shm` of another process, whose container may be hostile: `openat2(2)`, `proc_pid_mountinfo(5)`.

use super::procfs::{Process, other_threads, read_all};
use super::rights::{IdMap, Rights, RightsError};
use crate::sys::cached::open_cached;
use crate::sys::error::{describe_errno, errno};
use crate::sys::mounts::find_mount;
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, ResolveFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Seek;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::rc::Rc;

/// A process whose `/dev/shm` is to be found. It is opened before any rights are given up, and stays the same process
/// even if its ID is reused.
#[derive(Debug)]
pub struct Target {
    /// Its root directory.
    root: OwnedFd,
    /// Its mounts, as text.
    mounts: File,
    /// Whether it is in our own mount namespace.
    is_in_our_mount_namespace: bool,
    /// The rights of root of its container.
    pub rights: Rc<Rights>,
    /// The user IDs of its user namespace.
    pub users: IdMap,
    /// The group IDs of its user namespace.
    pub groups: IdMap,
}

/// Why a `/dev/shm` was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TargetError {
    /// There is no such process.
    #[error("no such process")]
    NoProcess,
    /// We may not enter the container, or its root may not use the directory.
    #[error("permission denied")]
    Denied,
    /// Only the root directory of the process differs from ours.
    #[error("it is in our own mount namespace with another root directory (chroot)")]
    Chroot,
    /// Nobody is root there.
    #[error("no user IDs are mapped into its user namespace")]
    NothingMapped,
    /// There is no such directory.
    #[error("it has no /dev/shm")]
    Missing,
    /// It is not a tmpfs.
    #[error("its /dev/shm is not a tmpfs")]
    NotTmpfs,
    /// A symbolic link or a plain directory, in our own user namespace.
    #[error("its /dev/shm is not a mount point")]
    NotMounted,
    /// A file server would have to be asked.
    #[error(
        "its /dev/shm cannot be looked up without asking a file server, which may never answer"
    )]
    FileServer,
    /// It sent nothing for some seconds.
    #[error("it did not answer for 5 seconds")]
    Stuck,
    /// Any other failure of a system call.
    #[error("{}", describe_errno(Errno::from_raw(*.0)))]
    Os(i32),
}

impl TargetError {
    /// Returns whether the reason is how the container was made. It is the same every time then.
    pub fn is_lasting(self) -> bool {
        use TargetError::{Chroot, FileServer, NotMounted, NotTmpfs, NothingMapped};
        matches!(
            self,
            Chroot | NothingMapped | NotTmpfs | NotMounted | FileServer
        )
    }
}

impl From<RightsError> for TargetError {
    fn from(error: RightsError) -> TargetError {
        match error {
            RightsError::NothingMapped => TargetError::NothingMapped,
            RightsError::Os(errno) => errno.into(),
        }
    }
}

impl From<Errno> for TargetError {
    fn from(errno: Errno) -> TargetError {
        match errno {
            Errno::EACCES | Errno::EPERM => TargetError::Denied,
            Errno::ESRCH => TargetError::NoProcess,
            _ => TargetError::Os(errno as i32),
        }
    }
}

const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// The maximum number of symbolic links on the way, as in the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

impl Target {
    /// Opens a process by its ID, or one of its threads if the first one has ended.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoProcess`] and [`TargetError::Denied`].
    pub fn open(pid: i32) -> Result<Target, TargetError> {
        match Target::open_thread(pid) {
            Err(TargetError::NoProcess) => {}
            result => return result,
        }
        for thread in other_threads(pid).unwrap_or_default() {
            match Target::open_thread(thread) {
                Err(TargetError::NoProcess) => {}
                result => return result,
            }
        }
        Err(TargetError::NoProcess)
    }

    /// Opens a process by the directory of one of its threads.
    fn open_thread(thread: i32) -> Result<Target, TargetError> {
        let process = Process::open(thread).map_err(gone)?;
        let open = |path, flags| openat(&process, path, flags, Mode::empty()).map_err(gone);
        let read = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        // The root comes first: a process that has changed to other namespaces since then has only given up rights.
        let root = open("root", DIRECTORY)?;
        let mount_namespace = open("ns/mnt", read)?;
        let user_namespace = open("ns/user", read)?;
        let mounts = File::from(open("mountinfo", read)?);
        let map = |path| {
            let mut text = Vec::new();
            // What is not known is not shown.
            let _ = open(path, read).map(|file| read_all(&file.into(), &mut text));
            IdMap::parse(&String::from_utf8_lossy(&text))
        };
        let (users, groups) = (map("uid_map"), map("gid_map"));
        let own = FileStatus::at(AT_FDCWD, c"/proc/self/ns/mnt", 0)?;
        let is_in_our_mount_namespace = FileStatus::of(&mount_namespace)?.is_same_file(&own);
        Ok(Target {
            root,
            mounts,
            is_in_our_mount_namespace,
            rights: Rc::new(Rights::of(mount_namespace.as_fd(), user_namespace)?),
            users,
            groups,
        })
    }

    /// Returns whether the process has the same mounts and the same root directory as this one, so that its `/dev/shm`
    /// is our own.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn sees_our_files(&self) -> nix::Result<bool> {
        let own = FileStatus::at(AT_FDCWD, c"/", 0)?;
        let root = FileStatus::of(&self.root)?;
        let is_same_root = root.is_same_file(&own) && root.mount_id == own.mount_id;
        Ok(self.is_in_our_mount_namespace && is_same_root)
    }

    /// The descriptors that [`find_directory`](Self::find_directory) needs.
    pub fn descriptors(&self) -> Vec<i32> {
        let own = [self.root.as_raw_fd(), self.mounts.as_raw_fd()];
        own.into_iter().chain(self.rights.descriptors()).collect()
    }

    /// Takes on the rights of root of the container, and opens its `/dev/shm` with `O_PATH`. With `to_read`, it must be
    /// possible to list the directory.
    ///
    /// The kernel decides what may be entered, with at most the rights of the container. In addition, the directory
    /// must be on a tmpfs, and nothing asks a file server before that is certain. If the container is in our own user
    /// namespace, this process keeps the rights of root of the host; then the directory must also be a mount point, and
    /// no symbolic link is followed.
    ///
    /// # Errors
    ///
    /// The reason why there is no such directory.
    pub fn find_directory(&self, to_read: bool) -> Result<OwnedFd, TargetError> {
        let is_trusted = !self.rights.are_ours();
        if self.is_in_our_mount_namespace && !is_trusted {
            return Err(TargetError::Chroot);
        }
        self.rights.assume()?;
        let mounts = Mounts(&self.mounts);
        let directory = match open_at_once(self.root.as_fd(), is_trusted) {
            // Part of the path is not cached, or the kernel or a sandbox lacks the call or the flag.
            Err(Errno::EAGAIN | Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => {
                walk(self.root.as_fd(), mounts, is_trusted)?
            }
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Err(TargetError::Missing),
            Err(Errno::ELOOP) => return Err(TargetError::NotMounted),
            result => result?,
        };
        let mount = mounts.mount_of(&directory)?.ok_or(TargetError::NotTmpfs)?;
        if mount.kind != b"tmpfs" {
            return Err(TargetError::NotTmpfs);
        }
        if !is_trusted && ![&b"/dev/shm"[..], b"/dev"].contains(&&*mount.point) {
            return Err(TargetError::NotMounted);
        }
        if to_read {
            let rights = AccessFlags::R_OK | AccessFlags::X_OK;
            faccessat(&directory, ".", rights, AtFlags::AT_EACCESS)?;
        }
        Ok(directory)
    }
}

/// In `/proc`, what belongs to a process that has ended does not exist.
fn gone(errno: Errno) -> TargetError {
    match errno {
        Errno::ENOENT => TargetError::NoProcess,
        _ => errno.into(),
    }
}

/// Returns the ID of the mount through which a file was opened.
fn mount_id(file: impl AsFd) -> nix::Result<u64> {
    let file = file.as_fd();
    match FileStatus::of(file)?.mount_id {
        // A sandbox without statx(2).
        0 => {
            let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
            let text = fs::read_to_string(path).map_err(|error| errno(&error))?;
            let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
            id.and_then(|id| id.trim().parse().ok())
                .ok_or(Errno::ENOSYS)
        }
        id => Ok(id),
    }
}

/// Opens `dev/shm` in a root directory, but only if no file server need be asked.
fn open_at_once(root: BorrowedFd, follows_links: bool) -> nix::Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if !follows_links {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    open_cached(root, "dev/shm", DIRECTORY, resolve)
}

/// Opens `dev/shm` one component at a time, and checks the mount of each directory before it looks for the next
/// component there.
fn walk(root: BorrowedFd, mounts: Mounts, follows_links: bool) -> Result<OwnedFd, TargetError> {
    let mut parents = vec![root.try_clone_to_owned().map_err(|error| errno(&error))?];
    let mut left: Vec<OsString> = vec!["shm".into(), "dev".into()];
    let mut links = 0;
    while let Some(component) = left.pop() {
        match component.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                // As in the kernel, the parent of the root is the root.
                parents.truncate(parents.len().saturating_sub(1).max(1));
                continue;
            }
            _ => {}
        }
        let parent = parents.last().ok_or(TargetError::Missing)?;
        match mounts.asks_file_server(parent)? {
            Some(false) => {}
            Some(true) => return Err(TargetError::FileServer),
            // The root directory is not a mount point, so that its file system is not known.
            None => return Err(TargetError::NotMounted),
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(parent, component.as_os_str(), flags, Mode::empty());
        let found = found.map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => TargetError::Missing,
            _ => errno.into(),
        })?;
        let status = FileStatus::of(&found)?;
        if status.is_type(libc::S_IFDIR) {
            parents.push(found);
            continue;
        }
        links += 1;
        if !status.is_type(libc::S_IFLNK) || links > MAX_LINKS {
            return Err(TargetError::Missing);
        }
        if !follows_links {
            return Err(TargetError::NotMounted);
        }
        if mounts.asks_file_server(&found)? != Some(false) || mounts.is_proc(&found)? {
            return Err(TargetError::FileServer);
        }
        let target = readlinkat(&found, "")?;
        if target.as_bytes().starts_with(b"/") {
            parents.truncate(1);
        }
        let components = target.as_bytes().split(|&byte| byte == b'/').rev();
        left.extend(components.map(|component| OsString::from_vec(component.to_vec())));
    }
    parents.pop().ok_or(TargetError::Missing)
}

/// The file `/proc/PID/mountinfo` of the target.
#[derive(Clone, Copy)]
struct Mounts<'a>(&'a File);

/// A mount of the target.
struct TargetMount {
    kind: Vec<u8>,
    point: Vec<u8>,
}

impl Mounts<'_> {
    /// Finds the mount through which a file was opened. The list is read only now: as long as the file is open, no other
    /// mount gets the same ID.
    fn mount_of(self, file: impl AsFd) -> Result<Option<TargetMount>, TargetError> {
        let id = mount_id(file)?;
        let mut found = None;
        let mut list = self.0;
        list.rewind()
            .and_then(|()| {
                find_mount(list, |mount| {
                    if mount.id == id {
                        found = Some(TargetMount {
                            kind: mount.kind.to_vec(),
                            point: mount.mount_point.to_vec(),
                        });
                    }
                    mount.id == id
                })
            })
            .map_err(|error| errno(&error))?;
        Ok(found)
    }

    /// Returns whether looking up a name in this directory may ask a file server. Returns `None` if its
    /// mount is not known.
    fn asks_file_server(self, directory: impl AsFd) -> Result<Option<bool>, TargetError> {
        const LOCAL: [&[u8]; 12] = [
            b"tmpfs",
            b"devtmpfs",
            b"ramfs",
            b"rootfs",
            b"overlay",
            b"ext4",
            b"ext3",
            b"ext2",
            b"xfs",
            b"btrfs",
            b"squashfs",
            b"zfs",
        ];
        let mount = self.mount_of(directory)?;
        Ok(mount.map(|mount| !LOCAL.contains(&&*mount.kind) && mount.kind != b"proc"))
    }

    /// Returns whether a file is in `/proc`, where symbolic links may lead out of the container.
    fn is_proc(self, file: impl AsFd) -> Result<bool, TargetError> {
        Ok(self
            .mount_of(file)?
            .is_some_and(|mount| mount.kind == b"proc"))
    }
}
