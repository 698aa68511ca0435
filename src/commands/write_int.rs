//! `write-int`: store an integer where a C program finds an `int`.

use super::{map_integer, too_small};
use crate::cli::{Place, WriteIntArgs};
use crate::sys::error::Error;
use crate::sys::int::Int;
use crate::sys::object::{Access, Object};

/// The mode of an object that is made here.
const MODE: u32 = 0o600;

/// Stores VALUE, in an object that is made or grown first where it has to be.
///
/// # Errors
///
/// A VALUE out of its type's range, an object that is too small, no permission, a full `/dev/shm`.
pub fn run(args: &WriteIntArgs) -> anyhow::Result<()> {
    let (name, place) = (&args.name, &args.place);
    let int = args.value.as_int(place.int_type)?;
    // Opening comes first: in a sticky directory the kernel refuses O_CREAT on another user's object even
    // to root (`fs.protected_regular`, proc_sys_fs(5)). Each turn means that somebody else made or
    // removed the object meanwhile.
    loop {
        match Object::open(name, Access::ReadWrite) {
            Ok(object) => return store(&object, place, int),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let fill = |object: &Object| {
            map_integer(object, place, Access::ReadWrite)?.store(0, int);
            Ok(())
        };
        match Object::create(name, place.end(), MODE, fill) {
            Err(Error::Exists(_)) => {}
            result => return Ok(result?),
        }
    }
}

/// Stores into an object that others may use. What can fail comes before what changes it.
fn store(object: &Object, place: &Place, int: Int) -> anyhow::Result<()> {
    let size = object.metadata()?.len();
    if 0 < size && size < place.end() {
        return Err(too_small(object.name(), place, size));
    }
    let mapping = map_integer(object, place, Access::ReadWrite)?;
    object.set_modified()?;
    match size {
        0 => object.grow(place.end())?,
        // A store into a hole takes memory, and where there is none it is a bus error.
        _ => object.reserve(place.offset, place.width())?,
    }
    mapping.store(0, int);
    Ok(object.still_reaches(place.end())?)
}
