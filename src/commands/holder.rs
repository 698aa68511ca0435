//! What holds integers: a shared memory object, or a file. The verbs do not care which.

use super::offset_in_mapping;
use crate::cli::Place;
use crate::exit::with_hint;
use crate::sys::error::Error;
use crate::sys::file::error::FileError;
use crate::sys::file::int_file::{FileKind, IntFile};
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::futex;
use crate::sys::memory::int::Int;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::object::Object;
use anyhow::anyhow;
use nix::errno::Errno;
use std::cell::Cell;
use std::num::NonZero;

/// What was opened.
pub enum Holder {
    Object(Object),
    File(IntFile),
}

/// How the integers of a [`Holder`] are accessed.
pub enum View {
    /// Through a mapping, atomically.
    Mapped(Mapping),
    /// Through a mapping of the memory of a device, with plain loads and stores.
    Device(Mapping),
    /// With `pread(2)` and `pwrite(2)`, because the file cannot be mapped shared. The error says why.
    Unmapped(FileError),
}

/// Returns whether an error means that the object or file became too small after it was opened.
pub fn is_truncated(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Truncated(_)))
        || error.downcast_ref().is_some_and(FileError::is_truncated)
}

/// Counts accesses to memory that failed although the size is right. Perhaps the object or file was truncated, and has
/// grown again since. Then another attempt succeeds.
#[derive(Default)]
pub struct LostAccesses(Cell<u32>);

impl LostAccesses {
    /// Returns whether what failed with this error should be tried again. That is limited, so that a lasting reason is
    /// reported.
    pub fn may_try_again(&self, error: &anyhow::Error) -> bool {
        let is_lost = matches!(error.downcast_ref(), Some(Error::BusError(_)))
            || error.downcast_ref().is_some_and(FileError::is_lost);
        self.0.set(self.0.get() + u32::from(is_lost));
        is_lost && self.0.get() < 20
    }

    /// Starts to count again, after an access that succeeded.
    pub fn forget(&self) {
        self.0.set(0);
    }
}

/// Returns whether an error means that another process holds a lease. It is released some time.
pub fn is_leased(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Leased(_)))
        || matches!(error.downcast_ref(), Some(FileError::Leased(_)))
}

