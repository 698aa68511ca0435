//! The file systems in memory that processes see: `/proc/PID/mountinfo`, `proc_pid_mountinfo(5)`.

use super::procfs::{Process, pids};
use crate::sys::mounts::{Mount, memory_mounts};
use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io;

/// Returns the device numbers of the file systems of all mounts that are wanted, in every mount namespace. This reads
/// only lists of mounts, and opens nothing in other namespaces.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn tmpfs_devices(is_wanted: impl Fn(&Mount) -> bool) -> io::Result<HashSet<u64>> {
    let (mut namespaces, mut devices) = (HashSet::new(), HashSet::new());
    for pid in pids()? {
        let path = CString::new(format!("/proc/{pid}/ns/mnt"))?;
        let number = match FileStatus::at(AT_FDCWD, &path, 0) {
            // Most processes are in a namespace that was seen before.
            Ok(namespace) if namespaces.contains(&namespace.inode) => continue,
            // A process that has ended has no mounts.
            Err(Errno::ENOENT | Errno::ESRCH) => continue,
            // Everybody may read the mounts, but not every namespace has a number that we may know.
            result => result.ok().map(|namespace| namespace.inode),
        };
        let Ok(process) = Process::open(pid) else {
            continue;
        };
        let mounts = process.open_file(c"mountinfo").map(File::from);
        let Ok(Ok(mounts)) = mounts.map(memory_mounts) else {
            continue;
        };
        // If the process has ended meanwhile, another one may show the mounts of its namespace.
        if !mounts.is_empty() {
            namespaces.extend(number);
        }
        let wanted = mounts.iter().filter(|mount| is_wanted(mount));
        devices.extend(wanted.map(|mount| mount.device));
    }
    Ok(devices)
}
