//! The rows that `-v` and `-n` print, one per object that is removed.

use crate::commands::STDOUT;
use crate::objects::columns::{Column, Context};
use crate::objects::item::Item;
use crate::objects::value::Style;
use crate::sys::escape::Escaped;
use crate::sys::io::stream::{self, Output};
use crate::sys::shm::name::ShmName;
use anyhow::Context as _;
use std::io::{BufWriter, Write};
use unicode_width::UnicodeWidthStr;

/// The maximum width of the name column. A longer name moves the rest of its row to the right.
const MAX_NAME_WIDTH: usize = 40;

/// The columns after the name: the key, and a width that cells rarely exceed. `ls` measures the widths, but here each
/// row is printed before the next one is known.
const CELLS: [(&str, usize); 3] = [("size", 9), ("owner", 8), ("age", 4)];

/// Prints rows on standard output.
pub struct Rows {
    out: BufWriter<Output>,
    name_width: usize,
    /// Whether each row ends with the place.
    with_place: bool,
    context: Context,
}

impl Rows {
    /// Opens standard output.
    pub fn new(with_place: bool) -> anyhow::Result<Rows> {
        Ok(Rows {
            out: BufWriter::new(stream::stdout().context(STDOUT)?),
            name_width: 0,
            with_place,
            context: Context::default(),
        })
    }

    /// Sets the width of the name column for these names.
    pub fn align<'a>(&mut self, names: impl IntoIterator<Item = &'a ShmName>) {
        let widths = names.into_iter().map(|name| escaped(name).width());
        self.name_width = widths.max().unwrap_or(0).min(MAX_NAME_WIDTH);
    }

    /// Prints the row of an object.
    pub fn print(&mut self, item: &Item) -> anyhow::Result<()> {
        let mut row = Escaped(&item.name).to_string();
        row.extend(padding(self.name_width, &row));
        let place = self.with_place.then_some(("place", 0));
        for (key, width) in CELLS.into_iter().chain(place) {
            let column = Column::lookup(key).expect("CELLS contains only valid keys");
            let mut cell = String::new();
            column.write_cell(&mut cell, item, &mut self.context, Style::default());
            let padding = padding(width, &cell);
            row.push_str("  ");
            match column.is_number {
                true => row.extend(padding.chain(cell.chars())),
                false => row.extend(cell.chars().chain(padding)),
            }
        }
        row.push('\n');
        self.out.write_all(row.as_bytes()).context(STDOUT)
    }

    /// Writes the buffered rows to standard output.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context(STDOUT)
    }
}

fn escaped(name: &ShmName) -> String {
    Escaped(name.as_bytes()).to_string()
}

fn padding(width: usize, cell: &str) -> impl Iterator<Item = char> + use<> {
    std::iter::repeat_n(' ', width.saturating_sub(cell.width()))
}
