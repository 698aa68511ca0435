//! FILTER: which objects to list or remove. The filters of `ls` and `unlink` are the same.

use crate::notation::duration::Written;
use crate::sys::process::proc;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::{PREFIX, ShmName};
use crate::sys::status::FileStatus;
use crate::sys::users;
use anyhow::anyhow;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The conditions that an object must meet, all of them. Whether it is in use is not checked here, because that needs
/// the kernel.
#[derive(Debug, Default)]
pub struct Filter {
    /// Patterns for the name.
    pub names: NameFilter,
    /// The users who must own the object. If they are several, no object matches.
    pub owners: Vec<u32>,
    /// The time that must have passed since the last change.
    pub min_age: Option<MinAge>,
    /// The number of bytes that the allocated memory must exceed.
    pub larger_than: Option<u64>,
    /// The processes that must use the object.
    pub processes: Vec<ProcessFiles>,
}

/// The part of a filter that an object does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mismatch {
    /// `--glob`.
    Name,
    /// `--owner`.
    Owner,
    /// `--larger-than`.
    Size,
    /// `--pid`.
    Process,
    /// `--older-than`. The object matches everything else, so that a sweep can count objects that are only too young.
    Age,
}

impl Filter {
    /// Returns whether the name matches.
    pub fn passes_name(&self, name: &ShmName) -> bool {
        self.passes_bytes(name.as_bytes())
    }

    /// Like [`Filter::passes_name`], for the name of an unlinked object, with its slash.
    pub fn passes_bytes(&self, name: &[u8]) -> bool {
        self.names.passes(name)
    }

    /// Returns whether the filter checks more than the name.
    pub fn needs_status(&self) -> bool {
        !self.processes.is_empty() || self.needs_stat()
    }

    fn needs_stat(&self) -> bool {
        !self.owners.is_empty() || self.min_age.is_some() || self.larger_than.is_some()
    }

    /// Returns whether everything except the name matches.
    pub fn passes_status(&self, status: &FileStatus) -> bool {
        self.status_mismatch(status).is_none()
    }

    /// Like [`Filter::passes_status`], for an object of which only the inode number is known. It does not match if
    /// the filter needs anything else.
    pub fn passes_inode(&self, inode: u64) -> bool {
        !self.needs_stat() && self.passes_process(inode)
    }

    /// Returns the first part that does not match, if any.
    pub fn mismatch(&self, name: &ShmName, status: &FileStatus) -> Option<Mismatch> {
        match self.passes_name(name) {
            true => self.status_mismatch(status),
            false => Some(Mismatch::Name),
        }
    }

    /// Returns the first part except the name that does not match, if any.
    pub fn status_mismatch(&self, status: &FileStatus) -> Option<Mismatch> {
        let is_owner = |owner: &u32| status.uid == *owner;
        let is_larger = |size| status.allocated > size;
        let is_old = |age: &MinAge| status.last_change() <= age.cutoff;
        match () {
            () if !self.owners.iter().all(is_owner) => Some(Mismatch::Owner),
            () if !self.larger_than.is_none_or(is_larger) => Some(Mismatch::Size),
            () if !self.passes_process(status.inode) => Some(Mismatch::Process),
            () if !self.min_age.as_ref().is_none_or(is_old) => Some(Mismatch::Age),
            () => None,
        }
    }

    fn passes_process(&self, inode: u64) -> bool {
        let mut processes = self.processes.iter();
        processes.all(|process| process.inodes.contains(&inode))
    }
}

/// Patterns for names. A name must match at least one pattern without `!`, if there is any, and none with `!`.
#[derive(Debug, Default)]
pub struct NameFilter {
    /// None if every name is included.
    included: Option<GlobSet>,
    /// None if no name is excluded.
    excluded: Option<GlobSet>,
}

