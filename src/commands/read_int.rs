//! `read-int`: prints integers, or waits for one.

use super::{map_integers, offset_in_mapping, place, print, too_small};
use crate::cli::{Count, Place, ReadIntArgs};
use crate::exit::print_line;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::int::Int;
use crate::sys::shm::object::Object;
use std::fmt::{self, Write};

mod wait;

/// The number of bytes that are read together. They are in one page, so either all of them are in a hole or none.
const CHUNK: u64 = 4096;

/// Prints the integers.
///
/// # Errors
///
/// Fails for a usage error, if the object does not exist, may not be read or is too small, if waiting timed out, or if
/// standard output fails.
pub fn run(args: &ReadIntArgs) -> anyhow::Result<()> {
    let test = args.test()?;
    let directory = &place::enter(args.target.target.as_ref())?;
    let (name, place) = (&args.name, &args.place);
    let (object, awaited) = match test {
        Some(test) => {
            let (object, int) = wait::until(directory, name, place, &test, args.timeout)?;
            if args.count == Count::Some(1) {
                // The object is not read again. It may have been removed since, but the condition was true.
                let mut text = String::new();
                write_line(&mut text, int, args.hex)?;
                return print(&text);
            }
            (object, Some(int))
        }
        None => (Object::open(directory, name, Access::Read)?, None),
    };
    let size = object.status()?.size;
    let rest = size.saturating_sub(place.offset);
    let count = match args.count {
        Count::Some(count) if place.end(count) <= size => count,
        Count::Some(count) => return Err(too_small(name, place, count, size)),
        Count::All => rest / place.width(),
    };
    print_integers(args, &object, count, awaited)?;
    let remainder = rest % place.width();
    if args.count == Count::All && remainder > 0 {
        let (type_name, width) = (place.int_type.name(), place.width());
        print_line(&format!(
            "{name}: bytes left over at the end: {remainder} ({type_name} takes {width})"
        ));
    }
    Ok(())
}

/// Calls `each` for `count` integers that are in one page. Aligned integers are loaded atomically.
fn for_each_integer(
    object: &Object,
    place: &Place,
    count: u64,
    mut each: impl FnMut(Int) -> fmt::Result,
) -> anyhow::Result<()> {
    let (int_type, width) = (place.int_type, place.width());
    if !place.is_aligned() {
        // An unaligned load is not atomic anyway, and part of the integer may be in a hole.
        for index in 0..count {
            each(object.read_int(place.offset + index * width, int_type)?)?;
        }
    } else if object.is_hole(place.offset, count * width) {
        // A load from a hole would allocate a page, and fail if no memory is left.
        for _ in 0..count {
            each(Int::zero(int_type))?;
        }
    } else {
        let mapping = map_integers(object, place, count, Access::Read)?;
        for index in 0..count as usize {
            let int = mapping.load(
                offset_in_mapping(place) + index * int_type.width(),
                int_type,
            );
            each(int.map_err(|BusError| object.bus_error(place.end(count)))?)?;
        }
    }
    Ok(())
}

/// Prints `count` integers. If `awaited` is given, it is printed as the first one, which may have changed since.
fn print_integers(
    args: &ReadIntArgs,
    object: &Object,
    count: u64,
    mut awaited: Option<Int>,
) -> anyhow::Result<()> {
    let end = args.place.end(count);
    let mut place = args.place;
    let mut text = String::new();
    while place.offset < end {
        let chunk_end = end.min((place.offset / CHUNK + 1) * CHUNK);
        // Rounded up: an unaligned integer that starts in this chunk may end in the next one.
        let count = (chunk_end - place.offset).div_ceil(place.width());
        let line = |int: Int| {
            let int = awaited.take().unwrap_or(int);
            write_line(&mut text, int, args.hex)
        };
        for_each_integer(object, &place, count, line)?;
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
