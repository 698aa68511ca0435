//! `cargo bench` compares shmtool with other installed tools, and prints one table. `cargo bench -- cat create` runs
//! only these parts.
//!
//! The benchmarks run in a private `/dev/shm`, so they touch no existing objects. `UUTILS_CAT` is the path of the `cat`
//! of uutils, by default `uu-cat`. `SHMTOOL_STATIC` is the path of a static build to include in the comparison.

mod cat;
mod create;
mod integers;
mod listing;
mod machine;
mod race;

use race::Table;

type Part = (&'static str, fn(&mut Table));

const PARTS: [Part; 5] = [
    ("cat", cat::compare),
    ("create", create::compare),
    ("listing", listing::compare),
    ("machine", machine::compare),
    ("integers", integers::compare),
];

fn main() {
    // `cargo test --all-targets` runs benches too. Only `cargo bench` passes --bench.
    if std::env::args().any(|arg| arg == "--bench") {
        race::build();
        race::in_private_shm(compare_all);
    }
}

fn compare_all() {
    let chosen: Vec<_> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.iter().any(|arg| arg == name);
    let all = !PARTS.iter().any(|(name, _)| is_chosen(name));
    let mut table = Table::start();
    for (name, compare) in PARTS {
        if all || is_chosen(name) {
            compare(&mut table);
        }
    }
    table.finish();
}