impl Holder {
    /// The size in bytes. If nobody knows it, as for the memory of some devices, it is the largest number.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn size(&self) -> anyhow::Result<u64> {
        match self {
            Holder::Object(object) => Ok(object.status()?.size),
            Holder::File(file) => Ok(file.size()?.unwrap_or(u64::MAX)),
        }
    }

    /// Returns whether this is a device, whose memory is accessed exactly as often as asked for.
    pub fn is_device(&self) -> bool {
        matches!(self, Holder::File(file) if file.kind() == FileKind::Device)
    }

    /// Returns whether it must be opened again for each look: on overlayfs, a file that was opened before its first change
    /// is not the file that changes.
    pub fn must_be_reopened(&self) -> bool {
        matches!(self, Holder::File(file) if file.is_on_overlay())
    }

    /// Returns whether the `length` bytes from `start` are all in a hole, that is, zeros.
    pub fn is_hole(&self, start: u64, length: u64) -> bool {
        match self {
            Holder::Object(object) => object.is_hole(start, length),
            Holder::File(file) => file.is_hole(start, length),
        }
    }

    /// Returns whether memory is allocated for all of it, so that touching a page allocates nothing.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn is_fully_allocated(&self) -> anyhow::Result<bool> {
        match self {
            Holder::Object(object) => Ok(object.is_fully_allocated()?),
            Holder::File(file) => Ok(file.is_fully_allocated()?),
        }
    }

    /// Reads the integer at the byte `start`, not atomically, without allocating memory.
    ///
    /// # Errors
    ///
    /// Fails if the end is before that of the integer; otherwise those of `pread(2)`.
    pub fn read_int(&self, place: &Place, start: u64) -> anyhow::Result<Int> {
        let int = match self {
            Holder::Object(object) => object.read_int(start, place.int_type)?,
            Holder::File(file) => file.pread(start, place.int_type)?,
        };
        Ok(place.convert(int))
    }

    /// Maps the words that contain `count` integers at a [`Place`].
    ///
    /// The mapping starts and ends on a word boundary, because `futex(2)` works on whole words. The first integer is at
    /// [`offset_in_mapping`].
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`.
    pub fn view(&self, place: &Place, count: u64, access: Access) -> anyhow::Result<View> {
        let start = start_of_mapping(place);
        let length = place.end(count) - start;
        match self {
            Holder::Object(object) => Ok(View::Mapped(map_object(object, start, length, access)?)),
            Holder::File(file) => {
                let length = words(length).ok_or_else(|| anyhow!("{}: too long", file.label()))?;
                match file.map(start, length, access) {
                    Ok(mapping) if self.is_device() => Ok(View::Device(mapping)),
                    Ok(mapping) => Ok(View::Mapped(mapping)),
                    Err(error) if error.is_not_mappable() => Ok(View::Unmapped(error)),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Checks that there are still at least `end` bytes, after an access to a mapping.
    ///
    /// # Errors
    ///
    /// Fails if it was truncated.
    pub fn check_not_truncated(&self, end: u64) -> anyhow::Result<()> {
        match self {
            Holder::Object(object) => Ok(object.check_not_truncated(end)?),
            Holder::File(file) => Ok(file.check_not_truncated(end)?),
        }
    }

    /// Returns the error for a bus error during an access to the first `end` bytes.
    pub fn bus_error(&self, end: u64) -> anyhow::Error {
        match self {
            Holder::Object(object) => object.bus_error(end).into(),
            Holder::File(file) => file.bus_error(end).into(),
        }
    }

    /// Prepares for a store of `count` integers into something of this size, which cannot fail then. An empty object
    /// grows to fit.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory or disk space.
    pub fn prepare_store(
        &self,
        mapping: &Mapping,
        place: &Place,
        count: u64,
        size: u64,
    ) -> anyhow::Result<()> {
        let end = place.end(count);
        match self {
            Holder::Object(object) if size == 0 => object.grow(end)?,
            // A store into a hole allocates memory, and is a bus error if none is left.
            Holder::Object(object) => drop(object.reserve(place.offset, end - place.offset)?),
            Holder::File(file) => {
                let start = start_of_mapping(place);
                file.prepare_store(mapping, start, end - start)?;
            }
        }
        Ok(())
    }

    /// Stores an integer with `pwrite(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`.
    pub fn write_int(&self, place: &Place, start: u64, int: Int) -> anyhow::Result<()> {
        match self {
            Holder::Object(object) => Err(Error::BusError(object.name().clone()).into()),
            Holder::File(file) => Ok(file.pwrite(start, place.convert(int))?),
        }
    }

    /// Sets the modification time to now.
    ///
    /// # Errors
    ///
    /// Those of `futimens(3)`.
    pub fn set_modified(&self) -> anyhow::Result<()> {
        match self {
            Holder::Object(object) => Ok(object.set_modified()?),
            Holder::File(file) => Ok(file.set_modified()?),
        }
    }

    /// Writes the changes to the disk, and waits for it.
    ///
    /// # Errors
    ///
    /// Those of `msync(2)` and `fsync(2)`.
    pub fn sync(&self, mapping: Option<&Mapping>) -> anyhow::Result<()> {
        match (self, mapping) {
            (Holder::Object(_), _) => Ok(()),
            (Holder::File(file), Some(mapping)) => Ok(file.sync(mapping)?),
            (Holder::File(file), None) => Ok(file.sync_written()?),
        }
    }
}

impl View {
    /// Loads the integer at an offset from the first one of the place, atomically if that is possible. `holder` is what
    /// the view belongs to.
    ///
    /// # Errors
    ///
    /// Fails if it was truncated; otherwise those of `pread(2)`.
    pub fn load(&self, holder: &Holder, place: &Place, offset: u64) -> anyhow::Result<Int> {
        let at = offset_in_mapping(place) + offset as usize;
        let lost = |BusError| holder.bus_error(place.offset + offset + place.width());
        let int = match self {
            View::Mapped(mapping) => mapping.load(at, place.int_type).map_err(lost)?,
            View::Device(mapping) => mapping.load_volatile(at, place.int_type).map_err(lost)?,
            View::Unmapped(_) => return holder.read_int(place, place.offset + offset),
        };
        Ok(place.convert(int))
    }

    /// Returns the error for a change that cannot be atomic in this view.
    pub fn not_atomic(&self) -> anyhow::Error {
        match self {
            View::Unmapped(error) => with_hint(
                &anyhow!("{error}"),
                "only a plain store works there, because the change would not be atomic",
            ),
            View::Mapped(_) | View::Device(_) => anyhow!("the change would not be atomic"),
        }
    }
}

fn start_of_mapping(place: &Place) -> u64 {
    place.offset - offset_in_mapping(place) as u64
}

/// Rounds a length up to whole words.
fn words(length: u64) -> Option<NonZero<usize>> {
    let length = length.checked_next_multiple_of(futex::WORD_SIZE as u64)?;
    usize::try_from(length).ok().and_then(NonZero::new)
}

/// Maps whole words of an object.
///
/// # Errors
///
/// Those of `mmap(2)`.
pub fn map_object(
    object: &Object,
    start: u64,
    length: u64,
    access: Access,
) -> Result<Mapping, Error> {
    words(length)
        .ok_or(Errno::ENOMEM)
        .and_then(|length| Mapping::shared_file(object, start, length, access))
        .map_err(|errno| Error::Os {
            name: object.name().clone(),
            action: "map it",
            errno,
        })
}
