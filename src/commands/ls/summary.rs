//! `ls --summary`: where the shared memory of the machine is.

use super::json::EscapingWriter;
use super::table::{GAP, display_width, truncate, write_spaces};
use crate::cli::{Color, LsArgs};
use crate::commands::STDOUT;
use crate::commands::color::Palette;
use crate::commands::denied::print_denied;
use crate::exit::print_line;
use crate::notation::size::humanized_size;
use crate::objects::summary::file_systems::FileSystem;
use crate::objects::summary::{Entry, Kind, Summary};
use crate::sys::escape::Escaped;
use crate::sys::io::stream;
use crate::sys::shm::directory::Directory;
use anyhow::Context;
use nix::sys::stat::{major, minor};
use serde::{Serialize, Serializer};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

/// Measures all shared memory, and prints one row per kind, or with --everywhere one row for each
/// other container.
/// `label_of` names the container of a process.
///
/// # Errors
///
/// Fails if `/dev/shm` or `/proc` cannot be read, or if standard output fails.
pub fn run(args: &LsArgs, label_of: &dyn Fn(i32) -> String) -> anyhow::Result<()> {
    let summary = Summary::measure(&Directory::own())?;
    let stdout = stream::stdout().context(STDOUT)?;
    let palette = Palette::new(Color::Auto, stdout.as_fd().is_terminal());
    let width = terminal_size::terminal_size_of(stdout.as_fd()).map(|(width, _)| width.0.into());
    let mut out = BufWriter::new(stdout);
    if args.json {
        write_json(&mut out, &summary, label_of).context(STDOUT)?;
    } else {
        let mut rows = rows(&summary, args.everywhere, args.bytes, label_of);
        if !args.no_header {
            let header = ["KIND", "COUNT", "SIZE", "NOTE"].map(str::to_owned);
            rows.insert(0, header);
        }
        let style = match args.no_header {
            true => anstyle::Style::new(),
            false => palette.header,
        };
        write_rows(&mut out, &rows, style, width).context(STDOUT)?;
    }
    out.flush().context(STDOUT)?;
    print_limits(&summary);
    Ok(())
}

/// Says on standard error what could not be seen.
fn print_limits(summary: &Summary) {
    if summary.is_in_container {
        print_line(
            &"this is a container, but Shmem is that of the whole machine: what is outside is in the row difference",
        );
    }
    if !summary.is_tmpfs {
        print_line(&"/dev/shm is not a tmpfs: its objects are not in shared memory");
    }
    if summary.closed_namespaces > 0 {
        let count = summary.closed_namespaces;
        let namespaces = if count == 1 {
            "namespace"
        } else {
            "namespaces"
        };
        print_line(&format!(
            "the System V segments of {count} IPC {namespaces} could not be counted"
        ));
    }
    print_denied(&summary.denied);
}

/// Returns the name of a kind in JSON, its name in the table, and what the table says about it.
fn describe(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Named => ("named", "named objects", "/dev/shm"),
        Kind::Semaphores => ("semaphores", "semaphores", "/dev/shm"),
        Kind::Directories => ("directories", "directories", "/dev/shm: files in them"),
        Kind::Unlinked => (
            "unlinked",
            "unlinked",
            "/dev/shm: removed, but still in use",
        ),
        Kind::Memfds => ("memfds", "memfds", "memfd_create(2)"),
        Kind::Anonymous => ("anonymous", "anonymous", "shared mappings without a file"),
        Kind::DriverBuffers => ("driver_buffers", "driver buffers", "GPUs and other devices"),
        Kind::SystemV => ("system_v", "System V", "ipcs -m"),
        Kind::OtherContainers => ("other_containers", "other containers", "their /dev/shm"),
        Kind::OtherTmpfs => ("other_tmpfs", "other tmpfs", ""),
        Kind::Devtmpfs => ("devtmpfs", "devtmpfs", ""),
    }
}

type Row = [String; 4];

