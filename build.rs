//! Links the stack unwinder statically, so that libc is the only shared library that the program loads. Each further
//! library would add a tenth to the start-up time.
//!
//! Rust's runtime normally takes the unwinder from libgcc_s.so. GCC also has it in the static library libgcc_eh.a.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let has = |name: &str, value: &str| {
        std::env::var(name).is_ok_and(|values| values.split(',').any(|one| one == value))
    };
    // A static program already contains the unwinder, and with other C libraries the unwinder has another name.
    if !has("CARGO_CFG_TARGET_ENV", "gnu") || has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        return;
    }
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let found = Command::new(linker)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    // gcc prints the bare file name if it has no such file. The shared library is used then.
    if found.is_ok_and(|path| Path::new(String::from_utf8_lossy(&path.stdout).trim()).is_absolute())
    {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
