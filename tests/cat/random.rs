//! Random files, pipes and readers: the output is that of the system's `cat`.

use crate::common::*;
use crate::{file_with, path_of, system_cat};
use nix::fcntl::{FcntlArg, fcntl};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

/// A file: alternately data and holes of these lengths. What is in it depends on `seed`.
#[derive(Debug)]
struct Layout {
    lengths: Vec<usize>,
    seed: u64,
}

/// Lengths near those at which the behavior changes, and any others.
fn length() -> impl Strategy<Value = usize> {
    let limits = prop::sample::select(vec![0, 4096, 64 << 10, 128 << 10, 1 << 20, 2 << 20]);
    let near_a_limit = (limits, 0_usize..3).prop_map(|(limit, more)| limit + more);
    prop_oneof![near_a_limit, 0_usize..3 << 20]
}

fn layout() -> impl Strategy<Value = Layout> {
    (prop::collection::vec(length(), 1..5), any::<u64>())
        .prop_map(|(lengths, seed)| Layout { lengths, seed })
}

/// How the reader of the pipe behaves: the capacity that it sets, if any, before a certain number of bytes was read, and
/// how much it reads at a time.
fn reader() -> impl Strategy<Value = (Option<i32>, usize, usize)> {
    let capacity = prop::option::of(prop::sample::select(vec![
        4096,
        64 << 10,
        256 << 10,
        1 << 20,
    ]));
    (capacity, 0_usize..4 << 20, 1_usize..2 << 20)
}

fn compare_with_system_cat(rounds: u32) {
    let config = ProptestConfig {
        cases: rounds,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(
        &(layout(), layout(), reader()),
        |(first, second, (capacity, change_at, at_a_time))| {
            let files = [first, second].map(|layout| {
                let file = file_with(b"");
                let mut end = 0;
                for (index, length) in layout.lengths.iter().enumerate() {
                    if index % 2 == 0 {
                        let words = (layout.seed..).flat_map(|word| {
                            word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes()
                        });
                        let bytes: Vec<u8> = words.take(*length).collect();
                        file.write_all_at(&bytes, end).unwrap();
                    }
                    end += *length as u64;
                }
                file.set_len(end).unwrap();
                file
            });
            let paths = files.each_ref().map(path_of);
            let paths = [&*paths[0], &*paths[1]];
            let expected = system_cat(Stdio::null(), &paths);

            let (mut pipe, writer) = std::io::pipe().unwrap();
            let mut cat = shmtool([&["cat"], &paths[..]].concat());
            let child = cat.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
            drop(cat);
            let (mut printed, mut buffer) = (Vec::new(), vec![0; at_a_time]);
            let mut capacity = capacity;
            loop {
                if printed.len() >= change_at
                    && let Some(capacity) = capacity.take()
                {
                    // EBUSY: there is more in the pipe.
                    let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(capacity));
                }
                match pipe.read(&mut buffer).unwrap() {
                    0 => break,
                    count => printed.extend_from_slice(&buffer[..count]),
                }
            }
            finish(child).prints("");
            prop_assert!(printed == expected);
            prop_assert!(
                crate::output_to_file(&mut shmtool([&["cat"], &paths[..]].concat())) == expected
            );
            Ok(())
        },
    );
    result.unwrap();
}

#[test]
fn a_dozen_random_files_are_printed_as_the_system_does() {
    compare_with_system_cat(12);
}

#[test]
#[ignore = "1,000 rounds"]
fn a_thousand_random_files_are_printed_as_the_system_does() {
    compare_with_system_cat(1000);
}
