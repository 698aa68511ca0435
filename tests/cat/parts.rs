//! `--offset`, `--length` and `--progress`.

use crate::common::*;
use crate::{file_with, path_of};
use proptest::prelude::*;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};

#[test]
fn the_same_part_of_each_operand_is_printed() {
    let (one, two) = (Name::holding("0123456789"), Name::holding("abcdefghij"));
    let part = ["--offset", "2", "--length=3"];
    run(shmtool(["cat", "--shm"]).args(part).args([&one, &two])).prints("234cde");
    run(shmtool(["cat"]).args(part).args([one.path(), two.path()])).prints("234cde");
    run(shmtool(["cat", "--shm", "--offset", "8"]).args([&one, &two])).prints("89ij");
    run(shmtool(["cat", "--shm", "--length", "2"]).args([&one, &two])).prints("01ab");
    run(shmtool(["cat", "--shm", "--length", "0"]).args([&one, &two])).prints("");
}

#[test]
fn nothing_is_printed_beyond_the_end() {
    let name = Name::holding("0123456789");
    for offset in ["10", "11", "1T", "0x7fffffffffffffff"] {
        run(shmtool(["cat", "--shm", "--offset", offset]).arg(&name)).prints("");
        run(shmtool(["cat", "--offset", offset]).stdin(file_with(b"0123456789"))).prints("");
    }
    run(&mut shmtool(["cat", "--offset", "1T", "/proc/version"])).prints("");
    let length = "0x7fffffffffffffff";
    run(shmtool(["cat", "--shm", "--offset", "3", "--length", length]).arg(&name))
        .prints("3456789");
}

#[test]
fn a_part_of_a_file_that_cannot_be_mapped_is_printed() {
    let version = std::fs::read("/proc/version").unwrap();
    run(&mut shmtool([
        "cat",
        "--offset",
        "6",
        "--length",
        "7",
        "/proc/version",
    ]))
    .prints(&version[6..13]);
}

#[test]
fn only_the_requested_part_is_read_from_a_pipe() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"0123456789").unwrap();
    run(shmtool(["cat", "--offset", "2", "--length", "3"]).stdin(reader.try_clone().unwrap()))
        .prints("234");
    drop(writer);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "56789");
}

#[test]
fn a_file_on_standard_input_is_left_at_the_end_of_the_part() {
    let mut file = file_with(b"0123456789");
    file.seek(SeekFrom::Start(1)).unwrap();
    run(shmtool(["cat", "--offset", "2", "--length", "3"]).stdin(file.try_clone().unwrap()))
        .prints("345");
    assert_eq!(file.stream_position().unwrap(), 6);
}

#[test]
fn invalid_sizes_are_usage_errors() {
    for option in ["--offset", "--length"] {
        run(&mut shmtool(["cat", option, "-1", "/proc/version"]))
            .fails(2)
            .says("-1: a SIZE cannot be negative");
        run(&mut shmtool(["cat", option, "x", "/proc/version"])).fails(2);
    }
}

#[test]
fn progress_is_shown_only_on_a_terminal() {
    let file = file_with(&[7; 3 << 20]);
    let mut cat = shmtool(["cat", "--progress", "/proc/version", &path_of(&file)]);
    let printed = run(&mut cat);
    assert_eq!(
        (printed.status.code(), printed.stderr.as_str()),
        (Some(0), "")
    );

    let pty = nix::pty::openpty(None, None).unwrap();
    let mut child = cat
        .stdout(Stdio::piped())
        .stderr(pty.slave)
        .spawn()
        .unwrap();
    drop(cat);
    let copied = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(copied, printed.stdout.len() as u64);
    assert!(child.wait().unwrap().success());
    let mut shown = Vec::new();
    let _ = std::fs::File::from(pty.master).read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains(" MiB/3.00 MiB [") && shown.contains("iB/s"),
        "{shown:?}"
    );
}

/// Returns a part of a file as `tail` and `head` print it.
fn tail_and_head(file: &std::fs::File, offset: u64, length: u64) -> Vec<u8> {
    let (mut file, script) = (file, format!("tail -c +{} | head -c {length}", offset + 1));
    file.rewind().unwrap();
    Command::new("sh")
        .args(["-c", &script])
        .stdin(file.try_clone().unwrap())
        .output()
        .unwrap()
        .stdout
}

/// A size near one at which the behavior changes: a page, the splice threshold, a step, the size of the pipe.
fn size_near_a_limit() -> impl Strategy<Value = u64> {
    let limits = prop::sample::select(vec![
        0,
        4096,
        64 << 10,
        128 << 10,
        1 << 20,
        (1 << 20) + (64 << 10),
        2 << 20,
    ]);
    (limits, -3_i64..=3)
        .prop_map(|(limit, distance): (u64, i64)| limit.saturating_add_signed(distance))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_part_equals_what_tail_and_head_print(
        size in size_near_a_limit(),
        offset in prop_oneof![Just(0), size_near_a_limit()],
        length in prop_oneof![Just(4 << 20), size_near_a_limit()],
        seed: u64,
        hole in size_near_a_limit(),
    ) {
        let content: Vec<u8> = (seed..).flat_map(|i| i.wrapping_mul(0x9e3779b97f4a7c15).to_ne_bytes()).take(size as usize).collect();
        let file = file_with(&content);
        // A hole after the content, and some data after the hole.
        file.set_len(size + hole).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"behind", size + hole).unwrap();
        let part = ["--offset", &offset.to_string(), "--length", &length.to_string()];
        let expected = tail_and_head(&file, offset, length);
        run(shmtool(["cat"]).args(part).arg(path_of(&file))).prints(&expected);
        prop_assert!(crate::output_to_file(shmtool(["cat"]).args(part).arg(path_of(&file))) == expected);

        // The same from a pipe.
        let mut cat = Command::new("cat").arg(path_of(&file)).stdout(Stdio::piped()).spawn().unwrap();
        run(shmtool(["cat"]).args(part).stdin(cat.stdout.take().unwrap())).prints(&expected);
        // SIGPIPE may have killed it.
        cat.wait().unwrap();
    }
}
