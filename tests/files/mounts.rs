//! File systems that are mounted for one test. Mount them only inside [`in_private_shm`], so that they disappear with
//! the mount namespace of the test.

use crate::common::*;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The options of the tmpfs that holds the images. They are sparse.
pub const ROOM: &str = "size=400m,mode=1777";

fn succeeds(program: &str, args: &[&str]) -> bool {
    let ended = Command::new(program).args(args).output();
    ended.is_ok_and(|output| output.status.success())
}

/// The smallest size in MiB that `mkfs` accepts, and its options.
fn smallest(kind: &str) -> (u64, &'static [&'static str]) {
    match kind {
        "ext4" => (4, &["-q"]),
        "xfs" => (300, &["-q"]),
        _ => (16, &["-q", "--mixed"]),
    }
}

/// A file system on a loop device.
pub struct Mount {
    directory: PathBuf,
    image: PathBuf,
}

impl Mount {
    /// Mounts a small file system of a kind: `ext4`, `xfs` or `btrfs`. If that is impossible, reports the test as skipped
    /// and returns None.
    pub fn new(kind: &str) -> Option<Mount> {
        let directory = Path::new("/dev/shm").join(kind);
        let image = directory.with_extension("image");
        let (size, options) = smallest(kind);
        File::create(&image).unwrap().set_len(size << 20).unwrap();
        fs::create_dir(&directory).unwrap();
        let [image_text, directory_text] = [&image, &directory].map(|path| path.to_str().unwrap());
        let mkfs = format!("mkfs.{kind}");
        if !succeeds(&mkfs, &[options, &[image_text]].concat())
            || !succeeds("mount", &["-o", "loop", image_text, directory_text])
        {
            skipped(&format!("no {kind} on a loop device"));
            return None;
        }
        Some(Mount { directory, image })
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// What is on the disk now.
    pub fn disk(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    /// Returns whether these bytes are on the disk now, at a multiple of their length.
    pub fn has_on_disk(&self, bytes: &[u8]) -> bool {
        let disk = self.disk();
        disk.chunks(bytes.len()).any(|chunk| chunk == bytes)
    }

    /// Writes until the file system is full.
    pub fn fill(&self) {
        let mut rest = File::create(self.path("rest")).unwrap();
        // Large writes are fast, small ones use the last blocks. Some file systems refuse writes although there is free
        // space, until earlier writes are on the disk.
        for size in [4 << 20, 64 << 10, 1024] {
            let bytes = vec![1; size];
            let mut failures = 0;
            while failures < 2 {
                failures = match rest.write(&bytes) {
                    Ok(_) => 0,
                    Err(_) => failures + 1,
                };
                if failures > 0 {
                    let _ = rest.sync_all();
                }
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let flags = nix::mount::MntFlags::MNT_DETACH;
        let _ = nix::mount::umount2(&self.directory, flags);
    }
}

/// An overlay on tmpfs. Its lower directory has a file `file` with 8192 zeros.
pub struct Overlay(PathBuf);

impl Overlay {
    /// Mounts the overlay. If that is impossible, reports the test as skipped and returns None.
    pub fn new() -> Option<Overlay> {
        use nix::mount::{MsFlags, mount};
        for directory in ["lower", "upper", "work", "merged"] {
            fs::create_dir(Path::new("/dev/shm").join(directory)).unwrap();
        }
        fs::write("/dev/shm/lower/file", [0; 8192]).unwrap();
        let options = "lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper,workdir=/dev/shm/work";
        let (kind, target) = (Some("overlay"), "/dev/shm/merged");
        if mount(kind, target, kind, MsFlags::empty(), Some(options)).is_err() {
            skipped("no overlayfs");
            return None;
        }
        Some(Overlay(target.into()))
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
