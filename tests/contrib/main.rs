//! What `contrib/` and `tools/` contain: the periodic clean-up, the hooks of job schedulers and the smoke test. And what
//! monitoring relies on.

#[path = "../common/mod.rs"]
mod common;

mod hooks;
mod monitoring;
mod sweep;

use common::*;
use std::path::Path;
use std::process::Command;

/// The options of the tmpfs on `/dev/shm` of each test.
const SHM: &str = "size=4m,mode=1777";

/// The path of a file of the project.
fn project_file(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A `PATH` where the programs in this directory come first, and then the binary under test.
fn search_path(directory: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_shmtool")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{}:{path}", directory.display(), binary.display())
}

/// The lines of standard output, with single spaces between the words.
fn rows(ended: &Ended) -> Vec<String> {
    let text = str::from_utf8(&ended.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

#[test]
fn the_smoke_test_of_all_verbs_passes() {
    in_private_system(SHM, || {
        let mut smoke = Command::new("sh");
        smoke.arg(project_file("tools/smoke.sh"));
        let ended = run(smoke.env("PATH", search_path(Path::new("/nonexistent"))));
        assert!(ended.status.success(), "{ended:?}");
        assert!(
            rows(&ended)
                .iter()
                .any(|row| row.ends_with("checks passed")),
            "{ended:?}"
        );
    });
}
