//! The rows that `-v` and `-n` print, one per object that is removed.

use crate::commands::STDOUT;
use crate::objects::columns::{Column, Context};
use crate::objects::item::Item;
use crate::objects::value::Style;
use crate::sys::escape::Escaped;
use crate::sys::io::stream::{self, Output};
use crate::sys::shm::name::ShmName;
use anyhow::Context as _;
use std::fs::Metadata;
use std::io::{BufWriter, Write};
use unicode_width::UnicodeWidthStr;

/// A longer name moves the rest of its row to the right.
const MAX_NAME_WIDTH: usize = 40;

/// The cells after the name: the key of the column, and the width that its cells seldom exceed. The rows before the
/// last one are printed long before it is known, so that the width cannot be measured as `ls` does.
const CELLS: [(&str, usize); 3] = [("size", 9), ("owner", 8), ("age", 4)];

/// Prints rows on standard output.
pub struct Rows {
    out: BufWriter<Output>,
    name_width: usize,
    context: Context,
}

impl Rows {
    /// Opens standard output, before anything is removed that could not be reported then.
    pub fn new() -> anyhow::Result<Rows> {
        Ok(Rows {
            out: BufWriter::new(stream::stdout().context(STDOUT)?),
            name_width: 0,
            context: Context::default(),
        })
    }

    /// Makes room for these names.
    pub fn align<'a>(&mut self, names: impl IntoIterator<Item = &'a ShmName>) {
        let widths = names.into_iter().map(|name| shown(name).width());
        self.name_width = widths.max().unwrap_or(0).min(MAX_NAME_WIDTH);
    }

    /// Prints the row of an object.
    pub fn print(&mut self, name: &ShmName, metadata: Metadata) -> anyhow::Result<()> {
        let mut row = shown(name);
        row.extend(padding(self.name_width, &row));
        let item = Item::with_metadata(name, metadata);
        for (key, width) in CELLS {
            let column = Column::lookup(key).expect("it is a column of ls");
            let mut cell = String::new();
            column.write_cell(&mut cell, &item, &mut self.context, Style::default());
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

    /// Makes sure that everything is really printed.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context(STDOUT)
    }
}

fn shown(name: &ShmName) -> String {
    Escaped(name.as_bytes()).to_string()
}

fn padding(width: usize, cell: &str) -> impl Iterator<Item = char> + use<> {
    std::iter::repeat_n(' ', width.saturating_sub(cell.width()))
}
