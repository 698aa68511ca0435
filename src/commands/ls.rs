//! `ls`: what is in shared memory.

use super::STDOUT;
use crate::cli::LsArgs;
use crate::exit::Report;
use crate::mode;
use crate::sys::dev_shm::{self, Space};
use crate::sys::name::ShmName;
use crate::sys::stream;
use anyhow::Context as _;
use humansize::{BINARY, FormatSizeOptions, format_size};
use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use unicode_width::UnicodeWidthStr;

/// Lists the objects, sorted by name.
///
/// # Errors
///
/// `/dev/shm` cannot be read, standard output fails; those of single NAMEs go to the report.
pub fn run(args: &LsArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut objects = if args.names.is_empty() {
        all(args.all)?
    } else {
        named(&args.names, report)
    };
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));

    let stdout = stream::stdout().context(STDOUT)?;
    let on_terminal = stdout.as_fd().is_terminal();
    let mut out = BufWriter::with_capacity(64 << 10, stdout);
    if args.json {
        let space = dev_shm::space().context(dev_shm::PATH)?;
        write_json(&mut out, &objects, space)
    } else if args.only_names {
        write_names(&mut out, &objects, on_terminal)
    } else {
        write_table(&mut out, &objects)
    }
    .and_then(|()| out.flush())
    .context(STDOUT)
}

type Object = (ShmName, Metadata);

fn all(semaphores_too: bool) -> anyhow::Result<Vec<Object>> {
    dev_shm::objects()
        .and_then(|objects| {
            let wanted = |object: &io::Result<Object>| match object {
                Ok((name, _)) => semaphores_too || !name.is_semaphore(),
                Err(_) => true,
            };
            objects.filter(wanted).collect()
        })
        .context(dev_shm::PATH)
}

fn named(names: &[ShmName], report: &mut Report) -> Vec<Object> {
    let mut objects = Vec::with_capacity(names.len());
    for name in names {
        match dev_shm::stat(name) {
            Ok(metadata) => objects.push((name.clone(), metadata)),
            Err(error) => report.note(Err(error.into())),
        }
    }
    objects
}

