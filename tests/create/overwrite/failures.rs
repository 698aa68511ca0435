//! What `--overwrite` leaves if it fails.

use super::*;
use crate::common::fuse::Fuse;
use crate::missing_calls::mount_ramfs;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::resource::Resource;

#[test]
fn a_truncation_by_another_process_meanwhile_is_an_error() {
    // If the end of FILE is stored afterwards, the object has its size again, but not all of the contents.
    for when in ["1", "2"] {
        let (file, name) = (file_with(vec![7; 2 << 20]), Name::holding("old"));
        let inject = format!("inject=pwrite64:delay_exit=700000:when={when}");
        let create = ["create", "--overwrite", "--from"];
        let Some(mut strace) = strace(&["-e", &inject], create) else {
            return;
        };
        let child = spawn(strace.arg(file.path()).arg(&name));
        truncate_when_open(&child, &name, 0);
        finish(child)
            .fails(1)
            .says(format!("{name}: another process truncated it"));
    }
}

#[test]
fn a_lack_of_memory_changes_nothing() {
    in_private_shm("size=1m", || {
        // The object has holes and memory past its end, which must stay as they are.
        let name = Name::holding([7; 4096]);
        let file = File::options().write(true).open(name.path()).unwrap();
        file.set_len(300_000).unwrap();
        file.write_all_at(&[8; 100], 200_000).unwrap();
        let flags = nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
        nix::fcntl::fallocate(&file, flags, 400_000, 50_000).unwrap();
        let before = state(&name);
        let path = file_with(vec![1; 2 << 20]);
        overwrite(&[], path.path(), &name)
            .fails(1)
            .says(does_not_fit(&name.to_string(), "2MiB", "964KiB"));
        assert!(state(&name) == before);
        overwrite(&["-s", "2M"], file_with("x").path(), &name).fails(1);
        assert!(state(&name) == before);
        let (child, mut stdin) = spawn_from_pipe(&[], &name);
        stdin.write_all(&[1; 2 << 20]).unwrap();
        drop(stdin);
        finish(child).fails(1);
        assert!(state(&name) == before);
        // The limit of this process, which the kernel checks only when the bytes are stored.
        let path = file_with(vec![1; 9000]);
        let mut create = shmtool([
            "create",
            "--overwrite",
            "--from",
            path.path().to_str().unwrap(),
        ]);
        run(limited(create.arg(&name), Resource::RLIMIT_FSIZE, 8192))
            .fails(1)
            .says(format!(
                "{name}: cannot reserve its memory: the limit of the file size (ulimit -f) is 8KiB"
            ));
        assert!(state(&name) == before);
    });
}

#[test]
fn a_lack_of_memory_in_the_middle_names_what_is_missing_there() {
    in_private_shm("size=4m", || {
        let name = Name::holding(vec![9; 1 << 20]);
        let object = File::options().write(true).open(name.path()).unwrap();
        object.set_len(2 << 20).unwrap();
        fs::write("/dev/shm/rest", vec![9; 3 << 20]).unwrap();
        let file = file_with(vec![7; 2 << 20]);
        let fits = does_not_fit(&name.to_string(), "1MiB", "0B");
        overwrite(&["--sparse"], file.path(), &name)
            .fails(1)
            .says(format!(
                "{name}: stored 1048576 of 2097152 bytes; it holds a mixture: {fits}"
            ));
    });
}

#[test]
fn a_read_error_is_reported_with_what_was_stored() {
    in_private_shm("size=4m", || {
        let Some(fuse) = Fuse::mount() else { return };
        // "torn" is 1 MiB long and cannot be read from 256 KiB to 512 KiB.
        let (torn, name) = (fuse.path("torn"), Name::holding([9; 5000]));
        let (inode, ..) = state(&name);
        overwrite(&[], &torn, &name).fails(1).says(format!(
            "{name}: stored 262144 of 1048576 bytes; it holds a mixture: {}: Input/output error",
            torn.display()
        ));
        let (after, size, blocks, _, contents) = state(&name);
        assert_eq!((after, size, blocks * 512), (inode, 256 << 10, 256 << 10));
        assert!(contents == Fuse::bytes(256 << 10));
        // What cannot be read at all changes nothing.
        let before = state(&name);
        let unreadable = fuse.path("unreadable");
        overwrite(&[], &unreadable, &name)
            .fails(1)
            .says(format!("{}: Input/output error", unreadable.display()));
        assert!(state(&name) == before);
        // Neither the size nor the end of these files is what they claim.
        for (file, length) in [("more", 5000), ("less", 10), ("direct", 50_000)] {
            let name = Name::holding([9; 10]);
            overwrite(&[], fuse.path(file), &name).prints("");
            assert!(fs::read(name.path()).unwrap() == Fuse::bytes(length));
        }
    });
}

