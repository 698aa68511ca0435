//! `unlink`: removing objects by NAME.

#[path = "../common/mod.rs"]
mod common;

mod filters;
mod hostile;
mod in_use;
mod many;
mod output;
mod owners;
mod races;

use common::*;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::mapping::Mapping;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::num::NonZero;
use std::process::Command;

fn unlink(args: &[&str]) -> Ended {
    run(shmtool(["unlink"]).args(args))
}

/// The names of the files in `/dev/shm`, sorted.
fn remaining() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    let names: BTreeSet<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.into_iter().collect()
}

/// The names in the rows that `-v` and `-n` print.
fn printed_names(ended: &Ended) -> Vec<&str> {
    let lines = str::from_utf8(&ended.stdout).unwrap().lines();
    lines.map(|row| row.split(' ').next().unwrap()).collect()
}

fn create(names: &[&str]) {
    for name in names {
        fs::write(format!("/dev/shm/{name}"), name).unwrap();
    }
}

fn open(name: &str) -> File {
    File::open(format!("/dev/shm/{name}")).unwrap()
}

fn map(file: &File, access: Access) -> Mapping {
    Mapping::shared_file(file, 0, NonZero::new(4).unwrap(), access).unwrap()
}

#[test]
fn named_objects_are_removed() {
    let (one, two) = (Name::holding("1"), Name::holding("2"));
    run(shmtool(["unlink"]).args([&one, &two])).prints("");
    assert!(!one.path().exists() && !two.path().exists());
}

#[test]
fn a_missing_object_gives_status_3_and_the_others_are_removed() {
    let (missing, there) = (Name::new(), Name::holding(""));
    run(shmtool(["unlink"]).args([&missing, &there]))
        .fails(3)
        .says(format!("{missing}: no such object"));
    assert!(!there.path().exists());
}

#[test]
fn force_ignores_missing_objects() {
    run(shmtool(["unlink", "-f"]).arg(Name::new())).prints("");
    run(shmtool(["unlink", "--force"]).arg(Name::new())).prints("");
}

#[test]
fn a_name_or_a_filter_is_required_unless_force_is_given() {
    for args in [&["-a"][..], &["-n"], &["--include-in-use"]] {
        unlink(args).fails(2).says(
            "say what to remove: a NAME or a filter\n\
             hint: --older-than 4h removes what was not modified for 4 hours and nobody uses",
        );
        let forced = [args, &["-f"]].concat();
        unlink(&forced).prints("");
    }
}

#[test]
fn a_missing_name_that_looks_like_a_pattern_gets_a_hint() {
    for name in ["/shmtool-test-*", "/shmtool-test-?", "/shmtool-test-[0-9]"] {
        unlink(&[name]).fails(3).says(format!(
            "{name}: no such object\nhint: --glob removes all objects that match a pattern"
        ));
        unlink(&["-f", name]).prints("");
        // It is a valid name nevertheless.
        run(&mut shmtool(["create", name])).prints("");
        unlink(&[name]).prints("");
    }
}

#[test]
fn objects_of_other_users_cannot_be_removed() {
    if is_root() {
        let name = Name::holding("");
        run(as_nobody(shmtool(["unlink"]).arg(&name)))
            .fails(1)
            .says(format!(
                "{name}: only its owner and root may remove or replace it"
            ));
        run(as_nobody(shmtool(["unlink", "-n"]).arg(&name)))
            .fails(1)
            .says(format!(
                "{name}: only its owner and root may remove or replace it"
            ));
        assert!(name.path().exists());
    }
}

#[test]
fn a_c_program_keeps_its_mapping_of_a_removed_object() {
    let Some(c) = c_program() else { return };
    let name = Name::new();
    run(shmtool(["write-int"]).arg(&name).arg("42")).prints("");
    let mut holder = Peer::start(Command::new(c).arg("hold").arg(&name));
    assert_eq!(holder.ask("?"), "42");
    run(shmtool(["unlink"]).arg(&name)).prints("");
    assert_eq!(holder.ask("?"), "42");
    // A new object with the same name is a different object.
    run(shmtool(["write-int"]).arg(&name).arg("1")).prints("");
    assert_eq!(holder.ask("?"), "42");
}

#[test]
fn python_keeps_its_mapping_of_a_removed_object() {
    let script = "
import sys
from multiprocessing import resource_tracker, shared_memory
object = shared_memory.SharedMemory(name=sys.argv[1][1:])
resource_tracker.unregister(object._name, 'shared_memory')
for line in sys.stdin:
    print(int.from_bytes(object.buf[:4], sys.byteorder), flush=True)
";
    let name = Name::holding(42_i32.to_ne_bytes());
    let Some(mut python) = python(script, &[&name.to_string()]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    assert_eq!(python.ask("?"), "42");
    run(shmtool(["unlink"]).arg(&name)).prints("");
    assert_eq!(python.ask("?"), "42");
}

#[test]
fn a_semaphore_can_be_removed_by_its_name() {
    in_private_shm("size=64k", || {
        fs::write("/dev/shm/sem.lock", "").unwrap();
        run(&mut shmtool(["unlink", "/sem.lock"])).prints("");
        assert!(!fs::exists("/dev/shm/sem.lock").unwrap());
    });
}
