//! The table: a header and rows of cells, aligned by their width on a terminal.

use crate::objects::columns::{Column, Context, Process, Row};
use crate::objects::item::Item;
use crate::objects::value::Style;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns one row per object and process that uses it.
pub fn rows_by_process(items: &[Item]) -> Vec<Row<'_>> {
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

/// A table. All cells are in one string, row by row, because there may be a million of them: each
/// page of memory that is used for the first time costs time.
pub struct Table {
    columns: Vec<&'static Column>,
    /// The style of the header, if there is one.
    header: anstyle::Style,
    text: String,
    /// The number of bytes in each cell.
    lengths: Vec<u32>,
    /// The width of each column on a terminal.
    widths: Vec<usize>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(columns: Vec<&'static Column>) -> Table {
        Table {
            widths: vec![0; columns.len()],
            columns,
            header: anstyle::Style::new(),
            text: String::new(),
            lengths: Vec::new(),
        }
    }

    /// Adds the header.
    pub fn add_header(&mut self, style: anstyle::Style) {
        self.header = style;
        self.add_row(|column, text| text.push_str(&column.key.to_uppercase()));
    }

    /// Adds the cells of the rows.
    pub fn add_rows<'a>(
        &mut self,
        rows: impl IntoIterator<Item = Row<'a>>,
        context: &mut Context,
        style: Style,
    ) {
        for row in rows {
            self.add_row(|column, text| column.write_cell(text, row, context, style));
        }
    }

    /// Adds the cells that `write` appends, one for each column.
    fn add_row(&mut self, mut write: impl FnMut(&Column, &mut String)) {
        for (column, width) in self.columns.iter().zip(&mut self.widths) {
            let start = self.text.len();
            write(column, &mut self.text);
            let cell = &self.text[start..];
            *width = display_width(cell).max(*width);
            // No name or command line is that long.
            let length = cell.len().try_into().expect("a cell is shorter than 4 GiB");
            self.lengths.push(length);
        }
    }

    fn cells(&self) -> impl Iterator<Item = &str> {
        let mut rest = &self.text[..];
        self.lengths.iter().map(move |&length| {
            let cell;
            (cell, rest) = rest.split_at(length as usize);
            cell
        })
    }

    /// Writes the table. If the last column is the command, it is truncated to the width of the terminal.
    ///
    /// # Errors
    ///
    /// Fails if the output cannot be written to.
    pub fn write(&self, out: &mut impl Write, terminal_width: Option<usize>) -> io::Result<()> {
        let (count, widths) = (self.columns.len(), &self.widths);
        let last = count - 1;
        let before_last = widths[..last].iter().map(|width| width + GAP.len()).sum();
        let max_width = terminal_width
            .filter(|_| self.columns[last].key == "command")
            .map(|width| width.saturating_sub(before_last).max("COMMAND".len()));
        let mut cells = self.cells();
        for row in 0..self.lengths.len() / count {
            // There may be many rows: only the header is formatted with a style.
            let style = (row == 0).then_some(self.header);
            if let Some(style) = style {
                write!(out, "{style}")?;
            }
            // The spaces that belong before the next cell.
            let mut spaces = 0;
            for (index, mut cell) in cells.by_ref().take(count).enumerate() {
                let padding = widths[index] - display_width(cell);
                let (before, after) = match self.columns[index].is_number {
                    true => (padding, 0),
                    false => (0, padding),
                };
                if let (true, Some(max_width)) = (index == last, max_width) {
                    cell = truncate(cell, max_width);
                }
                write_spaces(out, spaces + before)?;
                out.write_all(cell.as_bytes())?;
                spaces = after + GAP.len();
            }
            if let Some(style) = style {
                write!(out, "{style:#}")?;
            }
            out.write_all(b"\n")?;
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

pub fn write_spaces(out: &mut impl Write, mut count: usize) -> io::Result<()> {
    const SPACES: [u8; 64] = [b' '; 64];
    while count > 0 {
        let piece = count.min(SPACES.len());
        out.write_all(&SPACES[..piece])?;
        count -= piece;
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
