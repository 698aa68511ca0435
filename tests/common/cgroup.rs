//! Memory cgroups for tests that run out of memory.

use super::skipped;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A cgroup with a memory limit. It is removed when it is dropped, so also when the test fails.
#[derive(Debug)]
pub struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// The mount point of the memory controller of cgroup v1.
    pub const V1: &str = "/sys/fs/cgroup/memory";

    /// Creates a cgroup with a limit in bytes. If that is impossible or not permitted, reports the test as skipped and
    /// returns None.
    pub fn new(limit: u64) -> Option<MemoryCgroup> {
        Self::named(&Self::unique_name(), limit)
    }

    /// Like [`MemoryCgroup::new`], with this name.
    pub fn named(name: &str, limit: u64) -> Option<MemoryCgroup> {
        let root = match Path::new(Self::V1).is_dir() {
            true => Self::V1,
            false => "/sys/fs/cgroup",
        };
        let created = Self::create(&Path::new(root).join(name), limit);
        if let Err(error) = &created {
            skipped(&format!("no memory cgroup: {error}"));
        }
        created.ok()
    }

    /// Creates a cgroup inside this one.
    pub fn child(&self, limit: u64) -> MemoryCgroup {
        if !self.is_v1() {
            fs::write(self.0.join("cgroup.subtree_control"), "+memory").unwrap();
        }
        Self::create(&self.0.join(Self::unique_name()), limit).unwrap()
    }

    fn unique_name() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("shmtool-test-{}-{count}", std::process::id())
    }

    fn create(path: &Path, limit: u64) -> std::io::Result<MemoryCgroup> {
        fs::create_dir(path)?;
        let cgroup = MemoryCgroup(path.to_owned());
        // The file must exist: if it is missing, this is not a memory cgroup.
        let file = File::options().write(true).open(cgroup.limit_file());
        file?.write_all(limit.to_string().as_bytes())?;
        Ok(cgroup)
    }

    pub fn is_v1(&self) -> bool {
        self.0.starts_with(Self::V1)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of the file that holds the limit.
    pub fn limit_file(&self) -> PathBuf {
        self.0.join(match self.is_v1() {
            true => "memory.limit_in_bytes",
            false => "memory.max",
        })
    }

    /// Runs a command in this cgroup.
    pub fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let processes = File::options()
            .write(true)
            .open(self.0.join("cgroup.procs"))
            .unwrap();
        // SAFETY: between fork and exec the closure makes one system call, write(2).
        unsafe { command.pre_exec(move || (&processes).write_all(b"0")) }
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // A killed process leaves its cgroup slightly after its parent is notified.
        let start = Instant::now();
        while fs::remove_dir(&self.0).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
            && start.elapsed() < Duration::from_secs(5)
        {
            sleep(Duration::from_millis(10));
        }
    }
}
