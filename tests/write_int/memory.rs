//! Memory that cannot be allocated or mapped, or that is truncated away just before a store.

use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

#[test]
fn a_full_dev_shm_is_an_error_and_not_a_bus_error() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        fs::write("/dev/shm/fill", [1; 64 << 10]).unwrap();
        for name in ["hole", "new"] {
            run(&mut shmtool(["write-int", name, "1"]))
                .fails(1)
                .says(does_not_fit(&format!("/{name}"), "4B", "0B"));
        }
        assert_eq!(fs::read("/dev/shm/hole").unwrap(), [0; 4096]);
        assert!(!fs::exists("/dev/shm/new").unwrap());
    });
}

#[test]
fn truncation_just_before_a_store_is_an_error_and_not_a_bus_error() {
    // The SIGBUS handler puts zeros in place of the truncated memory, and a compare-and-swap with 0 succeeds on them.
    // The command must still fail.
    let changes: [&[&str]; 3] = [&[], &["--add"], &["--if", "0"]];
    for (size, options) in [0, 2]
        .into_iter()
        .flat_map(|size| changes.map(|one| (size, one)))
    {
        let name = Name::holding([0; 4]);
        // fallocate is the last system call before the store.
        let inject = "inject=fallocate:delay_exit=1000000";
        let Some(mut write) = strace(&["-e", inject], ["write-int"]) else {
            return;
        };
        write.args(options);
        let write = write
            .arg(&name)
            .arg("1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let write = write.spawn().unwrap();
        truncate_when_open(&write, &name, size);
        finish(write)
            .fails(1)
            .says(format!("{name}: another process truncated it"));
        assert_eq!(fs::metadata(name.path()).unwrap().len(), size);
    }
}

#[test]
fn a_hole_that_cannot_be_allocated_is_an_error_and_not_a_bus_error() {
    in_private_shm("size=64k", || {
        fs::File::create("/dev/shm/hole")
            .unwrap()
            .set_len(4096)
            .unwrap();
        // This write fails with ENOSPC once the file system is full.
        let _ = fs::write("/dev/shm/fill", [1; 64 << 10]);
        // Pretend that fallocate succeeded, as on a file system that reserves nothing.
        let inject = "inject=fallocate:retval=0";
        let Some(mut write) = strace(&["-e", inject], ["write-int", "hole", "1"]) else {
            return;
        };
        run(&mut write)
            .fails(1)
            .says("/hole: its memory is gone: another process truncated it, or no memory was left");
    });
}

#[test]
fn an_object_that_cannot_be_mapped_is_not_allocated() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    // The largest possible size. Its last page ends beyond the largest offset that mmap accepts.
    file.set_len(i64::MAX as u64).unwrap();
    run(shmtool(["write-int", "--offset", "9223372036854775800"])
        .arg(&name)
        .arg("1"))
    .fails(1)
    .says(format!(
        "{name}: cannot map it: Value too large for defined data type"
    ));
    assert_eq!(file.metadata().unwrap().blocks(), 0);
}
