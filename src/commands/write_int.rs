//! `write-int`: store an integer where a C program finds an `int`.

use super::{map_integer, too_small};
use crate::cli::WriteIntArgs;
use crate::sys::error::{Error, Result};
use crate::sys::name::ShmName;
use crate::sys::object::{Access, Object};
use crate::sys::signal;

/// The mode of an object that is made here.
const MODE: u32 = 0o600;

/// Stores VALUE, in an object that is made or grown first where it has to be.
///
/// # Errors
///
/// A VALUE out of its type's range, an object that is too small, no permission, a full `/dev/shm`.
pub fn run(args: &WriteIntArgs) -> anyhow::Result<()> {
    let place = &args.place;
    let int = args.value.as_int(place.int_type)?;
    signal::ignore_file_size_limit()?;
    let object = open_or_create(&args.name, place.end())?;
    match object.metadata()?.len() {
        0 => object.grow(place.end())?,
        size if size < place.end() => return Err(too_small(&args.name, place, size)),
        // A store into a hole takes memory, and where there is none it is a bus error.
        _ => object.reserve(place.offset, place.width())?,
    }
    map_integer(&object, place, Access::ReadWrite)?.store(0, int);
    Ok(object.set_modified()?)
}

/// Opens the object, or makes it if there is none. Opening comes first: in a sticky directory the kernel
/// refuses O_CREAT on another user's object even to root (`fs.protected_regular`, `proc_sys_fs(5)`).
/// Each turn of the loop means that somebody else made or removed it meanwhile.
fn open_or_create(name: &ShmName, size: u64) -> Result<Object> {
    loop {
        match Object::open(name, Access::ReadWrite) {
            Err(Error::NotFound(_)) => {}
            result => return result,
        }
        match Object::create(name, size, MODE) {
            Err(Error::Exists(_)) => {}
            result => return result,
        }
    }
}
