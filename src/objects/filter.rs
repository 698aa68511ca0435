//! FILTER: which objects are meant, the same for every verb.

use crate::sys::process::proc;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::{PREFIX, ShmName};
use anyhow::anyhow;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, User};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// What an object must be, all of it, to pass. Whether it is in use is asked of the kernel, not here.
#[derive(Debug, Default)]
pub struct Filter {
    /// Patterns for its name.
    pub names: NameFilter,
    /// The user who owns it.
    pub owner: Option<u32>,
    /// How long ago it was last changed, at least.
    pub min_age: Option<MinAge>,
    /// It has more bytes of memory than this.
    pub larger_than: Option<u64>,
    /// A process that uses it.
    pub process: Option<ProcessFiles>,
}

/// Which part of a filter an object does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// `--glob`.
    Name,
    /// `--owner`.
    Owner,
    /// `--larger-than`.
    Size,
    /// `--pid`.
    Process,
    /// `--older-than`. Everything else passes: that is how a sweep counts what is only too young.
    Age,
}

impl Filter {
    /// Whether the name passes.
    pub fn passes_name(&self, name: &ShmName) -> bool {
        self.passes_bytes(name.as_bytes())
    }

    /// The same for the name, with its slash, of what is no object any more.
    pub fn passes_bytes(&self, name: &[u8]) -> bool {
        self.names.passes(name)
    }

    /// Whether the name alone does not decide.
    pub fn needs_metadata(&self) -> bool {
        self.process.is_some() || self.needs_stat()
    }

    fn needs_stat(&self) -> bool {
        self.owner.is_some() || self.min_age.is_some() || self.larger_than.is_some()
    }

    /// Whether everything but the name passes.
    pub fn passes_metadata(&self, metadata: &Metadata) -> bool {
        self.metadata_mismatch(metadata).is_none()
    }

    /// The same for an object of which only the inode number is known. What cannot be known does not pass.
    pub fn passes_inode(&self, inode: u64) -> bool {
        !self.needs_stat() && self.passes_process(inode)
    }

    /// What does not pass, if anything.
    pub fn mismatch(&self, name: &ShmName, metadata: &Metadata) -> Option<Mismatch> {
        match self.passes_name(name) {
            true => self.metadata_mismatch(metadata),
            false => Some(Mismatch::Name),
        }
    }

    /// What does not pass, apart from the name.
    pub fn metadata_mismatch(&self, metadata: &Metadata) -> Option<Mismatch> {
        let is_owner = |owner| metadata.uid() == owner;
        let is_larger = |size| metadata.blocks() * 512 > size;
        let is_old = |age: &MinAge| changed(metadata) <= age.last_change;
        match () {
            () if !self.owner.is_none_or(is_owner) => Some(Mismatch::Owner),
            () if !self.larger_than.is_none_or(is_larger) => Some(Mismatch::Size),
            () if !self.passes_process(metadata.ino()) => Some(Mismatch::Process),
            () if !self.min_age.as_ref().is_none_or(is_old) => Some(Mismatch::Age),
            () => None,
        }
    }

    fn passes_process(&self, inode: u64) -> bool {
        let process = self.process.as_ref();
        process.is_none_or(|process| process.inodes.contains(&inode))
    }
}

/// Patterns: a name passes if any of those without `!` matches, and none of those with it.
#[derive(Debug, Default)]
pub struct NameFilter {
    included: Option<GlobSet>,
    excluded: GlobSet,
}

impl NameFilter {
    /// Compiles the patterns.
    ///
    /// # Errors
    ///
    /// The patterns are too large, all together.
    pub fn new(patterns: &[Pattern]) -> Result<NameFilter, globset::Error> {
        let (mut included, mut excluded) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            match pattern.excludes {
                true => excluded.add(pattern.glob.clone()),
                false => included.add(pattern.glob.clone()),
            };
        }
        Ok(NameFilter {
            included: match patterns.iter().all(|pattern| pattern.excludes) {
                true => None,
                false => Some(included.build()?),
            },
            excluded: excluded.build()?,
        })
    }

    fn passes(&self, name: &[u8]) -> bool {
        let bare = OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name));
        let included = self.included.as_ref();
        included.is_none_or(|names| names.is_match(bare)) && !self.excluded.is_match(bare)
    }
}

/// The age that an object must have, measured from the start of the program.
#[derive(Debug)]
pub struct MinAge {
    /// As it was given.
    pub age: Duration,
    /// Nanoseconds since 1970.
    last_change: i128,
}

impl MinAge {
    /// Measures from now.
    pub fn new(age: Duration) -> MinAge {
        let nanoseconds = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        let last_change = Timestamp::now().as_nanosecond().saturating_sub(nanoseconds);
        MinAge { age, last_change }
    }
}

/// The objects that one process has open or mapped.
#[derive(Debug)]
pub struct ProcessFiles {
    /// Its id.
    pub pid: i32,
    inodes: HashSet<u64>,
}

