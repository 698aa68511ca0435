//! Memory without a name, which the kernel keeps in a tmpfs of its own that is mounted nowhere: memfds
//! (`memfd_create(2)`), shared anonymous mappings (`mmap(2)`) and System V segments (`shmget(2)`).
//!
//! Huge pages are not there, but in file systems of type hugetlbfs.

use crate::sys::status::FileStatus;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// The kind of a file in the kernel's own tmpfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nameless {
    /// A file that a program made with `memfd_create(2)`.
    Memfd,
    /// Memory that a process shares with its children, from `mmap(2)` with `MAP_SHARED | MAP_ANONYMOUS`.
    Anonymous,
    /// A segment that a program made with `shmget(2)`.
    SystemV,
    /// Anything else, such as a buffer of the driver of a graphics card.
    DriverBuffer,
}

impl Nameless {
    /// Tells the kind by the path that `/proc` shows. Returns None if the path is empty, because it could not be read.
    pub fn from_path(path: &[u8]) -> Option<Nameless> {
        match path {
            // The name of a mapping of /dev/zero, which is how programs got such memory before MAP_ANONYMOUS.
            b"/dev/zero (deleted)" => Some(Nameless::Anonymous),
            _ if path.starts_with(b"/memfd:") => Some(Nameless::Memfd),
            _ if path.starts_with(b"/SYSV") => Some(Nameless::SystemV),
            b"" => None,
            _ => Some(Nameless::DriverBuffer),
        }
    }
}

/// The maximum length of the label of a memfd: what `memfd:` leaves of `NAME_MAX`.
pub const MAX_LABEL_LENGTH: usize = 249;

/// Creates a memfd that can never be executed. `/proc` shows it as `/memfd:LABEL`.
///
/// # Errors
///
/// Those of `memfd_create(2)`: `EINVAL` if the label is longer than [`MAX_LABEL_LENGTH`].
pub fn memfd(label: &CStr) -> nix::Result<OwnedFd> {
    // Linux 6.3 and later can be told to refuse memfds without this flag (the sysctl vm.memfd_noexec), and earlier
    // ones do not know it. nix lacks it.
    const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);
    let create = |flags| memfd_create(label, MFdFlags::MFD_CLOEXEC | flags);
    match create(NOEXEC_SEAL) {
        Err(Errno::EINVAL) => create(MFdFlags::empty()),
        result => result,
    }
}

/// Returns the device number of the kernel's own tmpfs. It is usually 0:1, but nothing promises that.
///
/// # Errors
///
/// Those of `memfd_create(2)`.
pub fn nameless_device() -> nix::Result<u64> {
    Ok(FileStatus::of(memfd(c"shmtool")?)?.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_tells_the_kind() {
        for (path, kind) in [
            (&b"/memfd:x (deleted)"[..], Some(Nameless::Memfd)),
            (b"/memfd: (deleted)", Some(Nameless::Memfd)),
            (b"/memfd:/dev/zero (deleted)", Some(Nameless::Memfd)),
            (b"/dev/zero (deleted)", Some(Nameless::Anonymous)),
            (b"/SYSV00000000 (deleted)", Some(Nameless::SystemV)),
            (b"/memfd:SYSV (deleted)", Some(Nameless::Memfd)),
            (b"/dev/zero", Some(Nameless::DriverBuffer)),
            (b"/drm mm object (deleted)", Some(Nameless::DriverBuffer)),
            (b"", None),
        ] {
            assert_eq!(Nameless::from_path(path), kind);
        }
    }
}
