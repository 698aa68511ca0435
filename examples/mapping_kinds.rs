//! Shows the four kinds of memory mapping: who sees what a child process stores?
//!
//! `cargo run --example mapping_kinds` maps memory in each of the four ways, forks, and lets the child store an
//! integer. Then it checks whether the parent, the file and another process see the integer, and prints the results.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::int::{Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt;

/// Who saw what the child stored. The last two fields are None for anonymous memory, which has no file.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: &'static str,
    pub by_the_parent: bool,
    pub in_the_file: Option<bool>,
    pub by_another_process: Option<bool>,
}

const BEFORE: i128 = 1;
const AFTER: i128 = 2;
const LENGTH: NonZero<usize> = NonZero::new(4).unwrap();

/// Creates a mapping of each kind and observes it.
pub fn observe_all() -> anyhow::Result<[Seen; 4]> {
    let private = scratch_file()?;
    let shared = scratch_file()?;
    Ok([
        observe(
            "private file",
            Mapping::private_file(&private, 0, LENGTH)?,
            Some(&private),
        )?,
        observe(
            "shared file",
            Mapping::shared_file(&shared, 0, LENGTH, Access::ReadWrite)?,
            Some(&shared),
        )?,
        observe(
            "private anonymous",
            Mapping::private_anonymous(LENGTH)?,
            None,
        )?,
        observe("shared anonymous", Mapping::shared_anonymous(LENGTH)?, None)?,
    ])
}

/// An unnamed file that contains the integer `BEFORE`. It disappears when it is closed.
fn scratch_file() -> anyhow::Result<File> {
    let file = tempfile::tempfile()?;
    file.write_all_at(&int(BEFORE).to_bits().to_ne_bytes()[..4], 0)?;
    Ok(file)
}

fn observe(kind: &'static str, mapping: Mapping, file: Option<&File>) -> anyhow::Result<Seen> {
    // Anonymous memory starts as zeros, so `BEFORE` has to be stored first.
    if file.is_none() {
        mapping.store(0, int(BEFORE))?;
    }
    in_child(|| mapping.store(0, int(AFTER)).is_ok())?;
    let in_the_file = file
        .map(|file| -> anyhow::Result<bool> {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(i128::from(i32::from_ne_bytes(bytes)) == AFTER)
        })
        .transpose()?;
    let by_another_process = file
        .map(|file| {
            in_child(|| {
                Mapping::shared_file(file, 0, LENGTH, Access::Read)
                    .is_ok_and(|mapping| sees_store(&mapping))
            })
        })
        .transpose()?;
    Ok(Seen {
        kind,
        by_the_parent: sees_store(&mapping),
        in_the_file,
        by_another_process,
    })
}

fn sees_store(mapping: &Mapping) -> bool {
    mapping.load(0, IntType::I32) == Ok(int(AFTER))
}

/// Runs `body` in a child process, and returns what it returned.
fn in_child(body: impl FnOnce() -> bool) -> anyhow::Result<bool> {
    // SAFETY: before it exits, the child only accesses memory and makes system calls. It takes no lock that another
    // thread could have held at the fork (fork(2)).
    match unsafe { fork() }? {
        ForkResult::Child => {
            let answer = body();
            // SAFETY: _exit runs no exit handlers, so none of them runs twice.
            unsafe { nix::libc::_exit(answer.into()) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, answer) => Ok(answer == 1),
            status => anyhow::bail!("the child ended with {status:?}"),
        },
    }
}

fn int(value: i128) -> Int {
    Int::new(IntType::I32, value).expect("both values fit into an i32")
}

fn sentence(kind: &str) -> &'static str {
    match kind {
        "private file" => {
            "The bytes come from the file. The first store to a page copies the page for the process that stores. Nobody else sees the copy, and the file never changes."
        }
        "shared file" => {
            "The pages of the file itself. Every process that maps or reads the file sees each store immediately. Shared memory objects are used in this way."
        }
        "private anonymous" => {
            "Zeros that belong to one process, like memory from malloc. A child starts with its own copy."
        }
        _ => {
            "Zeros shared with children that are forked later, and with no other process, because the memory has no name and no file."
        }
    }
}

fn main() -> anyhow::Result<()> {
    let answer = |seen: Option<bool>| match seen {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    println!(
        "A child process stores into memory that its parent mapped before the fork. Who sees it?\n"
    );
    println!(
        "{:<18}{:<12}{:<13}another process that maps the file",
        "mapping", "the parent", "in the file"
    );
    let observed = observe_all()?;
    for seen in &observed {
        println!(
            "{:<18}{:<12}{:<13}{}",
            seen.kind,
            answer(Some(seen.by_the_parent)),
            answer(seen.in_the_file),
            answer(seen.by_another_process)
        );
    }
    println!();
    for seen in &observed {
        println!("{}: {}", seen.kind, sentence(seen.kind));
    }
    Ok(())
}
