//! `read-int`: prints integers, waits for one, or follows one.

use super::holder::Holder;
use super::origin::Origin;
use super::wait::{Verdict, Waiter, timed_out};
use super::{STDOUT, print};
use crate::cli::{Count, Place, ReadIntArgs};
use crate::exit::{Failure, Status, print_line};
use crate::notation::value::Printed;
use crate::sys::io::stream;
use crate::sys::memory::access::Access;
use crate::sys::memory::int::Int;
use anyhow::Context;
use std::fmt::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// The number of bytes that are read together. They are in one page, so either all of them are in a hole or none.
const CHUNK: u64 = 4096;

/// The pause after each line of --follow. It limits the number of lines to about a thousand per second.
const PAUSE: Duration = Duration::from_millis(1);

/// Prints the integers.
///
/// # Errors
///
/// Fails for a usage error, if the object does not exist, may not be read or is too small, if waiting timed out, or if
/// standard output fails.
pub fn run(args: &ReadIntArgs) -> anyhow::Result<()> {
    let test = args.test()?;
    let origin = Origin::new(args.operand()?)?;
    if args.follow {
        return follow(args, &origin);
    }
    let place = &args.place;
    let (holder, awaited) = match test {
        Some(test) => {
            let awaited = test.to_string();
            let timed_out = |state| timed_out(&origin.label(), &awaited, state);
            let mut waiter = Waiter::new(&origin, args.timeout);
            let int = waiter.watch_integer(place, &timed_out, &mut |int| {
                Ok(match test.holds(int) {
                    true => Verdict::Finish(int),
                    false => Verdict::Continue,
                })
            })?;
            if matches!(args.count, None | Some(Count::Some(1))) {
                // The object is not read again. It may have been removed since, but the condition was true.
                let mut text = String::new();
                write_line(&mut text, int, args.hex)?;
                return print(&text);
            }
            (origin.open(Access::Read)?, Some(int))
        }
        None => (origin.open(Access::Read)?, None),
    };
    let label = origin.label();
    if holder.is_device() {
        check_device(args)?;
    }
    let size = holder.size()?;
    let rest = size.saturating_sub(place.offset);
    let count = match args.count.unwrap_or(Count::Some(1)) {
        Count::Some(count) if place.end(count) <= size => count,
        Count::Some(count) => return Err(origin.too_small(place, count, size)),
        Count::All => rest / place.width(),
    };
    print_integers(args, &holder, count, awaited)?;
    let remainder = rest % place.width();
    if args.count == Some(Count::All) && remainder > 0 {
        let (type_name, width) = (place.int_type.name(), place.width());
        print_line(&format!(
            "{label}: bytes left over at the end: {remainder} ({type_name} takes {width})"
        ));
    }
    Ok(())
}

/// Checks that the options make sense for a device.
fn check_device(args: &ReadIntArgs) -> Result<(), Failure> {
    match () {
        () if args.count == Some(Count::All) => Err(Failure::usage(
            "--count all: the size of a device says nothing about its registers",
        )),
        () => args.place.require_alignment("a device"),
    }
}

/// Prints the integer now, and again after every change that is seen.
fn follow(args: &ReadIntArgs, origin: &Origin) -> anyhow::Result<()> {
    let mut lines_left = match args.count {
        Some(Count::Some(0)) => return Ok(()),
        Some(Count::Some(count)) => Some(count),
        _ => None,
    };
    let output = stream::stdout().context(STDOUT)?;
    let mut last = None;
    let mut text = String::new();
    let deadline = args
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut waiter = Waiter::new(origin, args.timeout).with_output(output);
    let timed_out = |_| Failure::silent(Status::TimedOut);
    waiter.watch_integer(&args.place, &timed_out, &mut |int: Int| {
        if last == Some(int) {
            return Ok(Verdict::Continue);
        }
        // The reader may be slow, or not read at all.
        if !output.wait_until_writable(deadline).context(STDOUT)? {
            return Err(Failure::silent(Status::TimedOut).into());
        }
        text.clear();
        write_line(&mut text, int, args.hex)?;
        print(&text)?;
        last = Some(int);
        if let Some(left) = &mut lines_left {
            *left -= 1;
            if *left == 0 {
                return Ok(Verdict::Finish(()));
            }
        }
        thread::sleep(PAUSE);
        Ok(Verdict::Continue)
    })
}

/// Calls `each` for `count` integers that are in one page. Aligned integers are loaded atomically.
fn for_each_integer(
    holder: &Holder,
    place: &Place,
    count: u64,
    mut each: impl FnMut(Int) -> fmt::Result,
) -> anyhow::Result<()> {
    let (int_type, width) = (place.int_type, place.width());
    if !place.is_aligned() {
        // An unaligned load is not atomic anyway, and part of the integer may be in a hole.
        for index in 0..count {
            each(holder.read_int(place, place.offset + index * width)?)?;
        }
    } else if holder.is_hole(place.offset, count * width) {
        // A load from a hole would allocate a page, and fail if no memory is left.
        for _ in 0..count {
            each(Int::zero(int_type))?;
        }
    } else {
        let view = holder.view(place, count, Access::Read)?;
        for index in 0..count {
            each(view.load(holder, place, index * width)?)?;
        }
    }
    Ok(())
}

/// Prints `count` integers. If `awaited` is given, it is printed as the first one, which may have changed since.
fn print_integers(
    args: &ReadIntArgs,
    holder: &Holder,
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
        for_each_integer(holder, &place, count, line)?;
        place.offset += count * place.width();
        holder.check_not_truncated(place.offset)?;
        print(&text)?;
        text.clear();
    }
    Ok(())
}

fn write_line(text: &mut String, int: Int, hex: bool) -> fmt::Result {
    writeln!(text, "{}", Printed { int, hex })
}
