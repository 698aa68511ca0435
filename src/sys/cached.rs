//! Opening a path without asking a file server, which may never answer: `openat2(2)` with `RESOLVE_CACHED` (Linux 5.12).

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use std::os::fd::{AsFd, OwnedFd};

/// How often to try again. One try in some thousand fails while another process mounts in a loop.
const RETRIES: u32 = 10;

/// Opens a path only if the kernel has every step of the way in its cache.
///
/// # Errors
///
/// `EAGAIN` if a part of the way is not cached; `ENOSYS`, `EINVAL` or `EPERM` if the kernel or a sandbox lacks the call or
/// the flag; otherwise those of `openat2(2)`.
pub(in crate::sys) fn open_cached(
    directory: impl AsFd,
    path: &(impl NixPath + ?Sized),
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    // nix lacks this flag.
    let cached = ResolveFlag::from_bits_retain(libc::RESOLVE_CACHED);
    let how = OpenHow::new().flags(flags).resolve(resolve | cached);
    for _ in 0..RETRIES {
        match openat2(&directory, path, how) {
            // This also happens if somebody mounts or renames anything meanwhile, whatever is cached.
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
    openat2(&directory, path, how)
}
