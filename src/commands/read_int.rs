//! `read-int`: print integers that some program stored, or wait for one.

use super::{first, map_integers, print, too_small};
use crate::cli::{Count, Place, ReadIntArgs};
use crate::exit::print_line;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::int::Int;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::object::Object;
use std::fmt::{self, Write};

mod wait;

/// How many bytes of an object are looked at together. They lie in one page: all in a hole, or none.
const STEP: u64 = 4096;

/// Prints the integers.
///
/// # Errors
///
/// Wrong usage, no such object, no permission to read it, one that is too small, a wait that timed out,
/// standard output that fails.
pub fn run(args: &ReadIntArgs) -> anyhow::Result<()> {
    let (name, place) = (&args.name, &args.place);
    let directory = &Directory::own();
    let (object, awaited) = match args.test()? {
        Some(test) => {
            let (object, int) = wait::until(directory, name, place, &test, args.timeout)?;
            if args.count == Count::Some(1) {
                // Nothing is looked at again: the object may be gone by now, but the wait is over.
                let mut text = String::new();
                write_line(&mut text, int, args.hex)?;
                return print(&text);
            }
            (object, Some(int))
        }
        None => (Object::open(directory, name, Access::Read)?, None),
    };
    let size = object.metadata()?.len();
    let rest = size.saturating_sub(place.offset);
    let count = match args.count {
        Count::Some(count) if place.end(count) <= size => count,
        Count::Some(count) => return Err(too_small(name, place, count, size)),
        Count::All => rest / place.width(),
    };
    print_all(args, &object, count, awaited)?;
    let left_over = rest % place.width();
    if args.count == Count::All && left_over > 0 {
        let (type_name, width) = (place.int_type.name(), place.width());
        print_line(&format!(
            "{name}: bytes left over at the end: {left_over} ({type_name} takes {width})"
        ));
    }
    Ok(())
}

/// Hands on `count` integers of one page, each as it was stored where it is aligned.
fn load(
    object: &Object,
    place: &Place,
    count: u64,
    mut each: impl FnMut(Int) -> fmt::Result,
) -> anyhow::Result<()> {
    let (int_type, width) = (place.int_type, place.width());
    if !place.is_aligned() {
        // Not atomic anyway, and it may be a hole in part.
        for index in 0..count {
            each(object.read_int(place.offset + index * width, int_type)?)?;
        }
    } else if object.is_hole(place.offset, count * width) {
        // A load would allocate a page, and fail where there is no memory left.
        for _ in 0..count {
            each(Int::zero(int_type))?;
        }
    } else {
        let mapping = map_integers(object, place, count, Access::Read)?;
        for index in 0..count as usize {
            let int = mapping.load(first(place) + index * int_type.width(), int_type);
            each(int.map_err(|BusError| object.bus_error(place.end(count)))?)?;
        }
    }
    Ok(())
}

/// Prints `count` integers. The first is `awaited`, if there was a wait for it: it may have changed since.
fn print_all(
    args: &ReadIntArgs,
    object: &Object,
    count: u64,
    mut awaited: Option<Int>,
) -> anyhow::Result<()> {
    let end = args.place.end(count);
    let mut place = args.place;
    let mut text = String::new();
    while place.offset < end {
        let stop = end.min((place.offset / STEP + 1) * STEP);
        // At least the one that begins there, which may reach beyond the page if it is not aligned.
        let count = (stop - place.offset).div_ceil(place.width());
        let line = |int: Int| {
            let int = awaited.take().unwrap_or(int);
            write_line(&mut text, int, args.hex)
        };
        load(object, &place, count, line)?;
        place.offset += count * place.width();
        object.check_not_truncated(place.offset)?;
        print(&text)?;
        text.clear();
    }
    Ok(())
}

fn write_line(text: &mut String, int: Int, hex: bool) -> fmt::Result {
    match hex {
        true => writeln!(text, "{int:#x}"),
        false => writeln!(text, "{int}"),
    }
}
