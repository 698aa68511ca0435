//! Compiles the C programs in this directory.

use super::report_missing;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the compiled `counterpart.c`, or None if there is no C compiler.
pub fn c_program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("counterpart")).as_deref()
}

/// The path of the compiled FUSE server `fuse.c`, or None if there is no C compiler.
pub fn fuse_server() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("fuse")).as_deref()
}

/// The path of the compiled signal counter `signals.c`, or None if there is no C compiler.
pub fn signal_counter() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("signals")).as_deref()
}

fn compile(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Several processes may compile it at the same time, so each writes its own file and renames it. Their process IDs
    // can be the same in PID namespaces of their own.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let temporary = directory.path().join(name);
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-o"])
        .arg(&temporary)
        .arg(sources.join(name).with_extension("c"))
        .args(["-lrt", "-pthread"]);
    match cc.status() {
        Err(_) => {
            report_missing("cc");
            None
        }
        Ok(status) => {
            assert!(status.success(), "{cc:?}");
            fs::rename(temporary, &program).unwrap();
            Some(program)
        }
    }
}
