//! `cargo bench` compares shmtool with other installed tools, and prints one table. `cargo bench -- cat create` runs
//! only these groups, and `cargo bench -- --list` prints their names.
//!
//! The benchmarks run in a private `/dev/shm`, so they touch no existing objects. `UUTILS_CAT` is the path of the `cat`
//! of uutils, by default `uu-cat`. As root, the benchmarks also check how the kernel keeps the input of `cat` in memory.

mod build;
mod cat;
mod create;
mod integers;
mod layout;
mod listing;
mod machine;
mod race;
mod startup;

use race::Table;

type Group = (&'static str, fn(&mut Table));

const GROUPS: [Group; 6] = [
    ("startup", startup::compare),
    ("cat", cat::compare),
    ("create", create::compare),
    ("listing", listing::compare),
    ("machine", machine::compare),
    ("integers", integers::compare),
];

fn main() {
    // `cargo test --all-targets` runs benches too. Only `cargo bench` passes --bench.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let names = GROUPS.map(|(name, _)| name).join(" ");
    if std::env::args().any(|arg| arg == "--list") {
        println!("{names}");
        return;
    }
    if let Some(unknown) = chosen().iter().find(|chosen| !is_group(chosen)) {
        eprintln!("no group {unknown:?}; the groups are: {names}");
        std::process::exit(2);
    }
    build::build();
    // Cargo sets it. Each dynamic program would search these directories for its libraries.
    // SAFETY: no other threads exist yet.
    unsafe { std::env::remove_var("LD_LIBRARY_PATH") };
    race::in_private_shm(compare_all);
}

/// The names on the command line.
fn chosen() -> Vec<String> {
    let args = std::env::args().skip(1);
    args.filter(|arg| !arg.starts_with("--")).collect()
}

fn is_group(chosen: &str) -> bool {
    GROUPS.iter().any(|&(name, _)| name == chosen)
}

fn compare_all() {
    let chosen = chosen();
    let mut table = Table::start();
    for (name, compare) in GROUPS {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            compare(&mut table);
        }
    }
    table.finish();
}
