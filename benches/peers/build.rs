//! Builds what is measured: shmtool as its users have it, its static binary, and reference programs in C.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variables in which [`build`] stores the paths of the binaries.
const PROGRAM: &str = "SHMTOOL_BENCH_PROGRAM";
const STATIC_PROGRAM: &str = "SHMTOOL_BENCH_STATIC";

/// The binary under test.
pub fn program() -> OsString {
    std::env::var_os(PROGRAM).expect("build has been called")
}

/// The static binary. Returns None if Rust's musl target is not installed.
pub fn static_program() -> Option<OsString> {
    std::env::var_os(STATIC_PROGRAM)
}

/// Builds and copies the binaries as `cargo install` and `make install` do.
///
/// The binary that cargo builds for a benchmark also has the features that dev-dependencies enable, and takes a third
/// longer to start. Until it is copied, its pages are as the linker wrote them, which also takes longer.
pub fn build() {
    if std::env::var_os(PROGRAM).is_some() {
        return;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("users");
    cargo_build(&directory, &[]);
    let program = install(&directory.join("release/shmtool"));
    // SAFETY: no other threads exist yet.
    unsafe { std::env::set_var(PROGRAM, program) };

    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", &target]);
    let library = rustc.output().expect("rustc starts").stdout;
    if Path::new(String::from_utf8_lossy(&library).trim()).exists() {
        cargo_build(&directory, &["--target", &target]);
        let program = install(&directory.join(target).join("release/shmtool"));
        // SAFETY: no other threads exist yet.
        unsafe { std::env::set_var(STATIC_PROGRAM, program) };
    }
}

/// Copies a binary, and returns the path of the copy.
fn install(program: &Path) -> PathBuf {
    let directory = program.with_file_name("installed");
    fs::create_dir_all(&directory).expect("create a directory");
    let copy = directory.join("shmtool");
    // A new file: the pages of an old one stay as they are.
    let _ = fs::remove_file(&copy);
    fs::copy(program, &copy).expect("copy the binary");
    copy
}

fn cargo_build(directory: &Path, args: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--bin", "shmtool"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(directory)
        .args(args);
    if !args.is_empty() {
        cargo.env("RUSTFLAGS", "-C linker=rust-lld");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "{cargo:?} failed");
}

/// Compiles a C program that is beside this file. Returns None if there is no C compiler.
pub fn reference(source: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Path::new(source).file_stem()?);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"])
        .arg(&program)
        .arg(directory.join(source));
    let status = cc.status().ok()?;
    assert!(status.success(), "{cc:?} failed");
    Some(program)
}