/// Changes the size of a FILE of 4 MiB when this system call, the first of its kind, has done its work. Then `stored` bytes
/// have been stored when shmtool notices.
fn change_size_after(call: &str, size: u64, stored: u64) {
    let (file, name) = (file_with(vec![7; 4 << 20]), Name::holding([9; 5000]));
    let inject = format!("inject={call}:delay_exit=700000:when=1");
    let create = ["create", "--overwrite", "--from"];
    let Some(mut strace) = strace(&["-e", &inject], create) else {
        return;
    };
    let child = spawn(strace.arg(file.path()).arg(&name));
    wait_until_open(&child, &name);
    sleep(Duration::from_millis(300));
    file.as_file().set_len(size).unwrap();
    let path = file.path().display();
    let mut error = format!("{path}: grew or shrank while it was copied");
    if stored > 0 {
        let mixture = format!("stored {stored} of 4194304 bytes; it holds a mixture");
        error = format!("{name}: {mixture}: {error}");
    }
    finish(child).fails(1).says(error);
    let (_, _, blocks, _, contents) = state(&name);
    match stored {
        0 => assert!(contents == [9; 5000]),
        _ => assert!(contents == vec![7; stored as usize]),
    }
    // The memory that is not needed has been given back.
    assert_eq!(blocks * 512, contents.len().next_multiple_of(4096) as u64);
}

#[test]
fn a_file_that_changes_its_size_before_the_first_byte_is_stored_changes_nothing() {
    change_size_after("fallocate", 100, 0);
    change_size_after("fallocate", 6 << 20, 0);
}

#[test]
fn a_file_that_changes_its_size_later_leaves_a_mixture() {
    change_size_after("pwrite64", 3 << 20, 3 << 20);
    change_size_after("pwrite64", 6 << 20, 4 << 20);
}

/// Overwrites an object from a slow pipe, and kills that before the pipe ends.
fn kill_while_reading(rounds: u32) {
    let name = Name::holding(vec![9; 3 << 20]);
    let before = state(&name);
    for round in 0..rounds {
        let (mut child, mut stdin) = spawn_from_pipe(&[], &name);
        for _ in 0..round % 8 {
            // It is in the pipe, or has been read already.
            stdin.write_all(&[1; 60_000]).unwrap();
            sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(state(&name) == before, "round {round}");
    }
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1);
}

#[test]
fn a_kill_while_a_pipe_is_read_changes_nothing() {
    in_private_shm("size=16m", || kill_while_reading(20));
}

#[test]
#[ignore = "100 rounds"]
fn killed_100_times_while_a_pipe_is_read() {
    in_private_shm("size=16m", || kill_while_reading(100));
}

/// Overwrites an object under strace, which injects this, while `meanwhile` runs on the object.
fn overwrite_while(
    inject: &str,
    args: &[&str],
    file: &Path,
    name: &Name,
    meanwhile: impl FnOnce(&File),
) -> Option<Ended> {
    let create = ["create", "--overwrite", "--from"];
    let mut strace = strace(&["-e", &format!("inject={inject}")], create)?;
    let child = spawn(strace.arg(file).args(args).arg(name));
    wait_until_open(&child, name);
    sleep(Duration::from_millis(400));
    meanwhile(&File::options().write(true).open(name.path()).unwrap());
    Some(finish(child))
}

/// Truncates an object at the third store, to a third of what has been stored in it.
fn truncate_while_storing(args: &[&str]) {
    // The object may end before FILE or after it.
    for size in [5000, 6 << 20] {
        let (file, name) = (file_with(vec![7; 4 << 20]), Name::holding(vec![9; size]));
        for delay in ["delay_enter", "delay_exit"] {
            let inject = format!("pwrite64:{delay}=900000:when=3");
            let truncate = |object: &File| object.set_len(1 << 20).unwrap();
            let Some(ended) = overwrite_while(&inject, args, file.path(), &name, truncate) else {
                return;
            };
            ended
                .fails(1)
                .says(format!("{name}: another process truncated it"));
            fs::write(name.path(), vec![9; size]).unwrap();
        }
    }
}

