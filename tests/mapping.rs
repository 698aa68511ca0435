//! The four kinds of memory mapping, as `mmap(2)` describes them, and the integers in them.

#[allow(dead_code)]
#[path = "../examples/mapping_kinds.rs"]
mod mapping_kinds;

use mapping_kinds::{Seen, observe_all};
use proptest::prelude::*;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::int::{Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::num::NonZero;
use std::os::unix::fs::FileExt;

#[test]
fn a_child_s_store_is_seen_as_the_manual_says() {
    let seen = |kind, by_the_parent, in_the_file, by_another_process| Seen {
        kind,
        by_the_parent,
        in_the_file,
        by_another_process,
    };
    assert_eq!(
        observe_all().unwrap(),
        [
            seen("private file", false, Some(false), Some(false)),
            seen("shared file", true, Some(true), Some(true)),
            seen("private anonymous", false, None, None),
            seen("shared anonymous", true, None, None),
        ]
    );
}

#[test]
fn a_mapping_that_is_dropped_is_unmapped() {
    let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10).unwrap();
    let path = file.path().to_str().unwrap();
    let mapping = Mapping::shared_file(&file, 0, NonZero::new(10).unwrap(), Access::Read).unwrap();
    assert!(mapped().contains(path));
    drop(mapping);
    assert!(!mapped().contains(path));
}

#[test]
fn what_is_no_file_is_not_mapped() {
    let (reader, _writer) = std::io::pipe().unwrap();
    assert!(Mapping::shared_file(&reader, 0, NonZero::new(10).unwrap(), Access::Read).is_err());
}

#[test]
#[should_panic(expected = "7+4 of 10")]
fn an_integer_beyond_the_end_is_a_panic() {
    Mapping::private_anonymous(NonZero::new(10).unwrap())
        .unwrap()
        .load(7, IntType::I32);
}

proptest! {
    #[test]
    fn a_mapping_starts_at_any_byte_of_the_file(offset in 0..20_000_u64, length in 8..5000_usize, bits: u64) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(offset + length as u64).unwrap();
        let int = Int::from_bits(IntType::U64, bits).unwrap();
        let mapping =
            Mapping::shared_file(&file, offset, NonZero::new(length).unwrap(), Access::ReadWrite).unwrap();
        prop_assert_eq!(mapping.len(), length);
        mapping.store(length - 8, int);
        prop_assert_eq!(mapping.load(length - 8, IntType::U64), int);
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset + length as u64 - 8).unwrap();
        prop_assert_eq!(u64::from_ne_bytes(bytes), bits);
    }
}
