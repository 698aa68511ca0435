//! POSIX shared memory, memory mappings, and integers in mapped memory, on Linux. The program `shmtool` is built on
//! this library.
//!
//! [`sys`] is a thin layer over system calls, with one module per kernel facility. Other Rust programs can use it too.
//! It is safe even if other processes change, truncate or remove the memory at any moment: integers are loaded and
//! stored atomically, no reference into a mapping is ever handed out, and errors contain the name of the object.
//!
//! | | |
//! | --- | --- |
//! | [`ShmName`](sys::shm::name::ShmName) | a valid name, such as `/counter` |
//! | [`Object`](sys::shm::object::Object) | an open object: its size, its memory, its contents |
//! | [`Draft`](sys::shm::draft::Draft) | a new object, invisible to other processes until it is complete |
//! | [`IntFile`](sys::file::int_file::IntFile) | an open file or device that contains integers |
//! | [`Mapping`](sys::memory::mapping::Mapping) | a memory mapping: private or shared, of a file or anonymous |
//! | [`Int`](sys::memory::int::Int) | an integer whose type is chosen at run time |
//! | [`Word`](sys::memory::futex::Word) | a futex word: sleeps until an integer changes |
//! | [`IntFile`](sys::file::int_file::IntFile) | a file or device that holds integers |
//! | [`Leases`](sys::shm::lease::Leases) | asks the kernel whether an object is in use |
//!
//! # Sharing an integer between two programs
//!
//! ```
//! use shmtool::sys::shm::directory::Directory;
//! use shmtool::sys::shm::draft::Draft;
//! use shmtool::sys::memory::int::{Int, IntType};
//! use shmtool::sys::memory::mapping::Mapping;
//! use shmtool::sys::shm::name::ShmName;
//! use shmtool::sys::memory::access::Access;
//! use shmtool::sys::shm::object::Object;
//! use std::num::NonZero;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("/shmtool-doc-{}", std::process::id());
//! let directory = Directory::own();
//! let name = ShmName::new(name.as_ref())?;
//! let length = NonZero::new(4).unwrap();
//!
//! // One program creates the object: 4 bytes, allocated, accessible only to its owner. Other programs see nothing
//! // until `publish` returns.
//! let mut draft = Draft::new(&directory, &name)?;
//! draft.object().grow(4)?;
//! draft.publish(0o600)?;
//! let ours = Mapping::shared_file(draft.object(), 0, length, Access::ReadWrite)?;
//! ours.store(0, Int::new(IntType::I32, 42).unwrap())?;
//!
//! // Another program knows only the name. It reads 42.
//! let object = Object::open(&directory, &name, Access::Read)?;
//! let theirs = Mapping::shared_file(&object, 0, length, Access::Read)?;
//! assert_eq!(theirs.load(0, IntType::I32)?.value(), 42);
//!
//! // The name is removed immediately. Existing mappings stay valid.
//! Object::unlink(&directory, &name)?;
//! ours.store(0, Int::new(IntType::I32, 7).unwrap())?;
//! assert_eq!(theirs.load(0, IntType::I32)?.value(), 7);
//! # Ok(())
//! # }
//! ```
//!
//! # Checking whether an object is in use
//!
//! ```
//! use shmtool::sys::shm::lease::{Leases, Refusal};
//! use shmtool::sys::shm::directory::Directory;
//! # use shmtool::sys::shm::draft::Draft;
//! # use shmtool::sys::shm::name::ShmName;
//! # use shmtool::sys::memory::access::Access;
//! use shmtool::sys::shm::object::Object;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = Directory::own();
//! # let name = ShmName::new(format!("/shmtool-doc-lease-{}", std::process::id()).as_ref())?;
//! # let mut draft = Draft::new(&directory, &name)?;
//! # draft.publish(0o600)?;
//! # drop(draft);
//! let leases = Leases::new(&directory)?;
//! let user = Object::open(&directory, &name, Access::Read)?;
//! assert!(!matches!(leases.acquire(&name), Ok(_) | Err(Refusal::Changed)));
//! drop(user);
//! // While we hold the lease, nobody else can use the object, so it is safe to remove.
//! if let Ok(lease) = leases.acquire(&name) {
//!     lease.unlink()?;
//! }
//! # let _ = Object::unlink(&directory, &name);
//! # Ok(())
//! # }
//! ```
//!
//! # Truncated files
//!
//! If another process truncates a mapped file, a load or store through the [`Mapping`](sys::memory::mapping::Mapping)
//! fails with [`BusError`](sys::memory::bus_error::BusError). The first load or store installs a SIGBUS handler for
//! this; it passes all other bus errors on to the previous handler.
//!
//! There is no fault if the new end of the file is in the same page as the integer. Call
//! [`Object::check_not_truncated`](sys::shm::object::Object::check_not_truncated) or
//! [`IntFile::check_not_truncated`](sys::file::int_file::IntFile::check_not_truncated) afterwards to detect that case.

#![deny(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("shmtool runs on Linux only: it relies on /dev/shm and on Linux system calls");

pub mod sys;

// These modules are the program. They are public only for `main` and for the tests that generate the manual pages and
// the shell completions.
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod exit;
#[doc(hidden)]
pub mod objects;

mod notation;
