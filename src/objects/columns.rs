//! What is known of an object: one table, from which the help, the header, the cells and the JSON are made.

use crate::notation::mode;
use crate::objects::item::Item;
use crate::sys::escape::Escaped;
use crate::sys::process::proc::{Rights, Use};
use humansize::{BINARY, FormatSizeOptions, SizeFormatter};
use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::os::unix::fs::MetadataExt;

/// One thing to know of an object.
#[derive(Debug)]
pub struct Column {
    /// What `-o` and JSON call it; the header is the same in capitals.
    pub key: &'static str,
    /// What it is, for the help.
    pub help: &'static str,
    /// Whether the table shows it without being asked for it.
    pub is_default: bool,
    /// Numbers line up on the right.
    pub is_number: bool,
    value: for<'a> fn(&'a Item, &mut Context) -> Option<Value<'a>>,
}

macro_rules! column {
    ($key:literal, $default:ident $align:ident, $help:literal, $value:expr) => {
        Column {
            key: $key,
            help: $help,
            is_default: column!(@ $default),
            is_number: column!(@ $align),
            value: $value,
        }
    };
    (@ shown) => { true };
    (@ asked) => { false };
    (@ number) => { true };
    (@ text) => { false };
}

/// All of them, in the order of the table and the JSON.
pub const COLUMNS: [Column; 15] = [
    column!("name", shown text, "the NAME", |item, _| Some(Value::Name(&item.name))),
    column!("type", asked text, "memory or semaphore", |item, _| {
        let is_semaphore = item.name.starts_with(b"/sem.");
        Some(Value::Word(if is_semaphore { "semaphore" } else { "memory" }))
    }),
    column!("size", shown number, "the size in bytes", |item, _| Some(Value::Bytes(item.size()))),
    column!("used", shown number, "the memory it really takes, in bytes", |item, _| {
        item.used().map(Value::Bytes)
    }),
    column!("mode", shown text, "who may read and write it", |item, _| {
        item.metadata().map(|stat| Value::Mode(stat.mode()))
    }),
    column!("owner", shown text, "the user who owns it", |item, context| {
        item.metadata().map(|stat| Value::Id(context.user(stat.uid()), stat.uid()))
    }),
    column!("uid", asked number, "the owner's number", |item, _| {
        item.metadata().map(|stat| Value::Number(stat.uid().into()))
    }),
    column!("group", asked text, "its group", |item, context| {
        item.metadata().map(|stat| Value::Id(context.group(stat.gid()), stat.gid()))
    }),
    column!("gid", asked number, "the group's number", |item, _| {
        item.metadata().map(|stat| Value::Number(stat.gid().into()))
    }),
    column!("inode", asked number, "its number in the file system", |item, _| {
        Some(Value::Number(item.inode()))
    }),
    column!("links", asked number, "how many names it has", |item, _| {
        item.metadata().map(|stat| Value::Number(stat.nlink()))
    }),
    column!("modified", asked text, "when it was last written to", |item, _| {
        item.metadata().map(|stat| Value::Time(stat.mtime(), stat.mtime_nsec()))
    }),
    column!("changed", asked text, "when its mode, owner or names last changed", |item, _| {
        item.metadata().map(|stat| Value::Time(stat.ctime(), stat.ctime_nsec()))
    }),
    column!("age", shown number, "the time since the later of the two, in seconds", |item, context| {
        item.age(context.now).map(Value::Age)
    }),
    column!("processes", asked text, "who has it mapped or open", |item, _| {
        item.uses.as_deref().map(Value::Uses)
    }),
];

impl Column {
    /// The column of this key.
    ///
    /// # Errors
    ///
    /// There is none; the keys that there are.
    pub fn of(key: &str) -> Result<&'static Column, String> {
        static ALL: [Column; COLUMNS.len()] = COLUMNS;
        ALL.iter().find(|column| column.key == key).ok_or_else(|| {
            let keys: Vec<_> = ALL.iter().map(|column| column.key).collect();
            format!("not a column: {} are", keys.join(" "))
        })
    }

    /// Adds the cell of an object, as people read it, to a text.
    pub fn write(&self, text: &mut String, item: &Item, context: &mut Context, style: Style) {
        match (self.value)(item, context) {
            None => text.push('?'),
            Some(Value::Bytes(bytes)) if !style.bytes => text.push_str(context.size(bytes)),
            Some(value) => write!(text, "{}", Cell(value, style)).expect("a String takes all"),
        }
    }
}

/// What a column holds.
enum Value<'a> {
    Name(&'a [u8]),
    Word(&'static str),
    Bytes(u64),
    Number(u64),
    Mode(u32),
    Id(Option<String>, u32),
    Time(i64, i64),
    Age(u64),
    Uses(&'a [Use]),
}

/// How people want to read it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Sizes in bytes, not humanised.
    pub bytes: bool,
    /// Ids as numbers.
    pub numeric: bool,
}

struct Cell<'a>(Value<'a>, Style);

impl Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell(value, style) = self;
        match value {
            Value::Name(bytes) => Escaped(bytes).fmt(f),
            Value::Word(word) => f.write_str(word),
            Value::Bytes(number) | Value::Number(number) => number.fmt(f),
            Value::Mode(mode) => f.write_str(&mode::show(*mode)),
            Value::Id(Some(name), _) if !style.numeric => Escaped(name.as_bytes()).fmt(f),
            Value::Id(_, id) => id.fmt(f),
            Value::Time(seconds, _) => f.write_str(rfc3339(*seconds, 0).as_deref().unwrap_or("?")),
            Value::Age(seconds) => write_age(f, *seconds),
            Value::Uses([]) => f.write_str("-"),
            Value::Uses(uses) => {
                let uses: Vec<_> = uses.iter().map(use_cell).collect();
                f.write_str(&uses.join(", "))
            }
        }
    }
}

