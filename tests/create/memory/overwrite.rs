//! The memory check of `--overwrite`, `--resize` and `--anonymous`.

use super::*;
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::MetadataExt;

#[test]
fn memory_without_a_name_and_overwriting_count_against_the_limit() {
    let Some(cgroup) = MemoryCgroup::new(8 * MIB) else {
        return;
    };
    // It would be the first one to be killed.
    let mut sleeper = cgroup
        .run(Command::new("sleep").arg("100"))
        .spawn()
        .unwrap();
    let command = ["-s", "64M", "x", "--", "echo", "run"];
    let ended = run(cgroup.run(shmtool(["create", "--anonymous"]).args(command)));
    let limit = "memfd:x: 64MiB do not fit: the memory limit of this container (cgroup) has ";
    let message = &ended.fails(125).stderr;
    assert!(message.contains(limit), "{message}");
    assert_eq!(sleeper.try_wait().unwrap(), None);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();

    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let mut bystander = Bystander::start(&cgroup);
    let name = Name::holding("old");
    let data = file_of(64, false);
    for from in ["-", data.path().to_str().unwrap()] {
        let mut create = shmtool(["create", "--overwrite", "--from", from]);
        let mut cat = Command::new("cat");
        let mut cat = cat.arg(data.path()).stdout(Stdio::piped()).spawn().unwrap();
        create.arg(&name).stdin(cat.stdout.take().unwrap());
        let ended = run(cgroup.run(&mut create));
        drop(create);
        let message = &ended.fails(1).stderr;
        assert!(
            message.contains("do not fit: the memory limit"),
            "{message}"
        );
        assert_eq!(fs::read(name.path()).unwrap(), b"old");
        cat.wait().unwrap();
        bystander.assert_alive();
    }
}

/// An object of this many MiB that is a hole, and whose memory is counted for the test, not for the cgroup.
fn sparse_object(mebibytes: u64) -> (Name, File) {
    let name = Name::holding("");
    let file = File::options().write(true).open(name.path()).unwrap();
    file.set_len(mebibytes * MIB).unwrap();
    (name, file)
}

fn reserve(file: &File, start: u64, length: u64) {
    let [start, length] = [start * MIB, length * MIB].map(|bytes| bytes as i64);
    fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, start, length).unwrap();
}

/// Asserts that a change of the object is refused for lack of memory, without effect.
#[track_caller]
fn assert_too_large(cgroup: &MemoryCgroup, args: &[&str], name: &Name) {
    let mut bystander = Bystander::start(cgroup);
    let before = fs::metadata(name.path()).unwrap();
    let ended = run(cgroup.run(shmtool(["create"]).args(args).arg(name)));
    let message = &ended.fails(1).stderr;
    assert!(
        message.contains("do not fit: the memory limit"),
        "{message}"
    );
    bystander.assert_alive();
    let after = fs::metadata(name.path()).unwrap();
    assert_eq!(after.len(), before.len());
    if !args.contains(&"--sparse") {
        assert_eq!(after.blocks(), before.blocks());
    }
}

#[test]
fn memory_behind_the_end_of_file_does_not_count_as_memory_for_file() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let data = file_of(24, false);
    let from = ["--overwrite", "--from", data.path().to_str().unwrap()];
    let (name, file) = sparse_object(60);
    for mebibyte in 30..60 {
        let bytes = vec![7; MIB as usize];
        file.write_all_at(&bytes, mebibyte * MIB).unwrap();
    }
    assert_too_large(&cgroup, &from, &name);
    let (name, file) = sparse_object(60);
    reserve(&file, 30, 30);
    assert_too_large(&cgroup, &from, &name);
    let (name, file) = sparse_object(0);
    reserve(&file, 30, 30);
    assert_too_large(&cgroup, &from, &name);
    assert_too_large(&cgroup, &["--resize", "-s", "24M"], &name);
}

#[test]
fn every_hole_that_is_filled_counts_with_sparse() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let data = file_of(24, false);
    let (name, file) = sparse_object(24);
    for mebibyte in 0..24 {
        file.write_all_at(&[7], mebibyte * MIB).unwrap();
    }
    let from = data.path().to_str().unwrap();
    let args = ["--sparse", "--overwrite", "--from", from];
    assert_too_large(&cgroup, &args, &name);
}

#[test]
fn an_object_whose_memory_is_reserved_is_overwritten_although_memory_is_short() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let data = file_of(24, false);
    let overwrite = [
        "create",
        "--overwrite",
        "--from",
        data.path().to_str().unwrap(),
    ];
    for option in [None, Some("--sparse")] {
        let (name, file) = sparse_object(24);
        reserve(&file, 0, 24);
        run(cgroup.run(shmtool(overwrite).args(option).arg(&name))).prints("");
        assert!(fs::read(name.path()).unwrap() == fs::read(data.path()).unwrap());
        // The same with data in place of reserved memory.
        run(cgroup.run(shmtool(overwrite).args(option).arg(&name))).prints("");
    }
}
