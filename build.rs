//! Leaves the program with one shared library to load, libc: each further one costs a tenth of the start.
//!
//! The code that unwinds the stack, of which Rust's runtime takes libgcc_s.so, is in GCC's libgcc_eh.a too.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let has = |name: &str, value: &str| {
        std::env::var(name).is_ok_and(|values| values.split(',').any(|one| one == value))
    };
    // A static program has it already, and other C libraries have an unwinder of another name.
    if !has("CARGO_CFG_TARGET_ENV", "gnu") || has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        return;
    }
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let found = Command::new(linker)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    // What it has not it gives back as it was asked. Then the shared one will do.
    if found.is_ok_and(|path| Path::new(String::from_utf8_lossy(&path.stdout).trim()).is_absolute())
    {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
