//! The library's layer for integers in files: opening, mapping, and the reasons why something is refused.

#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod devices;
mod file_systems;
mod refusals;

use common::*;
use shmtool::sys::file::error::FileError;
use shmtool::sys::file::int_file::{FileKind, IntFile};
use shmtool::sys::file::source::FileSource;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::int::{Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::fs;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use tempfile::NamedTempFile;

const INT: NonZero<usize> = NonZero::new(4).unwrap();

fn source(path: impl AsRef<Path>) -> FileSource {
    FileSource::new(path.as_ref().as_os_str()).unwrap()
}

fn open(path: impl AsRef<Path>, access: Access) -> Result<IntFile, FileError> {
    source(path).open(access)
}

/// The message for a file that cannot be opened, without the name of the file.
#[track_caller]
fn refusal(path: impl AsRef<Path>, access: Access) -> String {
    let error = open(&path, access).unwrap_err().to_string();
    let label = format!("{}: ", path.as_ref().display());
    error.strip_prefix(&label).unwrap().to_owned()
}

fn int(value: i128) -> Int {
    Int::new(IntType::I32, value).unwrap()
}

/// Stores a value as the program does: prepared, and checked afterwards.
fn store(file: &IntFile, start: u64, value: i128) -> Result<(), FileError> {
    let mapping = file.map(start, INT, Access::ReadWrite)?;
    file.prepare_store(&mapping, start, 4)?;
    if mapping.store(0, int(value)).is_err() {
        return Err(file.bus_error(start + 4));
    }
    file.check_not_truncated(start + 4)?;
    file.set_modified()
}

fn load(file: &IntFile, start: u64) -> i128 {
    let mapping = file.map(start, INT, Access::Read).unwrap();
    mapping.load(0, IntType::I32).unwrap().value()
}

/// A file of 8192 zeros on a disk, not in memory.
fn file_on_disk() -> NamedTempFile {
    let file = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.as_file().set_len(8192).unwrap();
    file
}

/// Returns a command that runs this test again. Returns None in that process.
fn run_again(test: &str) -> Option<Command> {
    const AGAIN: &str = "SHMTOOL_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--test-threads=1"]);
    command.env(AGAIN, "1");
    Some(command)
}

#[track_caller]
fn passes(command: &mut Command) {
    let ended = run(command);
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}{}", ended.stderr);
}

#[test]
fn a_store_changes_the_file() {
    let file = file_on_disk();
    let opened = open(&file, Access::ReadWrite).unwrap();
    assert_eq!(opened.kind(), FileKind::Regular);
    assert_eq!(opened.size().unwrap(), Some(8192));
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    for (start, value) in [(0, 1), (4096, -2), (8188, 3)] {
        file.as_file().set_modified(long_ago).unwrap();
        store(&opened, start, value).unwrap();
        assert_eq!(load(&opened, start), value);
        assert!(file.as_file().metadata().unwrap().mtime() > 1);
    }
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes[8188..], 3_i32.to_ne_bytes());
    assert_eq!(bytes.len(), 8192);
    let mapping = opened.map(4096, INT, Access::ReadWrite).unwrap();
    opened.sync(&mapping).unwrap();
}

#[test]
fn integers_are_read_and_written_without_a_mapping() {
    let file = file_on_disk();
    let opened = open(&file, Access::ReadWrite).unwrap();
    for int_type in IntType::ALL {
        for value in [int_type.min(), 1, int_type.max()] {
            let int = Int::new(int_type, value).unwrap();
            opened.pwrite(24, int).unwrap();
            assert_eq!(opened.pread(24, int_type).unwrap(), int);
            let length = NonZero::new(int_type.width()).unwrap();
            let mapping = opened.map(24, length, Access::Read).unwrap();
            assert_eq!(mapping.load(0, int_type), Ok(int));
        }
    }
    opened.sync_written().unwrap();
    let error = opened.pread(8190, IntType::I32).unwrap_err();
    assert!(matches!(error, FileError::Truncated(_)), "{error}");
}

#[test]
fn a_truncated_file_is_reported() {
    let file = file_on_disk();
    let opened = open(&file, Access::ReadWrite).unwrap();
    let mapping = opened.map(4096, INT, Access::ReadWrite).unwrap();
    opened.check_not_truncated(8192).unwrap();
    file.as_file().set_len(4096).unwrap();
    let prepared = opened.prepare_store(&mapping, 4096, 4).unwrap_err();
    assert!(prepared.is_truncated(), "{prepared}");
    assert!(mapping.store(0, int(1)).is_err());
    assert!(opened.bus_error(4100).is_truncated());
    // Within the last page nothing faults, and the store is lost.
    file.as_file().set_len(4097).unwrap();
    assert!(store(&opened, 4096, 1).unwrap_err().is_truncated());
    assert_eq!(fs::read(&file).unwrap().len(), 4097);
}

#[test]
fn a_path_that_leads_to_another_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (
        directory.path().join("file"),
        directory.path().join("other"),
    );
    let source = source(&path);
    assert!(source.open(Access::Read).unwrap_err().is_missing());
    fs::write(&path, "abcd").unwrap();
    let opened = source.open(Access::Read).unwrap();
    assert!(source.leads_to(&opened));
    fs::write(&other, "efgh").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(!source.leads_to(&opened));
    assert!(source.leads_to(&source.open(Access::Read).unwrap()));
    fs::remove_file(&path).unwrap();
    assert!(!source.leads_to(&opened));
}

#[test]
fn integers_of_devices_are_accessed_without_atomics() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let map = || {
        let length = NonZero::new(64).unwrap();
        Mapping::shared_file(&file, 0, length, Access::ReadWrite).unwrap()
    };
    let mapping = map();
    for int_type in IntType::ALL {
        for value in [int_type.min(), 1, int_type.max()] {
            let int = Int::new(int_type, value).unwrap();
            mapping.store_volatile(8, int).unwrap();
            assert_eq!(mapping.load(8, int_type), Ok(int));
            assert_eq!(mapping.load_volatile(8, int_type), Ok(int));
        }
    }
    let other = map();
    file.set_len(0).unwrap();
    assert!(mapping.load_volatile(8, IntType::U16).is_err());
    assert!(other.store_volatile(8, int(1)).is_err());
}

#[test]
#[should_panic(expected = "aligned address")]
fn unaligned_integers_of_devices_are_rejected() {
    let mapping = Mapping::private_anonymous(NonZero::new(64).unwrap()).unwrap();
    let _ = mapping.load_volatile(2, IntType::U32);
}

#[test]
fn a_source_has_the_name_that_the_user_wrote() {
    assert_eq!(source("a\nb").label(), r"a\nb");
    assert_eq!(source("/dev/stdin").label(), "/dev/stdin");
}
