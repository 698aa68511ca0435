//! Everything that is known, as the manual page documents it.

use crate::objects::columns::{Context, Json};
use crate::objects::item::Item;
use crate::sys::shm::directory::Space;
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
}

/// Made one at a time, as they are written.
struct Objects<'a>(&'a [Item], RefCell<Context>);

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| Json(item, &self.1)))
    }
}

/// Writes the objects, and the totals of the file system.
pub fn write(out: &mut impl Write, items: &[Item], space: Space) -> io::Result<()> {
    let Space {
        size, used, free, ..
    } = space;
    let listing = Listing {
        objects: Objects(items, RefCell::default()),
        filesystem: FileSystem { size, used, free },
    };
    serde_json::to_writer_pretty(Printable(&mut *out), &listing)?;
    writeln!(out)
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