fn write_names(out: &mut impl Write, objects: &[Object], on_terminal: bool) -> io::Result<()> {
    for (name, _) in objects {
        if on_terminal {
            writeln!(out, "{name}")?;
        } else {
            out.write_all(name.as_bytes())?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// One column of the table.
struct Column {
    header: &'static str,
    is_number: bool,
    cell: fn(&Object, &mut Context) -> String,
}

const COLUMNS: [Column; 6] = [
    Column {
        header: "NAME",
        is_number: false,
        cell: |(name, _), _| name.to_string(),
    },
    Column {
        header: "SIZE",
        is_number: true,
        cell: |(_, stat), _| humanised(stat.len()),
    },
    Column {
        header: "USED",
        is_number: true,
        cell: |(_, stat), _| humanised(used(stat)),
    },
    Column {
        header: "MODE",
        is_number: false,
        cell: |(_, stat), _| mode::show(stat.mode()),
    },
    Column {
        header: "OWNER",
        is_number: false,
        cell: |(_, stat), context| {
            context
                .user(stat.uid())
                .unwrap_or_else(|| stat.uid().to_string())
        },
    },
    Column {
        header: "AGE",
        is_number: true,
        cell: |(_, stat), context| age(stat.mtime().max(stat.ctime()), context.now),
    },
];

fn write_table(out: &mut impl Write, objects: &[Object]) -> io::Result<()> {
    let mut context = Context::default();
    let headers = COLUMNS.map(|column| column.header.to_owned());
    let cells = |object| {
        COLUMNS
            .each_ref()
            .map(|column| (column.cell)(object, &mut context))
    };
    let rows: Vec<_> = std::iter::once(headers)
        .chain(objects.iter().map(cells))
        .collect();
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    for row in &rows {
        for (i, ((cell, width), column)) in row.iter().zip(widths).zip(&COLUMNS).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            // Counted in columns of the terminal: a wide character takes two.
            let padding = width - cell.width();
            match column.is_number {
                true => write!(out, "{gap}{:padding$}{cell}", "")?,
                false => write!(out, "{gap}{cell}{:padding$}", "")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Everything that is known, as the manual page documents it.
#[derive(Serialize)]
struct Listing<'a> {
    objects: Vec<Entry<'a>>,
    filesystem: FileSystem,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: Cow<'a, str>,
    /// Only where the name is not UTF-8, and `name` has lost something.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<&'a [u8]>,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    used: u64,
    mode: String,
    uid: u32,
    owner: Option<String>,
    gid: u32,
    group: Option<String>,
    inode: u64,
    links: u64,
    modified: Option<String>,
    changed: Option<String>,
}

#[derive(Serialize)]
struct FileSystem {
    size: u64,
    used: u64,
    free: u64,
}

fn write_json(out: &mut impl Write, objects: &[Object], space: Space) -> io::Result<()> {
    let mut context = Context::default();
    let objects = objects
        .iter()
        .map(|object| entry(object, &mut context))
        .collect();
    let Space { size, used, free } = space;
    serde_json::to_writer_pretty(
        Printable(&mut *out),
        &Listing {
            objects,
            filesystem: FileSystem { size, used, free },
        },
    )?;
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

fn entry<'a>((name, stat): &'a Object, context: &mut Context) -> Entry<'a> {
    let text = String::from_utf8_lossy(name.as_bytes());
    Entry {
        name_bytes: matches!(text, Cow::Owned(_)).then(|| name.as_bytes()),
        name: text,
        kind: if name.is_semaphore() {
            "semaphore"
        } else {
            "memory"
        },
        size: stat.len(),
        used: used(stat),
        mode: format!("{:04o}", stat.mode() & 0o7777),
        uid: stat.uid(),
        owner: context.user(stat.uid()),
        gid: stat.gid(),
        group: context.group(stat.gid()),
        inode: stat.ino(),
        links: stat.nlink(),
        modified: rfc3339(stat.mtime(), stat.mtime_nsec()),
        changed: rfc3339(stat.ctime(), stat.ctime_nsec()),
    }
}

/// What the cells of all objects are made with: one clock, and each user and group looked up once.
struct Context {
    now: i64,
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Default for Context {
    fn default() -> Context {
        let now = Timestamp::now().as_second();
        Context {
            now,
            users: HashMap::new(),
            groups: HashMap::new(),
        }
    }
}

impl Context {
    /// The user's name. One that cannot be looked up has none, as for `ls`.
    fn user(&mut self, uid: u32) -> Option<String> {
        let look_up = || {
            User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .map(|user| user.name)
        };
        self.users.entry(uid).or_insert_with(look_up).clone()
    }

    fn group(&mut self, gid: u32) -> Option<String> {
        let look_up = || {
            Group::from_gid(Gid::from_raw(gid))
                .ok()
                .flatten()
                .map(|group| group.name)
        };
        self.groups.entry(gid).or_insert_with(look_up).clone()
    }
}

/// The memory that an object really takes, in bytes: `stat(2)` counts in blocks of 512.
fn used(stat: &Metadata) -> u64 {
    stat.blocks() * 512
}

fn humanised(bytes: u64) -> String {
    format_size(
        bytes,
        FormatSizeOptions::from(BINARY).space_after_value(false),
    )
}

fn rfc3339(seconds: i64, nanoseconds: i64) -> Option<String> {
    // Anybody can give a file a time beyond the years that a date can have.
    Timestamp::new(seconds, nanoseconds.try_into().ok()?)
        .ok()
        .map(|time| time.to_string())
}

/// The seconds since the object was last changed in any way, in the largest unit that it fills once. A
/// time in the future is no age.
fn age(changed: i64, now: i64) -> String {
    let seconds = now.saturating_sub(changed).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
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
            (-5, "0s"),
            (i64::MIN, "0s"),
        ] {
            assert_eq!(age(0, seconds), text);
        }
        assert_eq!(age(i64::MIN, i64::MAX), "106751991167300d");
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
            assert_eq!(humanised(bytes), text);
        }
    }

    #[test]
    fn a_time_beyond_all_years_is_none() {
        assert_eq!(rfc3339(0, 5), Some("1970-01-01T00:00:00.000000005Z".into()));
        assert_eq!(rfc3339(i64::MAX, 0), None);
    }
}
