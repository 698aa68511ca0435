//! The columns of `ls`. One table defines the help, the header, the cells and the JSON.

use crate::notation::size::humanized_size;
use crate::objects::item::{Item, Kind};
use crate::objects::place::OWN_LABEL;
use crate::objects::value::{Cell, Style, Value};
use crate::sys::process::proc::{Rights, Use};
use crate::sys::users;
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

/// A property of an object, or of a process that uses it.
#[derive(Debug)]
pub struct Column {
    /// The name of the column for `-o`. The header is the same in upper case; JSON has `_` instead of `-`.
    pub key: &'static str,
    /// The description for the help.
    pub help: &'static str,
    /// Whether the column describes the object or the process.
    pub subject: Subject,
    /// Where the column appears.
    pub shown: Shown,
    /// Whether cells are aligned to the right.
    pub is_number: bool,
    value: for<'a> fn(Row<'a>, &mut Context) -> Option<Value<'a>>,
}

/// What a column describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The object.
    Object,
    /// A process that uses the object. In JSON, such columns are in the list `processes`.
    Process,
}

/// Where a column appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In the table by default, in `-o all`, and in JSON.
    Always,
    /// In `-o all` and in JSON.
    InAll,
    /// Only if `-o` names it, because other processes may notice the lease that is taken to find it out.
    IfNamed,
    /// With `--everywhere`, like [`Shown::Always`]; otherwise if `-o` names it.
    Everywhere,
    /// With `--everywhere`, like [`Shown::InAll`]; otherwise if `-o` names it.
    EverywhereInAll,
    /// In JSON with `--everywhere`.
    EverywhereInJson,
    /// As `InAll`, but only in a list of memory without a name.
    IfNameless,
    /// Only in JSON.
    InJson,
    /// In JSON, and if `-o` names it. An undocumented column from version 0.1.
    Legacy,
}

/// The subject of a row in the table: an object, and a process that uses it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The object.
    pub item: &'a Item,
    /// The process.
    pub process: Process<'a>,
}

/// The process of a row.
#[derive(Debug, Clone, Copy)]
pub enum Process<'a> {
    /// Not known: the object may be in use by a process that is not visible, or nobody looked for processes.
    Unknown,
    /// No process uses the object.
    Nobody,
    /// This process uses the object.
    Known(&'a Use),
}

impl<'a> From<&'a Item> for Row<'a> {
    fn from(item: &'a Item) -> Row<'a> {
        Row {
            item,
            process: Process::Unknown,
        }
    }
}

impl<'a> Row<'a> {
    fn process_value(self, value: impl FnOnce(&'a Use) -> Option<Value<'a>>) -> Option<Value<'a>> {
        match self.process {
            Process::Unknown => None,
            Process::Nobody => Some(Value::Absent),
            Process::Known(usage) => value(usage),
        }
    }
}

macro_rules! column {
    ($subject:ident $shown:ident $align:ident, $key:literal, $help:literal, $value:expr) => {
        Column {
            key: $key,
            help: $help,
            subject: Subject::$subject,
            shown: Shown::$shown,
            is_number: column!(@ $align),
            value: $value,
        }
    };
    (@ number) => { true };
    (@ text) => { false };
}