/// As `1234 python3 (mapped rw, open r)`.
fn use_cell(one: &Use) -> String {
    let how = [("mapped", one.mapped), ("open", one.open)]
        .into_iter()
        .filter_map(|(how, rights)| Some(format!("{how} {}", shown(rights?))))
        .collect::<Vec<_>>();
    format!("{} {} ({})", one.pid, Escaped(&one.command), how.join(", "))
}

fn shown(rights: Rights) -> &'static str {
    match (rights.read, rights.write) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "-",
    }
}

/// An object as JSON. What is not known is null; processes are there if they were asked for.
#[derive(Debug)]
pub struct Json<'a>(pub &'a Item, pub &'a std::cell::RefCell<Context>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json(item, context) = self;
        let mut map = serializer.serialize_map(None)?;
        for column in &COLUMNS {
            if column.key == "processes" && item.uses.is_none() {
                continue;
            }
            map.serialize_entry(column.key, &(column.value)(item, &mut context.borrow_mut()))?;
            // Only where the name is not UTF-8, and the text has lost something.
            if column.key == "name" && str::from_utf8(&item.name).is_err() {
                map.serialize_entry("name_bytes", &item.name)?;
            }
        }
        map.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Name(bytes) => String::from_utf8_lossy(bytes).serialize(serializer),
            Value::Word(word) => word.serialize(serializer),
            Value::Bytes(number) | Value::Number(number) | Value::Age(number) => {
                number.serialize(serializer)
            }
            Value::Mode(mode) => format!("{:04o}", mode & 0o7777).serialize(serializer),
            Value::Id(name, _) => name.serialize(serializer),
            Value::Time(seconds, nanoseconds) => {
                rfc3339(*seconds, *nanoseconds).serialize(serializer)
            }
            Value::Uses(uses) => serializer.collect_seq(uses.iter().map(JsonUse::of)),
        }
    }
}

#[derive(Serialize)]
struct JsonUse {
    pid: i32,
    command: String,
    mapped: Option<&'static str>,
    open: Option<&'static str>,
}

impl JsonUse {
    fn of(one: &Use) -> JsonUse {
        JsonUse {
            pid: one.pid,
            command: String::from_utf8_lossy(&one.command).into_owned(),
            mapped: one.mapped.map(shown),
            open: one.open.map(shown),
        }
    }
}

/// What the cells of all objects are made with: one clock, and each user, group and size looked up once.
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
    /// The user's name. One that cannot be looked up has none, as for `ls`.
    fn user(&mut self, uid: u32) -> Option<String> {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map(|user| user.name)
        };
        self.users.entry(uid).or_insert_with(look_up).clone()
    }

    fn size(&mut self, bytes: u64) -> &str {
        let humanise = || humanised(bytes).to_string();
        self.sizes.entry(bytes).or_insert_with(humanise)
    }

    fn group(&mut self, gid: u32) -> Option<String> {
        let look_up = || {
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            group.map(|group| group.name)
        };
        self.groups.entry(gid).or_insert_with(look_up).clone()
    }
}

/// A number of bytes in powers of 1024.
pub fn humanised(bytes: u64) -> impl Display {
    let options = FormatSizeOptions::from(BINARY).space_after_value(false);
    SizeFormatter::new(bytes, options)
}

fn rfc3339(seconds: i64, nanoseconds: i64) -> Option<String> {
    // Anybody can give a file a time beyond the years that a date can have.
    Timestamp::new(seconds, nanoseconds.try_into().ok()?)
        .ok()
        .map(|time| time.to_string())
}

/// An age in the largest unit that it fills once.
fn write_age(f: &mut fmt::Formatter<'_>, seconds: u64) -> fmt::Result {
    match seconds {
        0..60 => write!(f, "{seconds}s"),
        60..3600 => write!(f, "{}m", seconds / 60),
        3600..86400 => write!(f, "{}h", seconds / 3600),
        _ => write!(f, "{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_one_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (86399, "23h"),
            (86400, "1d"),
            (400 * 86400, "400d"),
            (u64::MAX, "213503982334601d"),
        ] {
            let cell = Cell(Value::Age(seconds), Style::default());
            assert_eq!(cell.to_string(), text);
        }
    }

    #[test]
    fn sizes_are_told_in_powers_of_1024() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (4096, "4KiB"),
            (1536, "1.50KiB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(humanised(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_time_beyond_all_years_is_none() {
        assert_eq!(rfc3339(0, 5), Some("1970-01-01T00:00:00.000000005Z".into()));
        assert_eq!(rfc3339(i64::MAX, 0), None);
    }

    #[test]
    fn a_use_is_told_without_what_a_terminal_acts_on() {
        let rights = |read, write| Some(Rights { read, write });
        let one = Use {
            pid: 7,
            command: b"ev\x1bil".to_vec(),
            mapped: rights(true, true),
            open: rights(true, false),
        };
        assert_eq!(use_cell(&one), r"7 ev\u{1b}il (mapped rw, open r)");
    }
}
