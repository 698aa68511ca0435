//! `--count` and `--hex`.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Stdio;

#[test]
fn count_prints_that_many_integers_one_per_line() {
    let name = Name::holding([1_i16, -2, 3, i16::MIN].map(i16::to_ne_bytes).concat());
    let read = |args: &[&str]| run(shmtool(["read-int", "-t", "i16"]).args(args).arg(&name));
    read(&["--count", "3"]).prints("1\n-2\n3\n");
    read(&["--count", "2", "--offset", "4"]).prints("3\n-32768\n");
    read(&["--count", "0"]).prints("");
    read(&["--count", "5"]).fails(1).says(format!(
        "{name}: too small: 5 i16 at offset 0 need 10 bytes, the object has 8"
    ));
    read(&["--count", "18446744073709551615"]).fails(1);
    for count in ["-1", "+1", "1K", "some", "18446744073709551616"] {
        read(&["--count", count])
            .fails(2)
            .says(format!("{count}: not a count: a number, or all"));
    }
}

#[test]
fn count_all_prints_every_whole_integer_and_reports_leftover_bytes() {
    let name = Name::holding([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0]);
    let two = [[1, 0, 0, 0], [2, 0, 0, 0]]
        .map(i32::from_ne_bytes)
        .map(|int| format!("{int}\n"))
        .concat();
    let all = run(shmtool(["read-int", "--count", "all"]).arg(&name));
    assert_eq!(
        (all.status.code(), String::from_utf8(all.stdout).unwrap()),
        (Some(0), two)
    );
    assert_eq!(
        all.stderr,
        format!("shmtool: {name}: bytes left over at the end: 3 (i32 takes 4)\n")
    );
    run(shmtool(["read-int", "--count", "all", "-t", "u8", "--offset", "8"]).arg(&name))
        .prints("3\n0\n0\n");
    for offset in ["11", "5000"] {
        run(shmtool(["read-int", "--count", "all", "--offset", offset]).arg(&name)).prints("");
    }
    let empty = Name::holding("");
    run(shmtool(["read-int", "--count", "all"]).arg(&empty)).prints("");
    let missing = Name::new();
    run(shmtool(["read-int", "--count", "all"]).arg(&missing)).fails(3);
}

#[test]
fn hex_prints_the_bits_in_the_width_of_the_type() {
    let name = Name::holding([0xff; 8]);
    for (int_type, printed) in [
        ("i8", "0xff\n"),
        ("u16", "0xffff\n"),
        ("i32", "0xffffffff\n"),
        ("u64", "0xffffffffffffffff\n"),
    ] {
        run(shmtool(["read-int", "-x", "-t", int_type]).arg(&name)).prints(printed);
    }
    let name = Name::holding(42_i32.to_ne_bytes());
    run(shmtool(["read-int", "--hex"]).arg(&name)).prints("0x0000002a\n");
}

#[test]
fn count_all_prints_data_and_holes_without_filling_holes() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(5 << 14).unwrap();
    let data: Vec<u8> = (0..6000_u32).flat_map(u32::to_ne_bytes).collect();
    file.write_all_at(&data, 1 << 14).unwrap();
    file.write_all_at(&[0xff; 4], 4 << 14).unwrap();
    let before = file.metadata().unwrap().blocks();
    let bytes = fs::read(name.path()).unwrap();
    assert_eq!(file.metadata().unwrap().blocks(), before);
    for (int_type, offset) in [
        ("u32", 0),
        ("u32", 3),
        ("u16", 4094),
        ("u16", 4095),
        ("u64", 16),
        ("u64", 4092),
        ("u8", 1),
    ] {
        let width = int_type[1..].parse::<usize>().unwrap() / 8;
        let little = |int: &[u8]| {
            int.iter()
                .rev()
                .fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
        };
        let big = |int: &[u8]| {
            int.iter()
                .fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
        };
        let int = |int: &[u8]| {
            if cfg!(target_endian = "little") {
                little(int)
            } else {
                big(int)
            }
        };
        let lines: String = bytes[offset..]
            .chunks_exact(width)
            .map(|bytes| format!("{}\n", int(bytes)))
            .collect();
        let all = run(shmtool([
            "read-int",
            "--count",
            "all",
            "-t",
            int_type,
            "--offset",
            &offset.to_string(),
        ])
        .arg(&name));
        assert!(
            all.status.success() && all.stdout == lines.as_bytes(),
            "{int_type} at {offset}"
        );
    }
    assert_eq!(file.metadata().unwrap().blocks(), before);
}

#[test]
fn integers_before_a_truncation_are_printed_and_the_truncation_is_reported() {
    for size in [4096_u64, 5000] {
        let name = Name::holding(1_i32.to_ne_bytes().repeat(2048));
        // read-int searches for holes once per page. The second page is truncated away during the second search.
        let inject = "inject=lseek:delay_exit=2000000:when=2";
        let Some(mut read) = strace(&["-e", inject], ["read-int", "--count", "all"]) else {
            return;
        };
        let read = read
            .arg(&name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        truncate_when_open(&read, &name, size);
        let ended = finish(read);
        assert_eq!(
            (ended.status.code(), ended.stdout),
            (Some(1), "1\n".repeat(1024).into_bytes())
        );
        assert_eq!(
            ended.stderr,
            format!("shmtool: {name}: another process truncated it\n")
        );
    }
}

#[test]
fn read_int_ends_quietly_when_its_reader_goes_away() {
    // More than fits into the pipe: another test that is just starting a process may keep the reading end open for a
    // moment.
    let name = Name::holding(vec![0; 1 << 18]);
    let mut all = shmtool(["read-int", "--count", "all"]);
    let mut child = all
        .arg(&name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = finish(child);
    assert_eq!(
        (ended.signal(), ended.stderr.as_str()),
        (Some(nix::libc::SIGPIPE), "")
    );
}
