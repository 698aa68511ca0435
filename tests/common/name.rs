//! Objects that the tests make.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An object name that no other test uses. When it is dropped, the object is removed if it still exists.
#[derive(Debug)]
pub struct Name(String);

impl Name {
    pub fn new() -> Name {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Name(format!("/shmtool-test-{}-{count}", std::process::id()))
    }

    /// The path of the object.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }

    /// Creates an object with these contents, without the binary under test.
    pub fn holding(bytes: impl AsRef<[u8]>) -> Name {
        let name = Name::new();
        fs::write(name.path(), bytes).unwrap();
        name
    }
}

impl AsRef<OsStr> for Name {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path()).or_else(|_| fs::remove_dir(self.path()));
    }
}
