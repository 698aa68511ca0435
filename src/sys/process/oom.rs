//! Which process the OOM killer kills first, `proc_pid_oom_score_adj(5)`.
//!
//! The memory of a shared memory object that is not mapped does not count as memory of the process that allocated it.
//! So that process is not the first one that the kernel kills for it.

use std::fs::File;
use std::io::{self, Read, Write};

/// As long as this lives, the OOM killer kills this process before any other.
///
/// Any process may raise its value. Without `CAP_SYS_RESOURCE` it may lower it again as far as the value that a
/// privileged process set last (`oom_score_adj_min` in the kernel), and that is never above the value found here.
#[derive(Debug)]
pub struct FirstVictim {
    file: File,
    before: String,
}

impl FirstVictim {
    /// Raises our value; `None` if there is no `/proc`, or we may not write there.
    pub fn volunteer() -> Option<FirstVictim> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .open("/proc/self/oom_score_adj")
            .ok()?;
        let mut before = String::new();
        file.read_to_string(&mut before).ok()?;
        file.write_all(b"1000").ok()?;
        Some(FirstVictim { file, before })
    }

    /// Sets the value that was there before. A process that forks must know that this worked, for its child inherits
    /// the value.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`.
    pub fn restore(&mut self) -> io::Result<()> {
        self.file.write_all(self.before.trim_end().as_bytes())
    }
}

impl Drop for FirstVictim {
    fn drop(&mut self) {
        // Whoever needs to know whether it worked has called it already.
        let _ = self.restore();
    }
}
