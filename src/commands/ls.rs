//! `ls`: lists shared memory objects and the processes that use them.

use super::color::Palette;
use super::in_use::{State, UnclearCount};
use super::listing::{Listing, list_all, look_at, print_skipped};
use super::place;
use super::{STDOUT, not_found, write_name};
use crate::cli::{LsArgs, SortKey};
use crate::exit::{Failure, Report, Status};
use crate::objects::columns::{Column, Context, Row, Subject};
use crate::objects::item::Item;
use crate::objects::place::Place;
use crate::objects::value::Style;
use crate::sys::error::Error;
use crate::sys::io::stream;
use crate::sys::process::container::Container;
use crate::sys::shm::name::ShmName;
use crate::sys::status::FileStatus;
use anyhow::Context as _;
use std::cmp::Reverse;
use std::io::{BufWriter, IsTerminal, Write};
use std::mem;
use std::os::fd::AsFd;
use std::rc::Rc;
use table::Table;
use users::Query;

mod json;
mod nameless;
mod summary;
mod table;
mod totals;
mod users;

/// Lists the objects.
///
/// # Errors
///
/// Fails if `/dev/shm` or `/proc` cannot be read, or if standard output fails. Errors of single NAMEs go to the report.
pub fn run(args: &LsArgs, report: &mut Report) -> anyhow::Result<()> {
    if args.summary {
        return summary::run(args, &|pid| {
            Place::label_of(pid, Container::of(pid).as_ref())
        });
    }
    if args.sort == SortKey::Pid && !args.asks_for_processes() {
        return Err(Failure::usage("--sort pid: no processes are listed")
            .hint("add -p")
            .into());
    }
    let columns = args.columns();
    let query = Query {
        processes: !args.only_names && (shows_processes(&columns) || args.sort == SortKey::Pid),
        in_use: !args.only_names && columns.iter().any(|column| column.key == "in-use"),
    };
    if args.everywhere && !args.names.is_empty() {
        return Err(place::no_names_everywhere().into());
    }
    let places = place::select(args.target.target.as_ref(), args.everywhere, true)?;
    let mut items = match () {
        () if args.unlinked => nameless::unlinked_objects(args, &places)?,
        () if args.nameless => nameless::nameless_memory(args, &places)?,
        () => linked_objects(args, &places, query, report)?,
    };
    let mut context = Context::default();
    sort(&mut items, args, &mut context);

    let stdout = stream::stdout().context(STDOUT)?;
    let on_terminal = stdout.as_fd().is_terminal();
    let width = terminal_size::terminal_size_of(stdout.as_fd()).map(|(width, _)| width.0.into());
    let mut out = BufWriter::with_capacity(64 << 10, stdout);
    if args.json {
        let places = json::Places::new(&places, args.everywhere)?;
        json::write(&mut out, &items, &columns, context, places).context(STDOUT)?;
    } else if args.only_names {
        let write = |item: &Item| write_name(&mut out, &item.name, args.nul, on_terminal);
        items.iter().try_for_each(write).context(STDOUT)?;
    } else if args.names.is_empty() || !items.is_empty() {
        let palette = Palette::new(args.color, on_terminal);
        let table = table(&items, columns, context, args, palette);
        table.write(&mut out, width).context(STDOUT)?;
        if on_terminal {
            totals::write(&mut out, &items, args, &places, palette)?;
        }
    }
    out.flush().context(STDOUT)?;
    // There may be a million, and this process ends now: to free them one by one would only take time.
    mem::forget(items);
    Ok(())
}

fn table(
    items: &[Item],
    columns: Vec<&'static Column>,
    mut context: Context,
    args: &LsArgs,
    palette: Palette,
) -> Table {
    let by_process = shows_processes(&columns);
    let style = Style {
        bytes: args.bytes,
        numeric: args.numeric,
    };
    let mut table = Table::new(columns);
    if !args.no_header {
        table.add_header(palette.header);
    }
    if !by_process {
        table.add_rows(items.iter().map(Row::from), &mut context, style);
        return table;
    }
    let mut rows = table::rows_by_process(items);
    if args.sort == SortKey::Pid {
        table::sort_by_pid(&mut rows, args.reverse);
    }
    table.add_rows(rows, &mut context, style);
    table
}

fn shows_processes(columns: &[&Column]) -> bool {
    let mut subjects = columns.iter().map(|column| column.subject);
    subjects.any(|subject| subject == Subject::Process)
}

/// Returns the objects that have names.
fn linked_objects(
    args: &LsArgs,
    places: &[Rc<Place>],
    query: Query,
    report: &mut Report,
) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut all_pass = true;
    let listings = match args.names.is_empty() {
        true => list_all(places),
        false => places.iter().map(|_| Ok(Vec::new())).collect(),
    };
    for (place, listing) in places.iter().zip(listings) {
        let listing = match listing {
            Ok(listing) => listing,
            Err(why) if args.everywhere => {
                print_skipped(place, &why);
                continue;
            }
            Err(why) => return Err(why.prefix(&place.label).into()),
        };
        match list(args, place, listing, &mut items, report) {
            Ok(pass) => all_pass &= pass,
            Err(error) if !args.everywhere => return Err(error),
            Err(error) => report.note(Err(error)),
        }
    }
    if args.filters.unused || args.in_use {
        let candidates = items.len();
        filter_by_use(&mut items, args.in_use);
        all_pass &= items.len() == candidates;
    }
    if !args.names.is_empty() && !all_pass {
        report.note(Err(Failure::silent(Status::ConditionNotMet).into()));
    }
    users::look_up(&mut items, places, query, args.everywhere)?;
    Ok(items)
}

