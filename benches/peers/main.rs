//! `cargo bench`: shmtool against the other tools that this machine has, in one table. `cargo bench -- cat create`
//! runs only these parts.
//!
//! All of it happens in a private `/dev/shm`, so that nobody's objects are touched. `UUTILS_CAT` names the `cat` of
//! uutils, if it is not `uu-cat`; `SHMTOOL_STATIC` a static build, to race too.

mod cat;
mod create;
mod integers;
mod listing;
mod race;

use race::Table;

type Part = (&'static str, fn(&mut Table));

const PARTS: [Part; 4] = [
    ("cat", cat::compare),
    ("create", create::compare),
    ("listing", listing::compare),
    ("integers", integers::compare),
];

fn main() {
    // cargo test runs benches too, to see that they start; cargo bench says so.
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
