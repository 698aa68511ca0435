//! Files that are hard to read, served by our own FUSE server.

use super::{c, skipped};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mounted file system with the files of `fuse.c`. Mount it only inside [`in_private_shm`](super::in_private_shm), so
/// that it disappears with the mount namespace of the test.
pub struct Fuse {
    server: Child,
    directory: tempfile::TempDir,
}

impl Fuse {
    /// Mounts the file system. Returns None if FUSE is not available.
    pub fn mount() -> Option<Fuse> {
        Self::start(Command::new(c::fuse_server()?))
    }

    /// Like [`Fuse::mount`], but files with direct I/O can be mapped too, up to the size that they claim.
    pub fn mount_with_mappings() -> Option<Fuse> {
        let mut server = Command::new(c::fuse_server()?);
        server.env("ALLOW_MMAP", "1");
        Self::start(server)
    }

    fn start(mut server: Command) -> Option<Fuse> {
        let directory = tempfile::tempdir().unwrap();
        server.arg(directory.path());
        server.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = server.spawn().unwrap();
        let mut line = String::new();
        let stdout = server.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line == "mounted\n" {
            return Some(Fuse { server, directory });
        }
        server.wait().unwrap();
        skipped("no FUSE");
        None
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// The first `length` bytes of every file.
    pub fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Killing the server fails the requests that are still pending.
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let flags = nix::mount::MntFlags::MNT_DETACH;
        nix::mount::umount2(self.directory.path(), flags).unwrap();
    }
}
