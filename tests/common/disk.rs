//! Block devices for tests.

use super::skipped;
use std::io::Write;
use std::process::Command;

/// A loop device. It is detached when it is dropped.
pub struct Disk {
    path: String,
    file: tempfile::NamedTempFile,
}

impl Disk {
    /// Creates a read-only disk with these contents, whose length must be a multiple of 512. Returns None if loop devices
    /// are not available.
    pub fn with_contents(bytes: &[u8]) -> Option<Disk> {
        Self::attach(bytes, &["--read-only"])
    }

    /// Like [`Disk::with_contents`], but the disk can be written.
    pub fn writable(bytes: &[u8]) -> Option<Disk> {
        Self::attach(bytes, &[])
    }

    fn attach(bytes: &[u8], options: &[&str]) -> Option<Disk> {
        let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.write_all(bytes).unwrap();
        let mut losetup = Command::new("losetup");
        losetup
            .args(["--find", "--show"])
            .args(options)
            .arg(file.path());
        match losetup.output() {
            Ok(output) if output.status.success() => Some(Disk {
                path: String::from_utf8(output.stdout)
                    .unwrap()
                    .trim_end()
                    .to_owned(),
                file,
            }),
            _ => {
                skipped("no loop device");
                None
            }
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The current contents of the file behind the device.
    pub fn contents(&self) -> Vec<u8> {
        std::fs::read(self.file.path()).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .args(["--detach", &self.path])
            .status();
    }
}