/// All columns, in the order of the table and the JSON.
pub static COLUMNS: [Column; 30] = [
    column!(Object Always text, "name", "the name of the object", |row, _| Some(Value::Name(&row.item.name))),
    column!(Object Everywhere text, "place", "the container that the object belongs to, or - for the /dev/shm of the caller", |row, _| {
        row.item.label().map(|label| Value::Name(label.as_bytes()))
    }),
    column!(Object EverywhereInAll number, "place-pid", "the ID of a process in the container", |row, _| {
        match row.item.label() {
            Some(OWN_LABEL) => Some(Value::Absent),
            _ => row.item.place_pid().map(|pid| Value::Number(pid.unsigned_abs().into())),
        }
    }),
    column!(Object EverywhereInJson number, "place-uid", "the user ID of the owner inside of the container", |row, _| {
        let (container, status) = (row.item.container()?, row.item.status()?);
        container.users.inside(status.uid).map(|uid| Value::Number(uid.into()))
    }),
    column!(Object EverywhereInJson number, "place-gid", "the group ID inside of the container", |row, _| {
        let (container, status) = (row.item.container()?, row.item.status()?);
        container.groups.inside(status.gid).map(|gid| Value::Number(gid.into()))
    }),
    column!(
        Object InAll text, "type",
        "memory or semaphore; with --nameless unlinked, memfd, anonymous or sysv",
        |row, _| Some(Value::Word(type_of(row.item)))
    ),
    column!(Object Always number, "size", "the size in bytes", |row, _| {
        row.item.size().map(Value::Bytes)
    }),
    column!(Object Always number, "allocated", "the allocated memory in bytes", |row, _| {
        row.item.allocated().map(Value::Bytes)
    }),
    column!(Object Legacy number, "used", "the same as allocated", |row, _| {
        row.item.allocated().map(Value::Bytes)
    }),
    column!(Object Always text, "mode", "the permissions", |row, _| {
        row.item.status().map(|stat| Value::Mode(stat.mode))
    }),
    column!(Object Always text, "owner", "the user who owns the object", |row, context| {
        row.item.status().map(|stat| Value::Id(context.user_name(stat.uid), stat.uid))
    }),
    column!(Object InAll number, "uid", "the user ID of the owner", |row, _| {
        row.item.status().map(|stat| Value::Number(stat.uid.into()))
    }),
    column!(Object InAll text, "group", "the group", |row, context| {
        row.item.status().map(|stat| Value::Id(context.group_name(stat.gid), stat.gid))
    }),
    column!(Object InAll number, "gid", "the group ID", |row, _| {
        row.item.status().map(|stat| Value::Number(stat.gid.into()))
    }),
    column!(Object InAll number, "inode", "the inode number", |row, _| {
        Some(Value::Number(row.item.inode()))
    }),
    column!(Object InAll number, "links", "the number of hard links", |row, _| {
        row.item.status().map(|stat| Value::Number(stat.links))
    }),
    column!(Object InAll text, "modified", "when the object was last written to", |row, _| {
        row.item.status().map(|stat| Value::Time(stat.modified))
    }),
    column!(Object InAll text, "changed", "when the mode, owner or names last changed", |row, _| {
        row.item.status().map(|stat| Value::Time(stat.changed))
    }),
    column!(
        Object Always number, "age", "seconds since modified or changed, whichever is later",
        |row, context| row.item.age(context.now).map(Value::Age)
    ),
    column!(Object IfNamed text, "in-use", "whether any process uses the object, even in another container", |row, _| {
        row.item.in_use.map(Value::Bool)
    }),
    column!(Object IfNameless number, "shmid", "with --nameless, the ID of a System V segment", |row, _| match row.item.kind {
        Kind::SystemV { .. } => Some(Value::Number(row.item.inode())),
        _ => Some(Value::Absent),
    }),
    column!(Object IfNameless number, "key", "with --nameless, the key of a System V segment", |row, _| match row.item.kind {
        Kind::SystemV { key } => key.map(Value::Key),
        _ => Some(Value::Absent),
    }),
    column!(Process Always number, "pid", "the process ID", |row, _| {
        row.process_value(|usage| Some(Value::Number(usage.pid.unsigned_abs().into())))
    }),
    column!(Process Always text, "user", "the effective user of the process", |row, context| {
        row.process_value(|usage| usage.identity.uid.map(|uid| Value::Id(context.user_name(uid), uid)))
    }),
    column!(Process InJson number, "uid", "the effective user ID of the process", |row, _| {
        row.process_value(|usage| usage.identity.uid.map(|uid| Value::Number(uid.into())))
    }),
    column!(Process Always text, "access", "how the process uses the object", |row, _| {
        row.process_value(|usage| Some(Value::Access(usage)))
    }),
    column!(Process InJson text, "private", "whether the process has a private mapping", |row, _| {
        row.process_value(|usage| Some(Value::Bool(usage.private.is_some())))
    }),
    column!(Process InJson text, "mapped", "the access rights of the mappings", |row, _| {
        row.process_value(|usage| Some(Value::Rights(combined_mapping_rights(usage))))
    }),
    column!(Process InJson text, "open", "the access rights of the descriptors", |row, _| {
        row.process_value(|usage| Some(Value::Rights(usage.open)))
    }),
    column!(Process Always text, "command", "the command line of the process", |row, _| {
        row.process_value(|usage| match &usage.identity.command[..] {
            [] => None,
            arguments => Some(Value::Command(arguments)),
        })
    }),
];

