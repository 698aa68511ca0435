//! The JSON output, in the schema that the manual page documents.

use crate::objects::columns::{Column, Context, Process, Row, Subject};
use crate::objects::item::Item;
use crate::objects::place::Place;
use crate::objects::value::Value;
use crate::sys::error::Error;
use crate::sys::shm::directory::Space;
use nix::sys::stat::{major, minor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

#[derive(Serialize)]
struct Listing<'a> {
    objects: Objects<'a>,
    #[serde(flatten)]
    places: Places<'a>,
}

/// The file systems of the places.
#[derive(Serialize)]
pub struct Places<'a> {
    /// That of the caller's own `/dev/shm`, or of the place that `--target` selects. None if it cannot be read.
    filesystem: Option<FileSystem>,
    /// All places, with `--everywhere`.
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<Vec<PlaceEntry<'a>>>,
}

#[derive(Serialize)]
struct PlaceEntry<'a> {
    place: &'a str,
    pid: Option<i32>,
    container: Option<&'a str>,
    cgroup: Option<&'a str>,
    device: Option<String>,
    filesystem: Option<FileSystem>,
}

impl<'a> Places<'a> {
    /// Reads the sizes of the file systems.
    ///
    /// # Errors
    ///
    /// Fails if the file system of the only place cannot be read.
    pub fn new(places: &'a [Rc<Place>], everywhere: bool) -> Result<Places<'a>, Error> {
        let filesystem = |place: &Place| place.directory.space().map(FileSystem::from);
        let entry = |place: &'a Rc<Place>| {
            let container = place.container.as_ref();
            let name = container.and_then(|one| one.name.as_ref());
            let device = place.directory.device().ok();
            PlaceEntry {
                place: &place.label,
                pid: container.map(|one| one.pid),
                container: name.and_then(|name| name.id.as_deref()),
                cgroup: name.map(|name| &*name.cgroup),
                device: device.map(|device| format!("{}:{}", major(device), minor(device))),
                filesystem: filesystem(place).ok(),
            }
        };
        // Without a /dev/shm of our own, the first place is another one.
        let first = places.first();
        let first = first.filter(|place| place.is_own() || !everywhere);
        Ok(Places {
            filesystem: first.map(|place| filesystem(place)).transpose()?,
            places: everywhere.then(|| places.iter().map(entry).collect()),
        })
    }
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

impl From<Space> for FileSystem {
    fn from(space: Space) -> FileSystem {
        FileSystem {
            size: space.size,
            used: space.used,
            free: space.free,
            inodes: space.inodes,
            inodes_used: space.inodes_used,
            inodes_free: space.inodes_free,
        }
    }
}

/// The objects, which are serialized one at a time.
struct Objects<'a> {
    items: &'a [Item],
    /// The members of each object.
    columns: Vec<&'static Column>,
    /// The members of each process. Empty if processes are not listed.
    process_columns: Vec<&'static Column>,
    context: RefCell<Context>,
}

/// The members of an object, or of a process that uses it. A member is null if it is not known.
struct Members<'a> {
    row: Row<'a>,
    list: &'a Objects<'a>,
}

/// Writes the objects, and the places.
///
/// # Errors
///
/// Fails if the output cannot be written to.
pub fn write(
    out: &mut impl Write,
    items: &[Item],
    columns: &[&'static Column],
    context: Context,
    places: Places,
) -> io::Result<()> {
    let is_about = |subject| move |column: &&&Column| column.subject == subject;
    let objects = Objects {
        items,
        columns: columns
            .iter()
            .filter(is_about(Subject::Object))
            .copied()
            .collect(),
        process_columns: columns
            .iter()
            .filter(is_about(Subject::Process))
            .copied()
            .collect(),
        context: RefCell::new(context),
    };
    let listing = Listing { objects, places };
    serde_json::to_writer_pretty(EscapingWriter(&mut *out), &listing)?;
    writeln!(out)
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = |item| Members {
            row: Row::from(item),
            list: self,
        };
        serializer.collect_seq(self.items.iter().map(members))
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Members { row, list } = self;
        let mut map = serializer.serialize_map(None)?;
        let is_object = !matches!(row.process, Process::Known(_));
        let columns = if is_object {
            &list.columns
        } else {
            &list.process_columns
        };
        for column in columns {
            let value = column.value(*row, &mut list.context.borrow_mut());
            map.serialize_entry(&column.json_key(), &value)?;
            // If the bytes are not UTF-8, the text has lost some of them.
            match value {
                Some(Value::Name(name))
                    if column.key == "name" && str::from_utf8(name).is_err() =>
                {
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
        if is_object && !list.process_columns.is_empty() {
            let members = |one| Members {
                row: Row {
                    item: row.item,
                    process: Process::Known(one),
                },
                list,
            };
            let uses = row.item.uses.as_deref();
            let processes = uses.map(|uses| uses.iter().map(members).collect::<Vec<_>>());
            map.serialize_entry("processes", &processes)?;
        }
        map.end()
    }
}

/// A writer for JSON that replaces characters which a terminal might interpret by `\u` escapes. They mean the same.
pub struct EscapingWriter<W>(pub W);

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // serde_json already escapes the ASCII control characters except DEL, and never splits a character between two
        // writes.
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
