//! The values of columns, and how the table and JSON format them.

use crate::notation::mode;
use crate::sys::escape::Escaped;
use crate::sys::process::proc::{Rights, Use};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

/// The value of a column for one object or process.
#[derive(Debug)]
pub enum Value<'a> {
    /// The name of an object, which may contain any bytes.
    Name(&'a [u8]),
    /// A fixed word.
    Word(&'static str),
    /// Yes or no.
    Bool(bool),
    /// A number of bytes.
    Bytes(u64),
    /// Any other number.
    Number(u64),
    /// The key of a System V segment.
    Key(u32),
    /// The type and permissions of a file.
    Mode(u32),
    /// A user or group: its name, if it has one, and its number.
    Id(Option<Rc<str>>, u32),
    /// A point in time, in nanoseconds since 1970.
    Time(i128),
    /// An age in seconds.
    Age(u64),
    /// How a process uses the object.
    Access(&'a Use),
    /// The access rights of a descriptor or mapping, if the process has one.
    Rights(Option<Rights>),
    /// The command line of a process: its arguments, which may contain any bytes.
    Command(&'a [Vec<u8>]),
    /// There is none: no process uses the object, or only other kinds of memory have the property.
    Absent,
}

/// How the table formats values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether sizes are in bytes instead of humanized.
    pub bytes: bool,
    /// Whether users and groups are numbers instead of names.
    pub numeric: bool,
}

/// A value as the table formats it.
#[derive(Debug)]
pub struct Cell<'a>(pub Value<'a>, pub Style);

impl Display for Cell<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Cell(value, style) = self;
        match value {
            Value::Name(bytes) => Escaped(bytes).fmt(f),
            Value::Word(word) => f.write_str(word),
            Value::Bool(value) => f.write_str(if *value { "yes" } else { "no" }),
            Value::Bytes(number) | Value::Number(number) => number.fmt(f),
            Value::Key(key) => write!(f, "{key:#010x}"),
            Value::Mode(mode) => f.write_str(&mode::format(*mode)),
            Value::Id(Some(name), _) if !style.numeric => Escaped(name.as_bytes()).fmt(f),
            Value::Id(_, id) => id.fmt(f),
            Value::Time(time) => f.write_str(
                rfc3339(time.div_euclid(SECOND) * SECOND)
                    .as_deref()
                    .unwrap_or("?"),
            ),
            Value::Age(seconds) => write_age(f, *seconds),
            Value::Access(usage) => f.write_str(&access(usage)),
            Value::Rights(rights) => f.write_str(rights.map_or("-", letters)),
            Value::Command(arguments) => {
                for (index, argument) in arguments.iter().enumerate() {
                    f.write_str(if index > 0 { " " } else { "" })?;
                    Escaped(argument).fmt(f)?;
                }
                Ok(())
            }
            Value::Absent => f.write_str("-"),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Name(bytes) => String::from_utf8_lossy(bytes).serialize(serializer),
            Value::Word(word) => word.serialize(serializer),
            Value::Bool(value) => value.serialize(serializer),
            Value::Bytes(number) | Value::Number(number) | Value::Age(number) => {
                number.serialize(serializer)
            }
            Value::Key(key) => key.serialize(serializer),
            Value::Mode(mode) => format!("{:04o}", mode & 0o7777).serialize(serializer),
            Value::Id(name, _) => name.as_deref().serialize(serializer),
            Value::Time(time) => rfc3339(*time).serialize(serializer),
            Value::Access(usage) => access(usage).serialize(serializer),
            Value::Rights(rights) => rights.map(letters).serialize(serializer),
            Value::Command(arguments) => {
                let text = |argument| String::from_utf8_lossy(argument);
                serializer.collect_seq(arguments.iter().map(|argument| text(argument)))
            }
            Value::Absent => serializer.serialize_none(),
        }
    }
}

/// Formats how a process uses an object, such as `mapped rw, mapped r private, open r`.
fn access(usage: &Use) -> String {
    let ways = [
        ("mapped ", usage.shared, ""),
        ("mapped ", usage.private, " private"),
        ("open ", usage.open, ""),
    ];
    let ways = ways
        .into_iter()
        .filter_map(|(before, rights, after)| Some([before, letters(rights?), after].concat()));
    ways.collect::<Vec<_>>().join(", ")
}

fn letters(rights: Rights) -> &'static str {
    match (rights.read, rights.write) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "-",
    }
}

/// The number of nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;

fn rfc3339(time: i128) -> Option<String> {
    // Anybody can set the time of a file to a year that does not fit a Timestamp.
    Timestamp::from_nanosecond(time)
        .ok()
        .map(|time| time.to_string())
}

/// Formats an age in the largest unit of which it has at least one.
fn write_age(f: &mut Formatter<'_>, seconds: u64) -> fmt::Result {
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
    fn ages_have_one_unit() {
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
    fn times_out_of_range_are_none() {
        assert_eq!(rfc3339(5), Some("1970-01-01T00:00:00.000000005Z".into()));
        assert_eq!(rfc3339(i128::from(i64::MAX) * SECOND), None);
    }

    #[test]
    fn access_lists_mappings_and_descriptors() {
        let rights = |read, write| Some(Rights { read, write });
        let usage = Use {
            pid: 7,
            identity: Default::default(),
            shared: rights(true, true),
            private: rights(false, false),
            open: rights(true, false),
        };
        assert_eq!(access(&usage), "mapped rw, mapped - private, open r");
    }

    #[test]
    fn control_characters_in_commands_are_escaped() {
        let arguments = [b"ev\x1bil".to_vec(), b"-x".to_vec(), b"a b\n".to_vec()];
        let cell = Cell(Value::Command(&arguments), Style::default());
        assert_eq!(cell.to_string(), r"ev\u{1b}il -x a b\n");
    }
}
