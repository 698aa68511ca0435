//! Pipes, and what the kernel may refuse or cut short.

use crate::common::*;
use crate::{TEXT, cat, file_of, path_of};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Usage, UsageWho};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Stdio;
use std::time::Duration;

/// Bytes of which no page is like another.
fn numbered(length: usize) -> Vec<u8> {
    (0_u64..).flat_map(u64::to_ne_bytes).take(length).collect()
}

#[test]
fn a_pipe_that_does_not_block_gets_everything() {
    let content = numbered(5 << 20);
    let file = file_of(&content);
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
    assert!(printed == [cat(Stdio::null(), &[TEXT]), content].concat());
    finish(child).prints("");
}

#[test]
fn a_call_that_is_refused_or_interrupted_loses_nothing_and_repeats_nothing() {
    let content = numbered((6 << 20) + 1234);
    let file = file_of(&content);
    for inject in [
        "vmsplice:error=EINVAL",
        "vmsplice:error=EINVAL:when=3+",
        "vmsplice:error=ENOSYS",
        "vmsplice:error=EPERM:when=2",
        "vmsplice:error=EINTR:when=1+2",
        "vmsplice:error=EAGAIN:when=2+3",
        "vmsplice:error=EFAULT:when=2",
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

#[test]
fn a_hole_is_zeros_that_take_no_memory() {
    in_private_shm("size=256k", || {
        // A page of data in the middle, and one at the end.
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
        assert!(crate::into_file(&mut shmtool(["cat", "--shm", "sparse"])) == expected);
        run(&mut shmtool(["cat", "--shm", "sparse", "fill", "sparse"]))
            .prints([&expected[..], &[1; 248 << 10], &expected].concat());
        assert_eq!(file.metadata().unwrap().blocks(), blocks);

        // What is reserved and was never stored into is zeros too.
        fs::remove_file("/dev/shm/fill").unwrap();
        run(&mut shmtool(["create", "-s", "100K", "reserved"])).prints("");
        run(&mut shmtool(["cat", "--shm", "reserved"])).prints([0; 100 << 10]);
    });
}

#[test]
fn memory_does_not_grow_with_the_file() {
    // The peak of all children is the peak of the largest: this runs in a process of its own.
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
        print(&file_of(&[1; 4096]));
        let small = peak();
        // Piece by piece: until a child becomes another program, our memory counts as its.
        let mut full = tempfile::tempfile().unwrap();
        (0..256).for_each(|_| full.write_all(&numbered(256 << 10)).unwrap());
        full.rewind().unwrap();
        print(&full);
        let sparse = tempfile::tempfile().unwrap();
        sparse.set_len(4 << 30).unwrap();
        print(&sparse);
        let large = peak();
        assert!(large - small <= 8 << 10, "{small} KiB, then {large} KiB");
    });
}
