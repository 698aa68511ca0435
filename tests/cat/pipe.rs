//! Output to pipes, system calls that fail or are interrupted, and memory use.

use crate::common::*;
use crate::{TEXT, file_with, path_of, system_cat};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Usage, UsageWho};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Stdio;
use std::time::Duration;

/// Data in which no two pages are equal.
fn distinct_pages(length: usize) -> Vec<u8> {
    (0_u64..).flat_map(u64::to_ne_bytes).take(length).collect()
}

#[test]
fn a_nonblocking_pipe_receives_everything() {
    let content = distinct_pages(5 << 20);
    let file = file_with(&content);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    let mut command = shmtool(["cat", TEXT, &path_of(&file)]);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command);
    std::thread::sleep(Duration::from_millis(50));
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed).unwrap();
    assert!(printed == [system_cat(Stdio::null(), &[TEXT]), content].concat());
    finish(child).prints("");
}

#[test]
fn failed_and_interrupted_system_calls_neither_lose_nor_repeat_data() {
    let content = distinct_pages((6 << 20) + 1234);
    let file = file_with(&content);
    for inject in [
        "vmsplice:error=EINVAL",
        "vmsplice:error=EINVAL:when=3+",
        "vmsplice:error=ENOSYS",
        "vmsplice:error=EPERM:when=2",
        "vmsplice:error=EINTR:when=1+2",
        "vmsplice:error=EAGAIN:when=2+3",
        "vmsplice:error=EFAULT:when=2",
        "splice:error=EINVAL",
        "splice:error=EPERM",
        "splice:error=EINTR:when=1+2",
        "splice:error=EAGAIN:when=2+3",
        "pipe2:error=EMFILE",
        "fcntl:error=EPERM:when=3",
        "fcntl:error=EPERM:when=4",
        "write:error=EINTR:when=1+2",
        "write:error=EAGAIN:when=1+3",
        "write:error=EFAULT:when=1",
        "fcntl:error=EPERM:when=5+",
        "madvise:error=EINVAL",
        "lseek:error=EINVAL:when=2",
        "mmap:error=ENODEV:when=20+",
    ] {
        let Some(mut command) = strace(
            &["-e", &format!("inject={inject}")],
            ["cat", &path_of(&file)],
        ) else {
            return;
        };
        let printed = run(&mut command);
        assert!(
            printed.status.success() && printed.stderr.is_empty(),
            "{inject}: {printed:?}"
        );
        assert!(printed.stdout == content, "{inject}");
    }
}

/// If the pipe has room for a part only, the next call fails after some pages were moved.
#[test]
fn a_refusal_after_a_part_was_spliced_neither_loses_nor_repeats_data() {
    let content = distinct_pages((6 << 20) + 1234);
    let file = file_with(&content);
    for first in 1..8 {
        // The pipe stays small, because it cannot be enlarged.
        let splice = format!("inject=splice:error=EPERM:when={first}+");
        let options = ["-e", "inject=fcntl:error=EPERM:when=6", "-e", &splice];
        let Some(mut command) = strace(&options, ["cat", &path_of(&file)]) else {
            return;
        };
        assert!(run(&mut command).stdout == content, "{first}");
    }
}

#[test]
fn a_pipe_that_keeps_packets_apart_receives_everything() {
    let content = distinct_pages((3 << 20) + 1234);
    let file = file_with(&content);
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_DIRECT | OFlag::O_CLOEXEC).unwrap();
    // Spliced pages are no packets, so that a reader loses the rest of a packet that follows them.
    let inject = ["-e", "inject=vmsplice:error=EIO"];
    let Some(mut command) = strace(&inject, ["cat", &path_of(&file)]) else {
        return;
    };
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command);
    let (mut printed, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let mut reader = File::from(reader);
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => break,
            count => printed.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(printed == content);
    finish(child).prints("");
}

#[test]
fn printing_a_hole_allocates_no_memory() {
    in_private_shm("size=256k", || {
        // One page of data in the middle, and one at the end.
        let file = File::create("/dev/shm/sparse").unwrap();
        file.set_len(9 << 20).unwrap();
        file.write_all_at(b"middle", 4 << 20).unwrap();
        file.write_all_at(b"end", (9 << 20) - 3).unwrap();
        fs::write("/dev/shm/fill", [1; 248 << 10]).unwrap();
        let blocks = file.metadata().unwrap().blocks();
        let expected = fs::read("/dev/shm/sparse").unwrap();

        run(&mut shmtool(["cat", "--shm", "sparse"])).prints(&expected);
        let part = &expected[(4 << 20) - 5..(4 << 20) + 10000];
        run(&mut shmtool([
            "cat", "--shm", "--offset", "4194299", "--length", "10005", "sparse",
        ]))
        .prints(part);
        assert!(crate::output_to_file(&mut shmtool(["cat", "--shm", "sparse"])) == expected);
        run(&mut shmtool(["cat", "--shm", "sparse", "fill", "sparse"]))
            .prints([&expected[..], &[1; 248 << 10], &expected].concat());
        assert_eq!(file.metadata().unwrap().blocks(), blocks);

        // Memory that is reserved but was never written reads as zeros, too.
        fs::remove_file("/dev/shm/fill").unwrap();
        run(&mut shmtool(["create", "-s", "100K", "reserved"])).prints("");
        run(&mut shmtool(["cat", "--shm", "reserved"])).prints([0; 100 << 10]);
    });
}

#[test]
fn memory_use_does_not_depend_on_the_file_size() {
    // getrusage reports the peak of the largest child so far, so this test needs a separate process.
    in_private_shm("size=1m", || {
        let peak = || {
            nix::sys::resource::getrusage(UsageWho::RUSAGE_CHILDREN)
                .map(|u: Usage| u.max_rss())
                .unwrap()
        };
        let print = |file: &File| {
            let mut child = shmtool(["cat", &path_of(file)])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let printed =
                std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
            assert!(child.wait().unwrap().success());
            assert_eq!(printed, file.metadata().unwrap().len());
        };
        print(&file_with(&[1; 4096]));
        let small = peak();
        // Written in small pieces: until a child calls exec, our own memory counts as that of the child.
        let mut full = tempfile::tempfile().unwrap();
        (0..256).for_each(|_| full.write_all(&distinct_pages(256 << 10)).unwrap());
        full.rewind().unwrap();
        print(&full);
        let sparse = tempfile::tempfile().unwrap();
        sparse.set_len(4 << 30).unwrap();
        print(&sparse);
        let large = peak();
        assert!(large - small <= 8 << 10, "{small} KiB, then {large} KiB");
    });
}