#[test]
fn a_truncation_is_noticed_with_sparse_too() {
    in_private_shm("size=32m", || truncate_while_storing(&["--sparse"]));
}

#[test]
fn a_truncation_is_noticed_on_ramfs_too() {
    in_private_shm("size=1m", || {
        if !mount_ramfs() {
            return;
        }
        truncate_while_storing(&[]);
    });
}

/// Like [`state`], without the modification time, which giving memory back changes.
fn memory_and_contents(name: &Name) -> (u64, u64, Vec<u8>) {
    let (_, size, blocks, _, contents) = state(name);
    (size, blocks, contents)
}

/// Makes the first store fail several times. The first page can be a huge page, which goes beyond the end of the object.
fn fail_repeatedly() {
    let (file, name) = (file_with(vec![7; 30_000_001]), Name::holding([9; 5000]));
    let before = memory_and_contents(&name);
    for _ in 0..3 {
        let create = ["create", "--overwrite", "--from"];
        let Some(mut strace) = strace(&["-e", "inject=pwrite64:error=EIO:when=1"], create) else {
            return;
        };
        run(strace.arg(file.path()).arg(&name))
            .fails(1)
            .says(format!(
                "{name}: cannot reserve its memory: Input/output error"
            ));
        assert!(memory_and_contents(&name) == before);
    }
}

#[test]
fn repeated_failures_leave_no_memory() {
    in_private_shm("size=64m", || {
        fail_repeatedly();
    });
}

#[test]
fn repeated_failures_leave_no_memory_with_huge_pages() {
    in_private_shm("size=64m,huge=always", || {
        fail_repeatedly();
    });
}

#[test]
fn memory_that_was_reserved_past_the_end_before_stays() {
    let (file, name) = (file_with(vec![7; 3_000_001]), Name::holding([9; 5000]));
    let object = File::options().write(true).open(name.path()).unwrap();
    fallocate(&object, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1_000_000).unwrap();
    let before = memory_and_contents(&name);
    let create = ["create", "--overwrite", "--from"];
    let Some(mut strace) = strace(&["-e", "inject=pwrite64:error=EIO:when=1"], create) else {
        return;
    };
    run(strace.arg(file.path()).arg(&name)).fails(1);
    assert!(memory_and_contents(&name) == before);
}

#[test]
fn what_another_process_adds_to_the_object_stays_after_a_failure() {
    let (file, name) = (file_with(vec![7; 8 << 20]), Name::holding([9; 5000]));
    let inject = "pwrite64:error=EIO:delay_exit=900000:when=2";
    let add = |object: &File| object.write_all_at(b"precious", 4 << 20).unwrap();
    let Some(ended) = overwrite_while(inject, &[], file.path(), &name, add) else {
        return;
    };
    ended.fails(1).says(format!(
        "{name}: stored 1048576 of 8388608 bytes; it holds a mixture: {name}: cannot reserve its memory: Input/output error"
    ));
    assert!(fs::read(name.path()).unwrap().ends_with(b"\0precious"));
}

#[test]
fn a_lack_of_address_space_for_a_buffer_leaves_the_holes() {
    let file = file_with("text");
    let mut failed = 0;
    // The first calls map the program and its libraries.
    for number in 1..50 {
        let name = Name::holding("");
        let object = File::options().write(true).open(name.path()).unwrap();
        object.set_len(1 << 20).unwrap();
        let before = state(&name);
        let inject = format!("inject=mmap:error=ENOMEM:when={number}");
        let create = ["create", "--overwrite", "-s", "1M", "--from"];
        let Some(mut strace) = strace(&["-e", &inject], create) else {
            return;
        };
        let ended = run(strace.arg(file.path()).arg(&name));
        if ended.stderr.contains("cannot get memory for a buffer") {
            assert!(state(&name) == before, "{ended:?}");
            failed += 1;
        }
    }
    // One buffer is for FILE, and one for zeros.
    assert_eq!(failed, 2);
}

#[test]
fn only_bytes_that_file_has_count_as_stored() {
    let (file, name) = (file_with(vec![7; 4 << 20]), Name::holding(""));
    let inject = "pwrite64:delay_exit=900000:when=1";
    let truncate = |_: &File| file.as_file().set_len((1 << 20) + 100).unwrap();
    let Some(ended) = overwrite_while(inject, &[], file.path(), &name, truncate) else {
        return;
    };
    ended.fails(1).says(format!(
        "{name}: stored 1048676 of 4194304 bytes; it holds a mixture: {}: grew or shrank while it was copied",
        file.path().display()
    ));
}
