//! Inherited descriptors. Within this process, every open descriptor counts as inherited.

use super::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{File, Permissions};
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

fn path_of(file: impl AsFd) -> String {
    format!("/dev/fd/{}", file.as_fd().as_raw_fd())
}

/// A memfd of 8192 bytes without any memory.
fn memfd(flags: MFdFlags) -> File {
    let file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC | flags).unwrap());
    file.set_len(8192).unwrap();
    file
}

#[test]
fn reading_a_hole_of_a_memfd_moves_no_offset_and_allocates_nothing() {
    let mut file = memfd(MFdFlags::empty());
    file.seek(SeekFrom::Start(7)).unwrap();
    let opened = open(path_of(&file), Access::ReadWrite).unwrap();
    assert_eq!(opened.kind(), FileKind::Regular);
    assert!(opened.is_hole(0, 8) && opened.is_hole(4096, 4096));
    assert_eq!(opened.pread(0, IntType::I32).unwrap().value(), 0);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    assert!(!opened.is_fully_allocated().unwrap());
    store(&opened, 4096, 5).unwrap();
    assert!(opened.is_hole(0, 4096) && !opened.is_hole(0, 4097) && !opened.is_hole(4096, 4));
    assert_eq!(load(&opened, 4096), 5);
    assert_eq!(file.stream_position().unwrap(), 7);
}

#[test]
fn a_descriptor_is_used_though_its_file_cannot_be_opened_again() {
    let test = test_of_here("a_descriptor_is_used_though_its_file_cannot_be_opened_again");
    let Some(mut again) = run_again(&test) else {
        let opened = open("/dev/fd/100", Access::ReadWrite).unwrap();
        assert!(open(format!("/proc/{}/fd/100", std::process::id()), Access::Read).is_err());
        assert!(opened.is_hole(0, 8));
        store(&opened, 4096, 5).unwrap();
        assert!(opened.is_hole(4092, 4) && !opened.is_hole(4096, 4));
        for (number, access, mode) in [
            (101, Access::ReadWrite, "read-only"),
            (102, Access::Read, "write-only"),
            (102, Access::ReadWrite, "write-only"),
        ] {
            let message = format!(
                "the descriptor is {mode}, and the file cannot be opened again: Permission denied"
            );
            assert_eq!(refusal(format!("/dev/fd/{number}"), access), message);
        }
        return;
    };
    if !is_root() {
        return;
    }
    let file = memfd(MFdFlags::empty());
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reader = File::open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    let descriptors = [&file, &reader, &writer].map(AsRawFd::as_raw_fd);
    // SAFETY: between fork and exec the closure makes only the system call dup2(2).
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut again, move || {
            for (index, fd) in descriptors.into_iter().enumerate() {
                nix::errno::Errno::result(nix::libc::dup2(fd, 100 + index as i32))?;
            }
            Ok(())
        });
    }
    passes(as_nobody(&mut again));
    assert!(file.metadata().unwrap().blocks() <= 8, "the hole stays");
}

/// The path of a test in this module.
fn test_of_here(name: &str) -> String {
    format!("descriptors::{name}")
}

#[test]
fn a_descriptor_without_the_right_access_is_opened_again() {
    let file = file_on_disk();
    let reader = File::open(&file).unwrap();
    store(&open(path_of(&reader), Access::ReadWrite).unwrap(), 0, 1).unwrap();
    let writer = File::options().write(true).open(&file).unwrap();
    assert_eq!(load(&open(path_of(&writer), Access::Read).unwrap(), 0), 1);
    let mut options = File::options();
    options.read(true).custom_flags(OFlag::O_PATH.bits());
    let reference = options.open(&file).unwrap();
    let opened = open(path_of(&reference), Access::ReadWrite).unwrap();
    store(&opened, 0, 2).unwrap();
    // The name does not matter.
    fs::remove_file(&file).unwrap();
    assert_eq!(load(&open(path_of(&writer), Access::Read).unwrap(), 0), 2);
}

#[test]
fn a_descriptor_stays_usable_after_its_number_is_taken() {
    let file = memfd(MFdFlags::empty());
    store(&open(path_of(&file), Access::ReadWrite).unwrap(), 0, 9).unwrap();
    let source = source(path_of(&file));
    drop(file);
    let opened = source.open(Access::Read).unwrap();
    assert!(load(&opened, 0) == 9 && source.leads_to(&opened));
}

#[test]
fn a_number_that_was_closed_at_the_start_is_rejected() {
    let test = test_of_here("a_number_that_was_closed_at_the_start_is_rejected");
    let Some(mut again) = run_again(&test) else {
        // The first free number is the one that the next file gets.
        let next = File::open("/").unwrap().as_raw_fd();
        for path in [format!("/dev/fd/{next}"), format!("/proc/self/fd/{next}")] {
            let error = FileSource::new(path.as_ref()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{path}: there is no such descriptor: it was not open when shmtool started"
                )
            );
        }
        return;
    };
    passes(&mut again);
}