fn rows(
    summary: &Summary,
    everywhere: bool,
    in_bytes: bool,
    label_of: &dyn Fn(i32) -> String,
) -> Vec<Row> {
    let size = |bytes: Option<u64>| match bytes {
        None => "?".to_owned(),
        Some(bytes) if in_bytes => bytes.to_string(),
        Some(bytes) => humanized_size(bytes),
    };
    let mut rows = Vec::new();
    for entry in &summary.entries {
        if everywhere && entry.kind == Kind::OtherContainers {
            rows.extend(entry.file_systems.iter().map(|one| {
                let label = one.pid.map(label_of).unwrap_or_default();
                let label = Escaped(label.as_bytes()).to_string();
                ["other container".into(), "-".into(), size(one.bytes), label]
            }));
            continue;
        }
        let count = entry.count.map_or("-".into(), |count| count.to_string());
        let label = describe(entry.kind).1.to_owned();
        rows.push([
            label,
            count,
            size(entry.bytes),
            note(entry, &size, label_of),
        ]);
    }
    let difference = summary.difference();
    let magnitude = size(Some(
        difference.unsigned_abs().try_into().unwrap_or(u64::MAX),
    ));
    let (sign, why) = match difference {
        ..0 => ("-", "swapped out, or changed meanwhile"),
        0 => ("", ""),
        1.. => ("", "not found, or not visible to you"),
    };
    let none = "-".to_owned();
    rows.push([
        "difference".into(),
        none.clone(),
        format!("{sign}{magnitude}"),
        why.into(),
    ]);
    let shmem = size(Some(summary.shmem));
    rows.push(["Shmem".into(), none, shmem, "/proc/meminfo".into()]);
    rows
}

/// The maximum number of mount points in a note.
const MAX_MOUNT_POINTS: usize = 4;

/// Returns what the table says about a kind.
fn note(
    entry: &Entry,
    size: &dyn Fn(Option<u64>) -> String,
    label_of: &dyn Fn(i32) -> String,
) -> String {
    let mut parts = Vec::new();
    match entry.kind {
        Kind::OtherTmpfs | Kind::Devtmpfs => {
            let used = entry.file_systems.iter();
            let used: Vec<_> = used.filter(|one| one.bytes != Some(0)).collect();
            let shown = used.iter().take(MAX_MOUNT_POINTS);
            parts.extend(shown.map(|one| format!("{} {}", name(one, label_of), size(one.bytes))));
            if used.len() > MAX_MOUNT_POINTS {
                let more = used.len() - MAX_MOUNT_POINTS;
                parts.push(format!("{more} more"));
            }
        }
        kind => parts.push(describe(kind).2.to_owned()),
    }
    let incomplete = match entry.kind {
        Kind::Unlinked => "may be less",
        _ => "may be more",
    };
    parts.extend(entry.is_partial.then(|| incomplete.to_owned()));
    parts.join(", ")
}

/// Names a file system by its mount point.
fn name(file_system: &FileSystem, label_of: &dyn Fn(i32) -> String) -> String {
    let Some(path) = &file_system.mount_point else {
        return "initramfs".into();
    };
    let label = |pid| format!(" of {}", Escaped(label_of(pid).as_bytes()));
    let pid = file_system.pid.map(label);
    let covered = match file_system.is_covered {
        true => " (covered)",
        false => "",
    };
    format!("{}{}{covered}", Escaped(path), pid.unwrap_or_default())
}

/// Writes the rows. The note is cut at the edge of the terminal.
fn write_rows(
    out: &mut impl Write,
    rows: &[Row],
    first_style: anstyle::Style,
    terminal_width: Option<usize>,
) -> io::Result<()> {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| display_width(&row[column]));
        widths.max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let before_note = widths.iter().map(|width| width + GAP.len()).sum();
    let mut style = first_style;
    for [kind, count, size, note] in rows {
        write!(out, "{style}{kind}")?;
        write_spaces(out, widths[0] - display_width(kind))?;
        for (cell, width) in [(count, widths[1]), (size, widths[2])] {
            write_spaces(out, GAP.len() + width - display_width(cell))?;
            out.write_all(cell.as_bytes())?;
        }
        if !note.is_empty() {
            let max_width = terminal_width.map(|width| width.saturating_sub(before_note));
            let note = max_width.map_or(&note[..], |max_width| truncate(note, max_width));
            write!(out, "{GAP}{note}")?;
        }
        writeln!(out, "{style:#}")?;
        style = anstyle::Style::new();
    }
    Ok(())
}

#[derive(Serialize)]
struct Document<'a> {
    shmem: u64,
    difference: i64,
    kinds: Kinds<'a>,
    uninspected_processes: usize,
    uncounted_ipc_namespaces: usize,
    container: bool,
}

struct Kinds<'a>(&'a [Entry], &'a dyn Fn(i32) -> String);

#[derive(Serialize)]
struct KindMembers<'a> {
    count: Option<u64>,
    bytes: Option<u64>,
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_systems: Option<Vec<FileSystemMembers<'a>>>,
}

