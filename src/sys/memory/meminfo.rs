//! How much memory the machine has, and how much of it is shared: `proc_meminfo(5)`.

use super::limit::field;
use std::fs;
use std::io;

/// The file that tells it.
pub const PATH: &str = "/proc/meminfo";

/// The memory of the machine in bytes. In a container, too, it is that of the machine.
#[derive(Debug, Clone, Copy)]
pub struct MemInfo {
    /// All memory that the kernel can use.
    pub total: u64,
    /// The pages of tmpfs, memfds, shared anonymous mappings and System V segments that are not swapped out.
    pub shmem: u64,
}

impl MemInfo {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or if it does not contain the numbers.
    pub fn read() -> io::Result<MemInfo> {
        let text = fs::read_to_string(PATH)?;
        let bytes = |key| Some(field(&text, key)?.saturating_mul(1024));
        let missing = |key: &str| io::Error::other(format!("there is no line {key}"));
        Ok(MemInfo {
            total: bytes("MemTotal:").ok_or_else(|| missing("MemTotal"))?,
            shmem: bytes("Shmem:").ok_or_else(|| missing("Shmem"))?,
        })
    }
}

/// Makes the numbers exact. Each processor counts some pages for itself before it adds them to the total; reading this
/// file adds them now. Only root may do that, and without it the numbers are off by some hundred pages at most.
pub fn update_counters() {
    let _ = fs::read("/proc/sys/vm/stat_refresh");
}