/// Adds the objects of a place that pass the filters, except those that need the kernel. In another place, they come from
/// `listing`. Returns whether all NAMEs pass.
fn list(
    args: &LsArgs,
    place: &Rc<Place>,
    listing: Listing,
    items: &mut Vec<Item>,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let directory = &place.directory;
    let filter = args.filters.filter(directory)?;
    // Adds an object that passes the filters, and returns whether it does. Whether it is in use is checked later.
    let mut add_if_passes = |item: Item| {
        let passes = item
            .status()
            .is_none_or(|status| filter.passes_status(status));
        if passes {
            items.push(item);
        }
        passes
    };
    let is_wanted = |name: &ShmName| (args.all || !name.is_semaphore()) && filter.passes_name(name);
    if !args.names.is_empty() {
        let mut seen = match place.is_own() {
            true => Vec::new(),
            false => look_at(place, &args.names),
        }
        .into_iter();
        let mut all_pass = true;
        for name in &args.names {
            let seen = seen.next();
            if !filter.passes_name(name) {
                all_pass = false;
                continue;
            }
            let status = seen.unwrap_or_else(|| {
                let status = directory.stat(name);
                status.map_err(|error| Failure::from(&error.into()))
            });
            match status {
                Ok(status) => {
                    all_pass &= add_if_passes(Item::with_status(place, name.clone(), status));
                }
                Err(failure) if failure.is(Status::NotFound) => {
                    report.note(Err(not_found(name, "lists")));
                }
                Err(failure) => report.note(Err(failure.into())),
            }
        }
        return Ok(all_pass);
    }
    for (name, status) in listing.into_iter().filter(|(name, _)| is_wanted(name)) {
        add_if_passes(Item::with_status(place, name, status));
    }
    if !place.is_own() {
        return Ok(true);
    }
    // In this case it is enough to read the directory.
    let only_names = args.only_names && !filter.needs_status() && args.sort == SortKey::Name;
    for entry in directory.entries()? {
        let entry = entry?;
        if !is_wanted(&entry.name) {
            continue;
        }
        if only_names {
            let inode = entry.inode();
            add_if_passes(Item::without_status(place, entry.name, inode));
            continue;
        }
        match entry.stat() {
            Ok(status) => drop(add_if_passes(Item::with_status(place, entry.name, status))),
            // The object was removed or replaced since the directory was read.
            Err(Error::NotFound(_) | Error::NotAnObject { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Keeps the objects that are in use, or those that are not. This comes after all other filters, because it asks the
/// kernel about each object.
fn filter_by_use(items: &mut Vec<Item>, in_use: bool) {
    let mut unclear = UnclearCount::default();
    let mut states = users::states(items).into_iter();
    items.retain(|_| match states.next() {
        Some(State::Unused) => !in_use,
        Some(State::InUse) => in_use,
        Some(State::Changed) | None => false,
        Some(State::Unclear(errno)) => {
            unclear.add(errno);
            in_use
        }
    });
    unclear.print(if in_use { "listed" } else { "not listed" });
}

/// Sorts by the key, and objects with the same key by name. The largest and the oldest objects come first.
fn sort(items: &mut [Item], args: &LsArgs, context: &mut Context) {
    // Memory without a name often has the same one. Two lists of it should not differ only in their order.
    items.sort_unstable_by(|a, b| {
        let by_file = (&a.name, a.inode()).cmp(&(&b.name, b.inode()));
        by_file.then_with(|| (a.label(), a.place_pid()).cmp(&(b.label(), b.place_pid())))
    });
    match args.sort {
        SortKey::Name => {}
        SortKey::Size => items.sort_by_key(|item| Reverse(item.size())),
        SortKey::Allocated => items.sort_by_key(|item| Reverse(item.allocated())),
        SortKey::Age => {
            items.sort_by_key(|item| item.status().map_or(i128::MAX, FileStatus::last_change))
        }
        SortKey::Owner => items.sort_by_cached_key(|item| {
            let uid = item.status().map(|status| status.uid);
            let name = uid
                .filter(|_| !args.numeric)
                .and_then(|uid| context.user_name(uid));
            // Owners without a name come after those with one, and unknown owners come last.
            (uid.is_none(), name.is_none(), name, uid)
        }),
        SortKey::Pid => items.sort_by_key(users::first_pid),
        SortKey::Place => items.sort_by(|a, b| a.label().cmp(&b.label())),
    }
    if args.reverse {
        items.reverse();
    }
}