#[derive(Serialize)]
struct FileSystemMembers<'a> {
    device: String,
    mount_point: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_point_bytes: Option<&'a [u8]>,
    covered: bool,
    pid: Option<i32>,
    place: Option<String>,
    bytes: Option<u64>,
}

fn write_json(
    out: &mut impl Write,
    summary: &Summary,
    label_of: &dyn Fn(i32) -> String,
) -> io::Result<()> {
    let document = Document {
        shmem: summary.shmem,
        difference: summary.difference().try_into().unwrap_or(i64::MIN),
        kinds: Kinds(&summary.entries, label_of),
        uninspected_processes: summary.denied.len(),
        uncounted_ipc_namespaces: summary.closed_namespaces,
        container: summary.is_in_container,
    };
    serde_json::to_writer_pretty(EscapingWriter(&mut *out), &document)?;
    writeln!(out)
}

impl Serialize for Kinds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Kinds(entries, label_of) = self;
        serializer.collect_map(entries.iter().map(|entry| {
            let file_systems = || {
                let list = entry.file_systems.iter();
                list.map(|one| file_system_members(one, label_of)).collect()
            };
            let has_file_systems = matches!(
                entry.kind,
                Kind::OtherContainers | Kind::OtherTmpfs | Kind::Devtmpfs
            );
            let members = KindMembers {
                count: entry.count,
                bytes: entry.bytes,
                partial: entry.is_partial,
                file_systems: has_file_systems.then(file_systems),
            };
            (describe(entry.kind).0, members)
        }))
    }
}

fn file_system_members<'a>(
    file_system: &'a FileSystem,
    label_of: &dyn Fn(i32) -> String,
) -> FileSystemMembers<'a> {
    let mount_point = file_system.mount_point.as_deref();
    FileSystemMembers {
        device: format!(
            "{}:{}",
            major(file_system.device),
            minor(file_system.device)
        ),
        mount_point: mount_point.map(|path| String::from_utf8_lossy(path).into()),
        mount_point_bytes: mount_point.filter(|path| str::from_utf8(path).is_err()),
        covered: file_system.is_covered,
        pid: file_system.pid,
        place: file_system.pid.map(label_of),
        bytes: file_system.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_everywhere_each_container_has_a_row() {
        let summary = Summary::measure(&Directory::own()).unwrap();
        let label_of = |pid| format!("label\n{pid}");
        let containers = summary
            .entries
            .iter()
            .find(|entry| entry.kind == Kind::OtherContainers);
        let containers = &containers.unwrap().file_systems;
        let one_row = rows(&summary, false, true, &label_of);
        let all = rows(&summary, true, true, &label_of);
        assert_eq!(all.len(), one_row.len() - 1 + containers.len());
        for (row, container) in all[8..].iter().zip(containers) {
            assert_eq!(row[0], "other container");
            assert_eq!(row[2], container.bytes.unwrap().to_string());
            assert_eq!(row[3], format!(r"label\n{}", container.pid.unwrap()));
        }
    }

    #[test]
    fn a_negative_difference_has_a_sign() {
        let summary = Summary {
            entries: Vec::new(),
            shmem: 4096,
            denied: Vec::new(),
            closed_namespaces: 0,
            is_in_container: false,
            is_tmpfs: true,
        };
        let row = |summary: &Summary| rows(summary, false, false, &|_| String::new())[0].clone();
        assert_eq!(row(&summary)[2], "4KiB");
        assert!(row(&summary)[3].starts_with("not found"));
        let mut memfds = Entry::new(Kind::Memfds, 1, 1_u64 << 20);
        memfds.is_partial = true;
        let summary = Summary {
            entries: vec![memfds],
            ..summary
        };
        let last = rows(&summary, false, false, &|_| String::new());
        assert_eq!(
            last[0],
            ["memfds", "1", "1MiB", "memfd_create(2), may be more"]
        );
        assert_eq!(last[1][2], "-1020KiB");
        assert!(last[1][3].starts_with("swapped out"));
    }

    #[test]
    fn notes_are_cut_at_the_edge_of_the_terminal() {
        let row = ["kind", "1", "2KiB", "a long note"].map(str::to_owned);
        let mut out = Vec::new();
        write_rows(&mut out, &[row], anstyle::Style::new(), Some(21)).unwrap();
        assert_eq!(out, b"kind  1  2KiB  a long\n");
    }
}