impl ProcessFiles {
    /// Looks at the process, once.
    ///
    /// # Errors
    ///
    /// There is no such process, or it may not be inspected.
    pub fn of(pid: i32, directory: &Directory) -> anyhow::Result<ProcessFiles> {
        match proc::inodes_used_by(pid, directory.device()?) {
            Ok(inodes) => Ok(ProcessFiles { pid, inodes }),
            Err(error) if proc::is_gone(&error) => {
                Err(match kill(Pid::from_raw(pid), None) {
                    Err(Errno::ESRCH) => anyhow!("process {pid}: no such process"),
                    // Mounted with hidepid=, or not mounted, or that of another PID namespace.
                    _ => anyhow!("process {pid}: may not be inspected: /proc does not show it"),
                })
            }
            Err(_) => Err(anyhow!("process {pid}: may not be inspected")),
        }
    }
}

/// When an object was last modified, or its mode, owner or names last changed, whichever is later: in
/// nanoseconds since 1970.
pub fn changed(metadata: &Metadata) -> i128 {
    let time = |seconds, nanoseconds| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    time(metadata.mtime(), metadata.mtime_nsec()).max(time(metadata.ctime(), metadata.ctime_nsec()))
}

/// What names look like that are meant, or that are not.
#[derive(Debug, Clone)]
pub struct Pattern {
    glob: Glob,
    excludes: bool,
}

/// Reads a PATTERN for names, or `!PATTERN`. A slash or `/dev/shm/` may stand before it, as before a NAME.
///
/// # Errors
///
/// A bracket or brace that is not closed; a path that leads to no object.
pub fn parse_pattern(text: &str) -> Result<Pattern, String> {
    let (excludes, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let text = match text.strip_prefix(PREFIX) {
        Some("") => return Err(format!("not a PATTERN: nothing follows {PREFIX}")),
        Some(rest) if rest.contains('/') => {
            return Err(format!(
                r#"not a PATTERN: no "/" is allowed after {PREFIX}"#
            ));
        }
        Some(rest) => rest,
        None => text.strip_prefix('/').unwrap_or(text),
    };
    let glob = GlobBuilder::new(text)
        .backslash_escape(true)
        .build()
        .map_err(|error| format!("not a PATTERN: {}", error.kind()))?;
    Ok(Pattern { glob, excludes })
}

/// Reads USER or UID. A name of digits comes before the number, as for `chown(1)`.
///
/// # Errors
///
/// There is no such user, and it is no number.
pub fn parse_owner(text: &str) -> Result<u32, &'static str> {
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ if text.starts_with('+') => Err("no such user"),
        _ => text.parse().map_err(|_| "no such user"),
    }
}

/// Reads PID.
///
/// # Errors
///
/// It is not a number above 0, or larger than any process id.
pub fn parse_pid(text: &str) -> Result<i32, &'static str> {
    let is_positive = |pid: &i32| *pid > 0 && text.starts_with(|c: char| c.is_ascii_digit());
    let pid = text.parse().ok().filter(is_positive);
    pid.ok_or("not a process id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &str, name: &[u8]) -> bool {
        let patterns = patterns.split(' ').map(|one| parse_pattern(one).unwrap());
        let filter = NameFilter::new(&patterns.collect::<Vec<_>>()).unwrap();
        filter.passes(&[b"/", name].concat())
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name) in [
            ("*", &b"job-1"[..]),
            ("*", b".hidden"),
            ("*", b"\xff\n\x1b"),
            ("/job-*", b"job-1"),
            ("/dev/shm/job-*", b"job-1"),
            ("!/dev/shm/job-*", b"task"),
            ("job-?", b"job-1"),
            ("job-[0-9]*", b"job-17"),
            ("{job,task}-1", b"task-1"),
            (r"a\*", b"a*"),
            ("**", b"x"),
            ("größe*", "größe 数".as_bytes()),
            ("!job-*", b"task"),
            ("a* b* !*-kept", b"b-1"),
            (r"\!x", b"!x"),
        ] {
            assert!(matches(pattern, name), "{pattern}");
        }
        for (pattern, name) in [
            ("job", &b"job-1"[..]),
            ("*-1", b"job-12"),
            ("Job-*", b"job-1"),
            (r"a\*", b"ab"),
            ("//job", b"job"),
            ("!job-*", b"job-1"),
            ("!/dev/shm/job-*", b"job-1"),
            ("a* b* !*-kept", b"b-kept"),
            ("a* !b*", b"c"),
            ("", b"job"),
        ] {
            assert!(!matches(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for pattern in [
            "[",
            "{a",
            "a]}",
            "\\",
            "/dev/shm/",
            "!/dev/shm/a/b",
            "/dev/shm//a",
        ] {
            let error = parse_pattern(pattern).map(|_| ()).unwrap_err();
            assert!(error.starts_with("not a PATTERN: "), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_process_id_is_a_positive_number() {
        assert_eq!(parse_pid("1"), Ok(1));
        for text in ["", "0", "-1", "+1", "x", "1.5", "2147483648"] {
            assert_eq!(parse_pid(text), Err("not a process id"), "{text}");
        }
    }

    #[test]
    fn an_owner_is_a_name_or_a_number() {
        assert_eq!(parse_owner("root"), Ok(0));
        assert_eq!(parse_owner("4000000000"), Ok(4_000_000_000));
        for text in ["", "no-such-user-here", "-1", "+1", "4294967296"] {
            assert_eq!(parse_owner(text), Err("no such user"), "{text}");
        }
    }
}