#[test]
fn a_descriptor_that_appends_can_be_mapped_but_not_written() {
    let file = file_on_disk();
    let mut options = File::options();
    let appending = options.read(true).append(true).open(&file).unwrap();
    let opened = open(path_of(&appending), Access::ReadWrite).unwrap();
    store(&opened, 0, 6).unwrap();
    let error = opened.pwrite(0, int(7)).unwrap_err();
    assert!(matches!(error, FileError::Appends(_)), "{error}");
    assert_eq!((load(&opened, 0), opened.size().unwrap()), (6, Some(8192)));
}

#[test]
fn a_sealed_memfd_can_be_read_but_not_changed() {
    use nix::fcntl::SealFlag;
    for (seal, name) in [
        (SealFlag::F_SEAL_WRITE, "F_SEAL_WRITE"),
        (SealFlag::F_SEAL_FUTURE_WRITE, "F_SEAL_FUTURE_WRITE"),
    ] {
        let file = memfd(MFdFlags::MFD_ALLOW_SEALING);
        store(&open(path_of(&file), Access::ReadWrite).unwrap(), 0, 4).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(seal)).unwrap();
        let path = path_of(&file);
        let opened = open(&path, Access::ReadWrite).unwrap();
        let message = format!("{path}: it is sealed against writing ({name})");
        assert_eq!(store(&opened, 0, 5).unwrap_err().to_string(), message);
        assert_eq!(opened.pwrite(0, int(5)).unwrap_err().to_string(), message);
        match opened.map(0, INT, Access::Read) {
            Ok(mapping) => assert_eq!(mapping.load(0, IntType::I32).unwrap().value(), 4),
            // Before Linux 6.7.
            Err(error) => assert!(error.is_not_mappable(), "{error}"),
        }
        assert_eq!(opened.pread(0, IntType::I32).unwrap().value(), 4);
    }
}

#[test]
fn pipes_and_sockets_are_rejected() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let suffix = "; only regular files and devices contain integers";
    let rejected = |path| {
        refusal(path, Access::Read)
            .strip_suffix(suffix)
            .unwrap()
            .to_owned()
    };
    assert_eq!(rejected(path_of(&reader)), "it is a pipe or FIFO");
    assert_eq!(rejected(path_of(&socket)), "it is a socket");
}

#[test]
fn an_anonymous_inode_without_memory_is_rejected() {
    let inotify = nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::IN_CLOEXEC);
    let inotify = inotify.unwrap();
    let opened = open(path_of(&inotify), Access::Read).unwrap();
    assert_eq!(
        (opened.kind(), opened.size().unwrap()),
        (FileKind::Device, None)
    );
    let error = opened.map(0, INT, Access::Read).unwrap_err();
    assert!(matches!(error, FileError::WithoutMemory { .. }), "{error}");
    let error = opened.pread(0, IntType::U8).unwrap_err();
    assert!(matches!(error, FileError::WithoutMemory { .. }), "{error}");
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        inotify.as_fd().as_raw_fd()
    );
    // The kernel checks the mode first: such an inode belongs to root.
    let message = if is_root() {
        "it is an anonymous inode, which only the descriptor leads to; only regular files and devices contain integers"
    } else {
        "permission denied"
    };
    assert_eq!(refusal(path, Access::Read), message);
}

#[test]
fn descriptors_of_other_processes_are_files() {
    // A high number: no other test gets it while this one expects it to be closed.
    let file = memfd(MFdFlags::empty());
    let duplicate = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(700)).unwrap();
    drop(file);
    // SAFETY: the descriptor is new, and nobody else has it.
    let file = unsafe { File::from_raw_fd(duplicate) };
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    store(&open(&path, Access::ReadWrite).unwrap(), 8, 3).unwrap();
    let source = source(&path);
    let opened = source.open(Access::Read).unwrap();
    assert!(load(&opened, 8) == 3 && source.leads_to(&opened));
    drop(file);
    assert!(!source.leads_to(&opened));
    assert!(source.open(Access::Read).unwrap_err().is_missing());
}

#[test]
fn offsets_on_huge_pages_are_those_of_the_bytes() {
    let Ok(file) = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_HUGETLB) else {
        return skipped("no huge pages");
    };
    let file = File::from(file);
    let size = file.metadata().unwrap().blksize();
    file.set_len(2 * size).unwrap();
    let opened = open(path_of(&file), Access::ReadWrite).unwrap();
    let start = size + 4096 + 12;
    match store(&opened, start, 77) {
        Ok(()) => {
            assert_eq!(load(&opened, start), 77);
            assert_eq!(opened.pread(start, IntType::I32).unwrap().value(), 77);
        }
        Err(error) => skipped(&format!("no huge pages: {error}")),
    }
}