fn type_of(item: &Item) -> &'static str {
    match item.kind {
        Kind::Object if item.name.starts_with(b"/sem.") => "semaphore",
        Kind::Object => "memory",
        Kind::Unlinked => "unlinked",
        Kind::Memfd => "memfd",
        Kind::Anonymous => "anonymous",
        Kind::SystemV { .. } => "sysv",
    }
}

/// Combines the access rights of all mappings. Write access to a private mapping does not count, because stores to it
/// do not reach the object.
fn combined_mapping_rights(usage: &Use) -> Option<Rights> {
    let read = |rights: Option<Rights>| rights.is_some_and(|rights| rights.read);
    (usage.shared.is_some() || usage.private.is_some()).then(|| Rights {
        read: read(usage.shared) || read(usage.private),
        write: usage.shared.is_some_and(|rights| rights.write),
    })
}

impl Column {
    /// Returns the columns that the help of `-o` lists.
    pub fn offered() -> impl Iterator<Item = &'static Column> {
        COLUMNS.iter().filter(|column| {
            !matches!(
                column.shown,
                Shown::InJson | Shown::EverywhereInJson | Shown::Legacy
            )
        })
    }

    /// Finds a column that `-o` accepts by its key, in upper or lower case.
    pub fn lookup(key: &str) -> Option<&'static Column> {
        COLUMNS
            .iter()
            .filter(|column| !matches!(column.shown, Shown::InJson | Shown::EverywhereInJson))
            .find(|column| column.key.eq_ignore_ascii_case(key))
    }

    /// Returns the key in JSON.
    pub fn json_key(&self) -> Cow<'static, str> {
        match self.key.contains('-') {
            true => self.key.replace('-', "_").into(),
            false => self.key.into(),
        }
    }

    /// Returns the value for a row, or None if it is not known.
    pub fn value<'a>(&self, row: impl Into<Row<'a>>, context: &mut Context) -> Option<Value<'a>> {
        (self.value)(row.into(), context)
    }

    /// Appends the cell for a row to `text`.
    pub fn write_cell<'a>(
        &self,
        text: &mut String,
        row: impl Into<Row<'a>>,
        context: &mut Context,
        style: Style,
    ) {
        match self.value(row, context) {
            None => text.push('?'),
            Some(Value::Bytes(bytes)) if !style.bytes => {
                text.push_str(context.humanized_size(bytes))
            }
            Some(value) => {
                write!(text, "{}", Cell(value, style)).expect("writing to a String does not fail")
            }
        }
    }
}

/// State shared by all rows: the current time, and caches of user names, group names and formatted sizes.
#[derive(Debug)]
pub struct Context {
    /// The current time, in nanoseconds since 1970.
    pub now: i128,
    users: HashMap<u32, Option<Rc<str>>>,
    groups: HashMap<u32, Option<Rc<str>>>,
    /// Most objects have one of a few sizes, and formatting a size takes longer than looking it up.
    sizes: HashMap<u64, String>,
}

impl Default for Context {
    fn default() -> Context {
        Context {
            now: Timestamp::now().as_nanosecond(),
            users: HashMap::new(),
            groups: HashMap::new(),
            sizes: HashMap::new(),
        }
    }
}

impl Context {
    /// Returns None if the uid has no name; the caller then prints the number, as `ls` does.
    pub fn user_name(&mut self, uid: u32) -> Option<Rc<str>> {
        let look_up = || users::user_name(uid).map(Rc::from);
        self.users.entry(uid).or_insert_with(look_up).clone()
    }

    fn humanized_size(&mut self, bytes: u64) -> &str {
        let humanize = || humanized_size(bytes);
        self.sizes.entry(bytes).or_insert_with(humanize)
    }

    fn group_name(&mut self, gid: u32) -> Option<Rc<str>> {
        let look_up = || users::group_name(gid).map(Rc::from);
        self.groups.entry(gid).or_insert_with(look_up).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024_with_at_most_one_decimal() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (4096, "4KiB"),
            (1536, "1.5KiB"),
            (5000, "4.9KiB"),
            (64 << 20, "64MiB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(humanized_size(bytes), text);
        }
    }
}
