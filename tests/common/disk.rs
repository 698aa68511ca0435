//! Block devices of our own.

use super::skipped;
use std::io::Write;
use std::process::Command;

/// A loop device. It is detached when the test ends.
pub struct Disk {
    path: String,
    _file: tempfile::NamedTempFile,
}

impl Disk {
    /// Makes a disk of these bytes, a multiple of 512; none where that cannot be done.
    pub fn of(bytes: &[u8]) -> Option<Disk> {
        let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.write_all(bytes).unwrap();
        let mut losetup = Command::new("losetup");
        losetup
            .args(["--find", "--show", "--read-only"])
            .arg(file.path());
        match losetup.output() {
            Ok(output) if output.status.success() => Some(Disk {
                path: String::from_utf8(output.stdout)
                    .unwrap()
                    .trim_end()
                    .to_owned(),
                _file: file,
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
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .args(["--detach", &self.path])
            .status();
    }
}
