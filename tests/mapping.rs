//! The four kinds of memory mapping that `mmap(2)` describes, and loads and stores in them.

#[allow(dead_code)]
#[path = "../examples/mapping_kinds.rs"]
mod mapping_kinds;

use mapping_kinds::{Seen, observe_all};
use proptest::prelude::*;
use shmtool::sys::memory::access::Access;
use shmtool::sys::memory::bus_error::BusError;
use shmtool::sys::memory::int::{Int, IntType};
use shmtool::sys::memory::mapping::Mapping;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;

#[test]
fn stores_by_a_child_are_visible_as_mmap_documents() {
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
fn dropping_a_mapping_unmaps_it() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10).unwrap();
    let path = file.path().to_str().unwrap();
    let mapping = Mapping::shared_file(&file, 0, NonZero::new(10).unwrap(), Access::Read).unwrap();
    assert!(maps().contains(path));
    drop(mapping);
    assert!(!maps().contains(path));
}

#[test]
fn a_pipe_cannot_be_mapped() {
    let (reader, _writer) = std::io::pipe().unwrap();
    assert!(Mapping::shared_file(&reader, 0, NonZero::new(10).unwrap(), Access::Read).is_err());
}

#[test]
fn accesses_to_truncated_memory_return_lost() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(8192).unwrap();
    let map = || {
        let length = NonZero::new(8192).unwrap();
        Mapping::shared_file(&file, 0, length, Access::ReadWrite).unwrap()
    };
    let int = |value| Int::new(IntType::U64, value).unwrap();
    // The integer at 4092 is unaligned and crosses a page boundary.
    for offset in [0, 4096, 4092] {
        let mappings = [map(), map(), map()];
        mappings[0].store(offset, int(7)).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(mappings[0].load(offset, IntType::U64), Err(BusError));
        assert_eq!(mappings[1].store(offset, int(8)), Err(BusError));
        if offset % 8 == 0 {
            let found = mappings[2].compare_exchange(offset, int(0), int(9));
            assert_eq!(found, Err(BusError));
        }
        // The mapping stays lost even if the file grows again, because it no longer shows the file.
        file.set_len(8192).unwrap();
        assert_eq!(mappings[0].load(offset, IntType::U64), Err(BusError));
        assert_eq!(map().load(offset, IntType::U64), Ok(int(0)));
    }
}

#[test]
fn a_bus_error_outside_our_mappings_kills_the_process() {
    const CHILD: &str = "SHMTOOL_TEST_BUS_ERROR";
    if std::env::var_os(CHILD).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args([
            "a_bus_error_outside_our_mappings_kills_the_process",
            "--exact",
        ]);
        let ended = again.env(CHILD, "1").output().unwrap().status;
        assert_eq!(ended.signal(), Some(nix::libc::SIGBUS), "{ended}");
        return;
    }
    let file = tempfile::tempfile().unwrap();
    file.set_len(4).unwrap();
    let length = NonZero::new(4).unwrap();
    let mapping = Mapping::shared_file(&file, 0, length, Access::Read).unwrap();
    assert_eq!(mapping.load(0, IntType::I32).unwrap().value(), 0);
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    let (access, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
    // SAFETY: the kernel chooses the address, and the load is meant to kill this process.
    unsafe {
        let address = mmap(None, length, access, flags, &file, 0).unwrap();
        file.set_len(0).unwrap();
        address.as_ptr().cast::<u32>().read_volatile();
    }
    unreachable!("the load kills this process");
}

/// The library must not export a symbol of the C library: it would replace that symbol in every program that links
/// the library.
#[test]
fn the_library_does_not_override_pow() {
    unsafe extern "C" {
        fn pow(base: f64, exponent: f64) -> f64;
    }
    let defining_file = |address: *const std::ffi::c_void| {
        // SAFETY: an all-zero Dl_info is valid, and dladdr fills it with pointers to strings that stay valid.
        unsafe {
            let mut info: nix::libc::Dl_info = std::mem::zeroed();
            assert_ne!(nix::libc::dladdr(address, &mut info), 0);
            std::ffi::CStr::from_ptr(info.dli_fname).to_owned()
        }
    };
    // This reference makes the linker include the library.
    let library_function = Mapping::private_anonymous as fn(_) -> _ as *const std::ffi::c_void;
    assert_ne!(
        defining_file(pow as *const std::ffi::c_void),
        defining_file(library_function)
    );
}

#[test]
#[should_panic(expected = "7+4 of 10")]
fn loading_beyond_the_end_panics() {
    Mapping::private_anonymous(NonZero::new(10).unwrap())
        .unwrap()
        .load(7, IntType::I32)
        .unwrap();
}

proptest! {
    #[test]
    fn a_mapping_may_start_at_any_byte_of_the_file(offset in 0..20_000_u64, length in 8..5000_usize, bits: u64) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(offset + length as u64).unwrap();
        let int = Int::from_bits(IntType::U64, bits).unwrap();
        let mapping =
            Mapping::shared_file(&file, offset, NonZero::new(length).unwrap(), Access::ReadWrite).unwrap();
        prop_assert_eq!(mapping.len(), length);
        mapping.store(length - 8, int).unwrap();
        prop_assert_eq!(mapping.load(length - 8, IntType::U64), Ok(int));
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset + length as u64 - 8).unwrap();
        prop_assert_eq!(u64::from_ne_bytes(bytes), bits);
    }
}
