//! The programs in C beside this file.

use super::missing;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The C program `counterpart.c`, compiled; none where there is no compiler.
pub fn c_program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("counterpart")).as_deref()
}

/// The file server `fuse.c`, compiled; none where there is no compiler.
pub fn fuse_server() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("fuse")).as_deref()
}

/// The signal counter `signals.c`, compiled; none where there is no compiler.
pub fn signal_counter() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("signals")).as_deref()
}

fn compiled(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Other test programs do the same at the same time: each renames one of its own.
    let own = program.with_extension(std::process::id().to_string());
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-o"])
        .arg(&own)
        .arg(sources.join(name).with_extension("c"))
        .args(["-lrt", "-pthread"]);
    match cc.status() {
        Err(_) => missing("cc").then_some(program),
        Ok(status) => {
            assert!(status.success(), "{cc:?}");
            fs::rename(own, &program).unwrap();
            Some(program)
        }
    }
}