impl NameFilter {
    /// Compiles the patterns.
    ///
    /// # Errors
    ///
    /// Fails if the patterns together are too large.
    pub fn new(patterns: &[Pattern]) -> Result<NameFilter, globset::Error> {
        let (mut included, mut excluded) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            match pattern.excludes {
                true => excluded.add(pattern.glob.clone()),
                false => included.add(pattern.glob.clone()),
            };
        }
        let has = |excludes| patterns.iter().any(|pattern| pattern.excludes == excludes);
        Ok(NameFilter {
            included: has(false).then(|| included.build()).transpose()?,
            excluded: has(true).then(|| excluded.build()).transpose()?,
        })
    }

    fn passes(&self, name: &[u8]) -> bool {
        let bare = OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name));
        let (included, excluded) = (&self.included, &self.excluded);
        let is_included = included.as_ref().is_none_or(|names| names.is_match(bare));
        is_included && !excluded.as_ref().is_some_and(|names| names.is_match(bare))
    }
}

/// The minimum age of an object, measured at the start of the program.
#[derive(Debug)]
pub struct MinAge {
    /// The minimum age as the user gave it.
    pub age: Written,
    /// The latest time of the last change, in nanoseconds since 1970.
    cutoff: i128,
}

impl MinAge {
    /// Creates a minimum age that counts back from now.
    pub fn new(age: Written) -> MinAge {
        let nanoseconds = i128::try_from(age.duration.as_nanos()).unwrap_or(i128::MAX);
        let cutoff = Timestamp::now().as_nanosecond().saturating_sub(nanoseconds);
        MinAge { age, cutoff }
    }
}

/// The objects that one process has open or mapped.
#[derive(Debug)]
pub struct ProcessFiles {
    /// The process ID.
    pub pid: i32,
    inodes: HashSet<u64>,
}

impl ProcessFiles {
    /// Inspects the process.
    ///
    /// # Errors
    ///
    /// Fails if the process does not exist or may not be inspected.
    pub fn inspect(pid: i32, directory: &Directory) -> anyhow::Result<ProcessFiles> {
        match proc::inodes_used_by(pid, directory.device()?) {
            Ok(inodes) => Ok(ProcessFiles { pid, inodes }),
            Err(error) if proc::is_gone(&error) => {
                Err(match kill(Pid::from_raw(pid), None) {
                    Err(Errno::ESRCH) => anyhow!("process {pid}: no such process"),
                    // /proc is mounted with hidepid=, is not mounted, or belongs to another PID namespace.
                    _ => anyhow!("process {pid}: may not be inspected: /proc does not show it"),
                })
            }
            Err(_) => Err(anyhow!("process {pid}: may not be inspected")),
        }
    }
}

/// A pattern that includes or excludes names.
#[derive(Debug, Clone)]
pub struct Pattern {
    glob: Glob,
    excludes: bool,
}

/// Parses a PATTERN or `!PATTERN`. It may start with a slash or `/dev/shm/`, as a NAME may.
///
/// # Errors
///
/// Fails if the pattern is malformed (an open bracket or brace), or is a path that cannot lead to an object.
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

/// Parses USER or UID. A user whose name consists of digits is preferred to the UID, as for `chown(1)`.
///
/// # Errors
///
/// Fails if there is no such user, and the text is not a number.
pub fn parse_owner(text: &str) -> Result<u32, &'static str> {
    match users::user_id(text) {
        Some(uid) => Ok(uid),
        None if text.starts_with('+') => Err("no such user"),
        None => text.parse().map_err(|_| "no such user"),
    }
}

/// Parses PID.
///
/// # Errors
///
/// Fails if the text is not a positive number, or the number is larger than any process ID.
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
    fn patterns_match_whole_names() {
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
    fn invalid_patterns_are_rejected_with_a_reason() {
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
    fn process_ids_are_positive_numbers() {
        assert_eq!(parse_pid("1"), Ok(1));
        for text in ["", "0", "-1", "+1", "x", "1.5", "2147483648"] {
            assert_eq!(parse_pid(text), Err("not a process id"), "{text}");
        }
    }

    #[test]
    fn owners_are_names_or_numbers() {
        assert_eq!(parse_owner("root"), Ok(0));
        assert_eq!(parse_owner("4000000000"), Ok(4_000_000_000));
        for text in ["", "no-such-user-here", "-1", "+1", "4294967296"] {
            assert_eq!(parse_owner(text), Err("no such user"), "{text}");
        }
    }
}
