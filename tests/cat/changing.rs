//! Files that change while `cat` prints them, and afterwards.

use crate::common::*;
use crate::{file_with, path_of};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Starts `cat` on a file of x bytes that is larger than the pipe, and reads the first byte.
fn start_cat(mebibytes: u64) -> (File, Child, std::process::ChildStdout) {
    let file = file_with(&vec![b'x'; (mebibytes * MIB) as usize]);
    let mut cat = shmtool(["cat", &path_of(&file)]);
    let mut child = spawn(&mut cat);
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    (file, child, stdout)
}

#[test]
fn data_appended_to_a_growing_file_is_printed() {
    let (mut file, child, mut stdout) = start_cat(4);
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"more").unwrap();
    let mut printed = Vec::new();
    stdout.read_to_end(&mut printed).unwrap();
    assert_eq!(printed.len() as u64, 4 * MIB - 1 + 4);
    assert!(printed.ends_with(b"xxmore"));
    finish(child).prints("");
}

#[test]
fn truncating_a_file_while_it_is_printed_is_an_error_after_the_remaining_data() {
    // The last size ends in the middle of the last page, which stays mapped.
    for size in [0, 5, 3 * MIB, 3 * MIB + 5000, 8 * MIB - 100] {
        let (file, child, mut stdout) = start_cat(8);
        file.set_len(size).unwrap();
        let mut printed = Vec::new();
        stdout.read_to_end(&mut printed).unwrap();
        let ended = finish(child);
        assert_eq!(ended.status.code(), Some(1), "{size}");
        assert!(
            ended.stderr.ends_with(": truncated while it was printed\n"),
            "{ended:?}"
        );
        // The data that remains is printed, and what was already in the pipe, but not much more.
        let printed = printed.len() as u64 + 1;
        assert!(
            (size..=size.max(2 * MIB) + MIB).contains(&printed),
            "{size}: {printed}"
        );
    }
}

#[test]
fn data_in_the_pipe_does_not_change_after_cat_exits() {
    let (file, mut child, mut stdout) = start_cat(8);
    // Leave only what fits into the pipe, so that cat can exit.
    let mut printed = vec![0; (7 * MIB) as usize - 1];
    stdout.read_exact(&mut printed).unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(30) => {
                break child.kill().and(child.wait()).unwrap();
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success(), "{status}");
    file.write_all_at(&vec![b'y'; (8 * MIB) as usize], 0)
        .unwrap();
    file.set_len(0).unwrap();
    stdout.read_to_end(&mut printed).unwrap();
    assert_eq!(printed.len() as u64, 8 * MIB - 1);
    assert!(printed.iter().all(|&byte| byte == b'x'));
}

#[test]
fn cat_does_not_exit_while_pages_of_the_file_are_in_the_pipe() {
    let (file, mut child, mut stdout) = start_cat(8);
    file.set_len(3 * MIB).unwrap();
    let mut printed = vec![0; (5 * MIB / 2) as usize];
    stdout.read_exact(&mut printed).unwrap();
    // Everything has been written, but the reader has not emptied the pipe yet.
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    stdout.read_to_end(&mut printed).unwrap();
    assert_eq!(finish(child).status.code(), Some(1));

    // It stops waiting if the reader closes the pipe.
    let (file, child, mut stdout) = start_cat(8);
    file.set_len(3 * MIB).unwrap();
    stdout
        .read_exact(&mut vec![0; (5 * MIB / 2) as usize])
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(stdout);
    finish(child);
}
