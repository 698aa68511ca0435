//! `ls`: what is in shared memory, and who uses it.

use super::in_use::{Judge, objects};
use super::{NotAsExpected, STDOUT, write_name};
use crate::cli::{LsArgs, SortKey};
use crate::exit::{Report, tell};
use crate::objects::columns::{COLUMNS, Column, Context, Style, humanised};
use crate::objects::filter::changed;
use crate::objects::item::Item;
use crate::sys::error::Error;
use crate::sys::io::stream;
use crate::sys::process::proc::{DELETED, Holders};
use crate::sys::shm::directory::{self, Space};
use crate::sys::shm::lease::Refusal;
use crate::sys::shm::name::ShmName;
use anyhow::Context as _;
use std::collections::HashSet;
use std::fs::Metadata;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use unicode_width::UnicodeWidthStr;

mod json;

/// Lists the objects.
///
/// # Errors
///
/// `/dev/shm` or `/proc` cannot be read, standard output fails; those of single NAMEs go to the report.
pub fn run(args: &LsArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut items = match args.unlinked {
        true => unlinked(args)?,
        false => linked(args, report)?,
    };
    sort(&mut items, args);

    let stdout = stream::stdout().context(STDOUT)?;
    let on_terminal = stdout.as_fd().is_terminal();
    let mut out = BufWriter::with_capacity(64 << 10, stdout);
    if args.json {
        let space = directory::space().context(directory::PATH)?;
        json::write(&mut out, &items, space)
    } else if args.only_names {
        let write = |item: &Item| write_name(&mut out, &item.name, args.nul, on_terminal);
        items.iter().try_for_each(write)
    } else {
        write_table(&mut out, &items, args).and_then(|()| match on_terminal {
            true => write_totals(&mut out, &items),
            false => Ok(()),
        })
    }
    .and_then(|()| out.flush())
    .context(STDOUT)
}

