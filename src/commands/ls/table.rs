//! The table: a header and rows of cells, aligned by their width on a terminal.

use crate::objects::columns::{Column, Context, Process, Row};
use crate::objects::item::Item;
use crate::objects::value::Style;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns one row per object, or one row per object and process that uses it.
pub fn rows(items: &[Item], by_process: bool) -> Vec<Row<'_>> {
    if !by_process {
        return items.iter().map(Row::from).collect();
    }
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        match item.uses.as_deref() {
            None => rows.push(Row::from(item)),
            Some([]) => rows.push(Row {
                item,
                process: Process::Nobody,
            }),
            Some(uses) => rows.extend(uses.iter().map(|one| Row {
                item,
                process: Process::Known(one),
            })),
        }
    }
    rows
}

/// Sorts rows by process ID, then by name. Rows without a process come last.
pub fn sort_by_pid(rows: &mut [Row], reverse: bool) {
    let pid = |row: &Row| match row.process {
        Process::Known(one) => one.pid,
        Process::Unknown | Process::Nobody => i32::MAX,
    };
    let by_name = |a: &Row, b: &Row| a.item.name.cmp(&b.item.name);
    rows.sort_by(|a, b| pid(a).cmp(&pid(b)).then_with(|| by_name(a, b)));
    if reverse {
        rows.reverse();
    }
}

/// A table. All cells are in one string, row by row, because there may be a million of them.
pub struct Table {
    columns: Vec<&'static Column>,
    /// The style of the header, if there is one.
    header: anstyle::Style,
    text: String,
    /// The offset in `text` at which each cell ends.
    ends: Vec<usize>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(columns: Vec<&'static Column>) -> Table {
        Table {
            columns,
            header: anstyle::Style::new(),
            text: String::new(),
            ends: Vec::new(),
        }
    }

    /// Adds the header.
    pub fn add_header(&mut self, style: anstyle::Style) {
        self.header = style;
        for column in &self.columns {
            self.text.push_str(&column.key.to_uppercase());
            self.ends.push(self.text.len());
        }
    }

    /// Adds the cells of the rows.
    pub fn add_rows(&mut self, rows: &[Row], context: &mut Context, style: Style) {
        for row in rows {
            for column in &self.columns {
                column.write_cell(&mut self.text, *row, context, style);
                self.ends.push(self.text.len());
            }
        }
    }

    fn cells(&self) -> impl Iterator<Item = &str> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let range = |(start, &end): (usize, &usize)| &self.text[start..end];
        starts.zip(&self.ends).map(range)
    }

    /// Writes the table. If the last column is the command, it is truncated to the width of the terminal.
    ///
    /// # Errors
    ///
    /// Fails if the output cannot be written to.
    pub fn write(&self, out: &mut impl Write, terminal_width: Option<usize>) -> io::Result<()> {
        let count = self.columns.len();
        let mut widths = vec![0; count];
        for (index, cell) in self.cells().enumerate() {
            let width = &mut widths[index % count];
            *width = display_width(cell).max(*width);
        }
        let last = count - 1;
        let before_last = widths[..last].iter().map(|width| width + GAP.len()).sum();
        let max_width = terminal_width
            .filter(|_| self.columns[last].key == "command")
            .map(|width| width.saturating_sub(before_last).max("COMMAND".len()));
        for (index, cell) in self.cells().enumerate() {
            let (row, index) = (index / count, index % count);
            // There may be many rows: only the header is formatted with a style.
            let style = (row == 0).then_some(self.header);
            if let (Some(style), 0) = (style, index) {
                write!(out, "{style}")?;
            }
            let padding = widths[index] - display_width(cell);
            if self.columns[index].is_number {
                write_spaces(out, padding)?;
            }
            if index == last {
                let cell = max_width.map_or(cell, |max_width| truncate(cell, max_width));
                out.write_all(cell.as_bytes())?;
                if let Some(style) = style {
                    write!(out, "{style:#}")?;
                }
                out.write_all(b"\n")?;
                continue;
            }
            out.write_all(cell.as_bytes())?;
            if !self.columns[index].is_number {
                write_spaces(out, padding)?;
            }
            out.write_all(GAP.as_bytes())?;
        }
        Ok(())
    }
}

/// The gap between two columns.
pub const GAP: &str = "  ";

/// Returns how many columns of a terminal a cell takes. A wide character takes two. No cell contains control
/// characters.
pub fn display_width(cell: &str) -> usize {
    match cell.is_ascii() {
        true => cell.len(),
        false => cell.width(),
    }
}

/// Truncates a cell to this number of columns of a terminal.
pub fn truncate(cell: &str, max_width: usize) -> &str {
    let mut width = 0;
    let end = cell.char_indices().find(|(_, c)| {
        width += c.width().unwrap_or(0);
        width > max_width
    });
    end.map_or(cell, |(end, _)| &cell[..end])
}

pub fn write_spaces(out: &mut impl Write, count: usize) -> io::Result<()> {
    const SPACES: [u8; 64] = [b' '; 64];
    for start in (0..count).step_by(SPACES.len()) {
        out.write_all(&SPACES[..SPACES.len().min(count - start)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_truncated_between_characters() {
        for (cell, max_width, text) in [
            ("sleep", 5, "sleep"),
            ("sleep 10", 5, "sleep"),
            ("数数", 3, "数"),
            ("é", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(truncate(cell, max_width), text);
        }
    }
}
