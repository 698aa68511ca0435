//! Everything that is known, as the manual page documents it.

use crate::objects::columns::{Column, Context, Process, Row, Subject};
use crate::objects::item::Item;
use crate::objects::value::Value;
use crate::sys::shm::directory::Space;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::io::{self, Write};

#[derive(Serialize)]
struct Listing<'a> {
    objects: Objects<'a>,
    filesystem: FileSystem,
}

#[derive(Serialize)]
struct FileSystem {
    size: u64,
    used: u64,
    free: u64,
    inodes: u64,
    inodes_used: u64,
    inodes_free: u64,
}

/// Written one at a time.
struct Objects<'a> {
    items: &'a [Item],
    /// The members of each object.
    columns: Vec<&'static Column>,
    /// The members of each process; none if processes are not listed.
    process_columns: Vec<&'static Column>,
    context: RefCell<Context>,
}

/// An object, or a process that uses it. What is not known is null.
struct Members<'a> {
    row: Row<'a>,
    all: &'a Objects<'a>,
}

/// Writes the objects, and the totals of the file system.
///
/// # Errors
///
/// Those of the output.
pub fn write(
    out: &mut impl Write,
    items: &[Item],
    columns: &[&'static Column],
    context: Context,
    space: Space,
) -> io::Result<()> {
    let of = |subject| move |column: &&&Column| column.subject == subject;
    let objects = Objects {
        items,
        columns: columns
            .iter()
            .filter(of(Subject::Object))
            .copied()
            .collect(),
        process_columns: columns
            .iter()
            .filter(of(Subject::Process))
            .copied()
            .collect(),
        context: RefCell::new(context),
    };
    let filesystem = FileSystem {
        size: space.size,
        used: space.used,
        free: space.free,
        inodes: space.inodes,
        inodes_used: space.inodes_used,
        inodes_free: space.inodes_free,
    };
    let listing = Listing {
        objects,
        filesystem,
    };
    serde_json::to_writer_pretty(Printable(&mut *out), &listing)?;
    writeln!(out)
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = |item| Members {
            row: Row::from(item),
            all: self,
        };
        serializer.collect_seq(self.items.iter().map(members))
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Members { row, all } = self;
        let mut map = serializer.serialize_map(None)?;
        let is_object = !matches!(row.process, Process::Known(_));
        let columns = if is_object {
            &all.columns
        } else {
            &all.process_columns
        };
        for column in columns {
            let value = column.value(*row, &mut all.context.borrow_mut());
            map.serialize_entry(&column.json_key(), &value)?;
            // Only where it is not UTF-8, so that the text has lost something.
            match value {
                Some(Value::Name(name)) if str::from_utf8(name).is_err() => {
                    map.serialize_entry("name_bytes", name)?;
                }
                Some(Value::Command(arguments))
                    if arguments.iter().any(|one| str::from_utf8(one).is_err()) =>
                {
                    map.serialize_entry("command_bytes", arguments)?;
                }
                _ => {}
            }
        }
        if is_object && !all.process_columns.is_empty() {
            let members = |one| Members {
                row: Row {
                    item: row.item,
                    process: Process::Known(one),
                },
                all,
            };
            let uses = row.item.uses.as_deref();
            let processes = uses.map(|uses| uses.iter().map(members).collect::<Vec<_>>());
            map.serialize_entry("processes", &processes)?;
        }
        map.end()
    }
}

/// JSON on its way out, with the characters that a terminal might act on as `\u` escapes, which mean the same.
struct Printable<W>(W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // serde_json escapes the control characters of ASCII but DEL, and never cuts a character in two.
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        let is_harmless = |c: char| c != '\x7f' && (c.is_ascii() || c.escape_debug().len() == 1);
        for piece in text.split_inclusive(|c| !is_harmless(c)) {
            let harmless = piece.trim_end_matches(|c| !is_harmless(c));
            self.0.write_all(harmless.as_bytes())?;
            for unit in piece[harmless.len()..].encode_utf16() {
                write!(self.0, "\\u{unit:04x}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