/// The objects that have names.
fn linked(args: &LsArgs, report: &mut Report) -> anyhow::Result<Vec<Item>> {
    let filter = args.filters.filter()?;
    // Then the directory is all there is to read.
    let only_names = args.only_names && !filter.needs_metadata() && args.sort == SortKey::Name;
    let mut items = Vec::new();
    // Whether it passes, but for the use.
    let mut take =
        |name: &ShmName, look: &dyn Fn() -> Result<Item, Error>| -> Result<bool, Error> {
            if !filter.passes_name(name) {
                return Ok(false);
            }
            let item = look()?;
            let passes = item
                .metadata()
                .is_none_or(|metadata| filter.passes_metadata(metadata));
            if passes {
                items.push(item);
            }
            Ok(passes)
        };
    let mut all_pass = true;
    if args.names.is_empty() {
        for entry in directory::entries()? {
            let entry = entry.context(directory::PATH)?;
            let name = &entry.name;
            if name.is_semaphore() && !args.all {
                continue;
            }
            match take(name, &|| match only_names {
                true => Ok(Item::named(name, entry.inode())),
                false => Ok(Item::known(name, entry.stat()?)),
            }) {
                // It has vanished since the directory was read, or something else has its name.
                Ok(_) | Err(Error::NotFound(_) | Error::NotAnObject { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    } else {
        for name in &args.names {
            match take(name, &|| Ok(Item::known(name, directory::stat(name)?))) {
                Ok(passes) => all_pass &= passes,
                Err(error) => report.note(Err(error.into())),
            }
        }
    }
    if args.filters.unused {
        let asked = items.len();
        keep_unused(&mut items)?;
        all_pass &= items.len() == asked;
    }
    if !args.names.is_empty() && !all_pass {
        report.note(Err(NotAsExpected.into()));
    }
    if args.wants_processes() {
        let mut holders = holders()?;
        for item in &mut items {
            let held = holders.held.remove(&item.inode());
            item.uses = Some(held.map_or_else(Vec::new, |held| held.uses));
        }
    }
    Ok(items)
}

/// Leaves the objects that nobody uses. It is asked last, of what is left of all else.
fn keep_unused(items: &mut Vec<Item>) -> anyhow::Result<()> {
    let mut judge = Judge::default();
    items.retain(|item| match judge.ask(&item.shm_name()) {
        Ok(_) => true,
        Err(Refusal::InUse | Refusal::Changed) => false,
        Err(Refusal::Unclear(errno)) => {
            judge.note_unclear(errno);
            false
        }
    });
    judge.tell_unclear();
    Ok(())
}

/// The objects whose names are gone, but not their memory.
fn unlinked(args: &LsArgs) -> anyhow::Result<Vec<Item>> {
    let filter = args.filters.filter()?;
    let mut linked = HashSet::new();
    for entry in directory::entries()? {
        linked.insert(entry.context(directory::PATH)?.inode());
    }
    let holders = holders()?;
    let items = holders.held.into_iter().filter_map(|(inode, held)| {
        // What `stat(2)` says comes first: a file in a directory is no entry of ours, but has its name.
        let has_name = |metadata: &Metadata| metadata.nlink() > 0;
        if linked.contains(&inode) || held.metadata.as_ref().is_some_and(has_name) {
            return None;
        }
        // A path without the kernel's remark is that of a file which is still there.
        let name = held.path.strip_suffix(DELETED)?;
        let name = name
            .strip_prefix(directory::PATH.as_bytes())
            .unwrap_or(name)
            .to_owned();
        let item = Item::held(&name, inode, held);
        let passes = match item.metadata() {
            Some(metadata) => filter.passes_metadata(metadata),
            // Of what cannot be known nothing can be said.
            None => !filter.needs_metadata(),
        };
        let is_wanted = args.all || !name.starts_with(b"/sem.");
        (passes && is_wanted && filter.passes_bytes(&name)).then_some(item)
    });
    Ok(items.collect())
}

fn holders() -> anyhow::Result<Holders> {
    let holders = Holders::of(directory::device()?).context("/proc")?;
    if holders.denied > 0 {
        let count = holders.denied;
        let processes = if count == 1 { "process" } else { "processes" };
        tell(format!("shmtool: {count} {processes} may not be inspected"));
    }
    Ok(holders)
}

fn sort(items: &mut [Item], args: &LsArgs) {
    items.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    // The largest come first, and the oldest.
    let key = |item: &Item| match args.sort {
        SortKey::Name => 0,
        SortKey::Size => -i128::from(item.size()),
        SortKey::Used => -i128::from(item.used().unwrap_or(0)),
        SortKey::Age => item.metadata().map_or(i128::MAX, changed),
    };
    if args.sort != SortKey::Name {
        items.sort_by_key(key);
    }
    if args.reverse {
        items.reverse();
    }
}

fn write_table(out: &mut impl Write, items: &[Item], args: &LsArgs) -> io::Result<()> {
    let columns: Vec<&Column> = match &args.output[..] {
        [] => COLUMNS
            .iter()
            .filter(|column| {
                column.is_default || (args.wants_processes() && column.key == "processes")
            })
            .collect(),
        chosen => chosen.to_vec(),
    };
    let style = Style {
        bytes: args.bytes,
        numeric: args.numeric,
    };
    let mut context = Context::default();
    let mut cells = Cells::default();
    for column in &columns {
        cells.add(|text| text.push_str(&column.key.to_uppercase()));
    }
    for item in items {
        for column in &columns {
            cells.add(|text| column.write(text, item, &mut context, style));
        }
    }
    cells.write(out, &columns)
}

/// The texts of all cells, row by row: in one piece, for there may be a million.
#[derive(Default)]
struct Cells {
    text: String,
    ends: Vec<usize>,
}

impl Cells {
    fn add(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let range = |(start, &end): (usize, &usize)| &self.text[start..end];
        starts.zip(&self.ends).map(range)
    }

    fn write(&self, out: &mut impl Write, columns: &[&Column]) -> io::Result<()> {
        let mut widths = vec![0; columns.len()];
        for (index, cell) in self.iter().enumerate() {
            let width = &mut widths[index % columns.len()];
            *width = columns_of(cell).max(*width);
        }
        let last = columns.len() - 1;
        for (index, cell) in self.iter().enumerate() {
            let index = index % columns.len();
            let padding = widths[index] - columns_of(cell);
            if columns[index].is_number {
                write_spaces(out, padding)?;
            }
            out.write_all(cell.as_bytes())?;
            if index == last {
                out.write_all(b"\n")?;
                continue;
            }
            if !columns[index].is_number {
                write_spaces(out, padding)?;
            }
            out.write_all(b"  ")?;
        }
        Ok(())
    }
}

/// How many columns of a terminal a cell takes: a wide character takes two. No cell has control characters.
fn columns_of(cell: &str) -> usize {
    match cell.is_ascii() {
        true => cell.len(),
        false => cell.width(),
    }
}

fn write_spaces(out: &mut impl Write, count: usize) -> io::Result<()> {
    const SPACES: [u8; 64] = [b' '; 64];
    for start in (0..count).step_by(SPACES.len()) {
        out.write_all(&SPACES[..SPACES.len().min(count - start)])?;
    }
    Ok(())
}

/// What it comes to, for people.
fn write_totals(out: &mut impl Write, items: &[Item]) -> io::Result<()> {
    let used: u64 = items.iter().filter_map(Item::used).sum();
    let Space {
        size,
        used: all,
        free,
    } = directory::space()?;
    write!(out, "{} with {}", objects(items.len()), humanised(used))?;
    // Without a limit there is nothing that could be full.
    if size > 0 {
        let nearly_full = if free < size / 10 {
            ": nearly full"
        } else {
            ""
        };
        let (all, free) = (humanised(all), humanised(free));
        write!(
            out,
            "; {} has {all} used and {free} free{nearly_full}",
            directory::PATH
        )?;
    }
    writeln!(out)
}
