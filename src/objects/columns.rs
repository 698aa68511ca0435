//! What is known of an object: one table, from which the help, the header, the cells and the JSON are made.

use crate::notation::size::humanized_size;
use crate::objects::item::Item;
use crate::objects::value::{Cell, Style, Value};
use crate::sys::process::proc::{Rights, Use};
use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;

/// One thing to know of an object, or of a process that uses it.
#[derive(Debug)]
pub struct Column {
    /// What `-o` calls it; the header is the same in capitals, and JSON has `_` for `-`.
    pub key: &'static str,
    /// What it is, for the help.
    pub help: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// Where it appears.
    pub shown: Shown,
    /// Numbers line up on the right.
    pub is_number: bool,
    value: for<'a> fn(Row<'a>, &mut Context) -> Option<Value<'a>>,
}

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The object.
    Object,
    /// A process that uses it. In JSON these are the members of the list `processes`.
    Process,
}

/// Where a column appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In the table without being asked for, in `-o all`, and in JSON.
    Always,
    /// In `-o all` and in JSON.
    InAll,
    /// Only if `-o` names it, because others may notice how it is found out.
    IfNamed,
    /// In JSON.
    InJson,
    /// In JSON, and if `-o` names it, as in version 0.1. It is not documented.
    Old,
}

/// What a row of the table is about: an object, and one process that uses it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The object.
    pub item: &'a Item,
    /// The process.
    pub process: Process<'a>,
}

