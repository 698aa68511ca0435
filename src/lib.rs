//! POSIX shared memory, memory mappings and the integers in them, on Linux: what the program `shmtool` stands on.
//!
//! [`sys`] is a thin floor of system calls, one module a kernel facility, for programs that want the same from Rust.
//! It is safe to use on memory that other processes change, truncate or remove at any instruction: integers are
//! loaded and stored atomically, nothing is ever borrowed from a mapping, and what fails says so with the object's
//! name in it.
//!
//! | | |
//! | --- | --- |
//! | [`ShmName`](sys::shm::name::ShmName) | a name that is valid, `/counter` |
//! | [`Object`](sys::shm::object::Object) | an object that is open: its size, its memory, its contents |
//! | [`Draft`](sys::shm::draft::Draft) | an object in the making, which others see when it is whole |
//! | [`Mapping`](sys::memory::mapping::Mapping) | mapped memory, of one of the four kinds |
//! | [`Int`](sys::memory::int::Int) | an integer in it, of a type that is known when the program runs |
//! | [`Word`](sys::memory::futex::Word) | where to sleep until an integer changes |
//! | [`Leases`](sys::shm::lease::Leases) | the kernel's answer to whether anybody uses an object |
//!
//! # Two programs, one integer
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
//! // One makes it: 4 bytes, their memory set aside, for its owner alone. Nobody sees less.
//! let mut draft = Draft::new(&directory, &name)?;
//! draft.object().grow(4)?;
//! draft.publish(0o600)?;
//! let ours = Mapping::shared_file(draft.object(), 0, length, Access::ReadWrite)?;
//! ours.store(0, Int::new(IntType::I32, 42).unwrap())?;
//!
//! // Another, which knows no more than the name, finds 42.
//! let object = Object::open(&directory, &name, Access::Read)?;
//! let theirs = Mapping::shared_file(&object, 0, length, Access::Read)?;
//! assert_eq!(theirs.load(0, IntType::I32)?.value(), 42);
//!
//! // The name goes at once; who has the object mapped keeps it.
//! Object::unlink(&directory, &name)?;
//! ours.store(0, Int::new(IntType::I32, 7).unwrap())?;
//! assert_eq!(theirs.load(0, IntType::I32)?.value(), 7);
//! # Ok(())
//! # }
//! ```
//!
//! # Is anybody using it?
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
//! assert!(!matches!(leases.ask(&name), Ok(_) | Err(Refusal::Changed)));
//! drop(user);
//! // Removed while it is certain that nobody does.
//! if let Ok(lease) = leases.ask(&name) {
//!     lease.unlink()?;
//! }
//! # let _ = Object::unlink(&directory, &name);
//! # Ok(())
//! # }
//! ```
//!
//! A load or store through a [`Mapping`](sys::memory::mapping::Mapping) of a file that somebody truncated fails
//! with [`Lost`](sys::memory::bus_error::Lost). The first one installs a handler for SIGBUS, which leaves every
//! other bus error to the handler that was there before. If the file was truncated within the page of the integer,
//! there is no fault, and [`Object::still_reaches`](sys::shm::object::Object::still_reaches) tells afterwards.

#![deny(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("shmtool runs on Linux only: it relies on /dev/shm and on Linux system calls");

pub mod sys;

// The program: for its `main`, and for the tests that generate the manual and the completions.
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod exit;
#[doc(hidden)]
pub mod objects;

mod notation;
