//! The file systems in memory that processes see: `/proc/PID/mountinfo`, `proc_pid_mountinfo(5)`.

use super::procfs::{Process, pids};
use crate::sys::mounts::{Mount, memory_mounts};
use crate::sys::status::FileStatus;
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
        // Most processes are in a namespace that was seen before.
        let path = CString::new(format!("/proc/{pid}/ns/mnt"))?;
        let number = FileStatus::at(AT_FDCWD, &path, 0).map(|status| status.inode);
        if number.is_ok_and(|number| namespaces.contains(&number)) {
            continue;
        }
        // A process that has ended has no mounts.
        let Ok(process) = Process::open(pid) else {
            continue;
        };
        let number = process.namespace(c"ns/mnt");
        // Everybody may read the mounts, but not every namespace has a number that we may know.
        let is_new = number.is_err() || number.is_ok_and(|number| namespaces.insert(number));
        if !is_new {
            continue;
        }
        let mounts = process.open_file(c"mountinfo").map(File::from);
        if let Ok(Ok(mounts)) = mounts.map(memory_mounts) {
            let wanted = mounts.iter().filter(|mount| is_wanted(mount));
            devices.extend(wanted.map(|mount| mount.device));
        }
    }
    Ok(devices)
}