/// A process that uses an object.
#[derive(Debug, Clone, Copy)]
pub enum Process<'a> {
    /// Somebody who cannot be seen; or nobody has asked.
    Unknown,
    /// There is none.
    Nobody,
    /// This one.
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
    fn of_process(self, value: impl FnOnce(&'a Use) -> Option<Value<'a>>) -> Option<Value<'a>> {
        match self.process {
            Process::Unknown => None,
            Process::Nobody => Some(Value::Nobody),
            Process::Known(one) => value(one),
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

/// All of them, in the order of the table and the JSON.
pub static COLUMNS: [Column; 24] = [
    column!(Object Always text, "name", "the NAME", |row, _| Some(Value::Name(&row.item.name))),
    column!(Object InAll text, "type", "memory or semaphore", |row, _| {
        let is_semaphore = row.item.name.starts_with(b"/sem.");
        Some(Value::Word(if is_semaphore { "semaphore" } else { "memory" }))
    }),
    column!(Object Always number, "size", "the size in bytes", |row, _| {
        Some(Value::Bytes(row.item.size()))
    }),
    column!(Object Always number, "allocated", "the memory allocated for it, in bytes", |row, _| {
        row.item.allocated().map(Value::Bytes)
    }),
    column!(Object Old number, "used", "the same as allocated", |row, _| {
        row.item.allocated().map(Value::Bytes)
    }),
    column!(Object Always text, "mode", "who may read and write it", |row, _| {
        row.item.metadata().map(|stat| Value::Mode(stat.mode()))
    }),
    column!(Object Always text, "owner", "the user who owns it", |row, context| {
        row.item.metadata().map(|stat| Value::Id(context.user(stat.uid()), stat.uid()))
    }),
    column!(Object InAll number, "uid", "the owner's number", |row, _| {
        row.item.metadata().map(|stat| Value::Number(stat.uid().into()))
    }),
    column!(Object InAll text, "group", "its group", |row, context| {
        row.item.metadata().map(|stat| Value::Id(context.group(stat.gid()), stat.gid()))
    }),
    column!(Object InAll number, "gid", "the group's number", |row, _| {
        row.item.metadata().map(|stat| Value::Number(stat.gid().into()))
    }),
    column!(Object InAll number, "inode", "its number in the file system", |row, _| {
        Some(Value::Number(row.item.inode()))
    }),
    column!(Object InAll number, "links", "how many names it has", |row, _| {
        row.item.metadata().map(|stat| Value::Number(stat.nlink()))
    }),
    column!(Object InAll text, "modified", "when it was last written to", |row, _| {
        row.item.metadata().map(|stat| Value::Time(stat.mtime(), stat.mtime_nsec()))
    }),
    column!(Object InAll text, "changed", "when its mode, owner or names last changed", |row, _| {
        row.item.metadata().map(|stat| Value::Time(stat.ctime(), stat.ctime_nsec()))
    }),
    column!(
        Object Always number, "age", "the time since the later of the two, in seconds",
        |row, context| row.item.age(context.now).map(Value::Age)
    ),
    column!(Object IfNamed text, "in-use", "whether any process anywhere uses it", |row, _| {
        row.item.in_use.map(Value::Truth)
    }),
    column!(Process Always number, "pid", "the id of a process that uses it", |row, _| {
        row.of_process(|one| Some(Value::Number(one.pid.unsigned_abs().into())))
    }),
    column!(Process Always text, "user", "the user of the process", |row, context| {
        row.of_process(|one| one.identity.uid.map(|uid| Value::Id(context.user(uid), uid)))
    }),
    column!(Process InJson number, "uid", "the user's number", |row, _| {
        row.of_process(|one| one.identity.uid.map(|uid| Value::Number(uid.into())))
    }),
    column!(Process Always text, "access", "how the process uses it", |row, _| {
        row.of_process(|one| Some(Value::Access(one)))
    }),
    column!(Process InJson text, "private", "whether it has a private mapping", |row, _| {
        row.of_process(|one| Some(Value::Truth(one.private.is_some())))
    }),
    column!(Process InJson text, "mapped", "the rights of its mappings", |row, _| {
        row.of_process(|one| Some(Value::Rights(mapped(one))))
    }),
    column!(Process InJson text, "open", "the rights of its descriptors", |row, _| {
        row.of_process(|one| Some(Value::Rights(one.open)))
    }),
    column!(Process Always text, "command", "the command line of the process", |row, _| {
        row.of_process(|one| match &one.identity.command[..] {
            [] => None,
            arguments => Some(Value::Command(arguments)),
        })
    }),
];

/// The rights of all mappings together. What is stored into a private mapping does not reach the object.
fn mapped(one: &Use) -> Option<Rights> {
    let read = |rights: Option<Rights>| rights.is_some_and(|rights| rights.read);
    (one.shared.is_some() || one.private.is_some()).then(|| Rights {
        read: read(one.shared) || read(one.private),
        write: one.shared.is_some_and(|rights| rights.write),
    })
}

impl Column {
    /// The columns that `-o` offers.
    pub fn offered() -> impl Iterator<Item = &'static Column> {
        COLUMNS
            .iter()
            .filter(|column| !matches!(column.shown, Shown::InJson | Shown::Old))
    }

    /// The column that `-o` calls so, in capitals or not.
    pub fn of(key: &str) -> Option<&'static Column> {
        COLUMNS
            .iter()
            .filter(|column| column.shown != Shown::InJson)
            .find(|column| column.key.eq_ignore_ascii_case(key))
    }

    /// What JSON calls it.
    pub fn json_key(&self) -> Cow<'static, str> {
        match self.key.contains('-') {
            true => self.key.replace('-', "_").into(),
            false => self.key.into(),
        }
    }

    /// What it holds. None is not known.
    pub fn value<'a>(&self, row: impl Into<Row<'a>>, context: &mut Context) -> Option<Value<'a>> {
        (self.value)(row.into(), context)
    }

    /// Adds the cell of a row, as people read it, to a text.
    pub fn write<'a>(
        &self,
        text: &mut String,
        row: impl Into<Row<'a>>,
        context: &mut Context,
        style: Style,
    ) {
        match self.value(row, context) {
            None => text.push('?'),
            Some(Value::Bytes(bytes)) if !style.bytes => text.push_str(context.size(bytes)),
            Some(value) => write!(text, "{}", Cell(value, style)).expect("a String takes all"),
        }
    }
}

/// State shared by all rows: the current time, and caches of user names, group names and formatted sizes.
#[derive(Debug)]
pub struct Context {
    /// In nanoseconds since 1970.
    pub now: i128,
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
    /// Most objects are of a few sizes, and to make a text of one takes longer than to find it.
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
    pub fn user(&mut self, uid: u32) -> Option<String> {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map(|user| user.name)
        };
        self.users.entry(uid).or_insert_with(look_up).clone()
    }

    fn size(&mut self, bytes: u64) -> &str {
        let humanize = || humanized_size(bytes);
        self.sizes.entry(bytes).or_insert_with(humanize)
    }

    fn group(&mut self, gid: u32) -> Option<String> {
        let look_up = || {
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            group.map(|group| group.name)
        };
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
