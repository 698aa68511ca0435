//! `read-int`: print an integer that some program stored.

use super::{map_integer, print, too_small};
use crate::cli::ReadIntArgs;
use crate::sys::int::Int;
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
    // A load from a hole would allocate its page in the object, and fail where there is no memory left.
    let int = if object.is_hole(place.offset, place.width()) {
        Int::zero(place.int_type)
    } else {
        map_integer(&object, place, Access::Read)?.load(0, place.int_type)
    };
    print(&format!("{int}\n"))
}
