//! `read-int`: print an integer that some program stored.

use super::{map_integer, print, too_small};
use crate::cli::ReadIntArgs;
use crate::sys::object::{Access, Object};

/// Prints the integer.
///
/// # Errors
///
/// No such object, no permission to read it, one that is too small, standard output that fails.
pub fn run(args: &ReadIntArgs) -> anyhow::Result<()> {
    let place = &args.place;
    let object = Object::open(&args.name, Access::Read)?;
    let size = object.metadata()?.len();
    if size < place.end() {
        return Err(too_small(&args.name, place, size));
    }
    // A load is atomic, but from a hole it would allocate a page, and fail where there is no memory left.
    // What is not aligned is not atomic anyway, and may be a hole in part.
    let aligned = place.offset.is_multiple_of(place.width());
    let int = if aligned && !object.is_hole(place.offset, place.width()) {
        map_integer(&object, place, Access::Read)?.load(0, place.int_type)
    } else {
        object.read_int(place.offset, place.int_type)?
    };
    object.still_reaches(place.end())?;
    print(&format!("{int}\n"))
}
