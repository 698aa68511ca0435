//! FILTER: which objects are meant, the same for every verb.

use crate::sys::shm::name::{PREFIX, ShmName};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use nix::unistd::User;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// What an object has to be. All of it, to pass; that nobody uses it is asked of the kernel, not here.
#[derive(Debug, Default)]
pub struct Filter {
    names: Option<GlobSet>,
    other_names: GlobSet,
    owner: Option<u32>,
    /// The object was last changed at this time, or before: nanoseconds since 1970.
    last_change: Option<i128>,
}

impl Filter {
    /// Puts the parts together. Ages are measured from now on.
    ///
    /// # Errors
    ///
    /// The patterns are too large, all together.
    pub fn new(
        patterns: &[Pattern],
        owner: Option<u32>,
        older_than: Option<Duration>,
    ) -> Result<Filter, globset::Error> {
        let (mut names, mut other_names) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            match pattern.excludes {
                true => other_names.add(pattern.glob.clone()),
                false => names.add(pattern.glob.clone()),
            };
        }
        let now = Timestamp::now().as_nanosecond();
        let age = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Ok(Filter {
            names: match patterns.iter().all(|pattern| pattern.excludes) {
                true => None,
                false => Some(names.build()?),
            },
            other_names: other_names.build()?,
            owner,
            last_change: older_than.map(|duration| now.saturating_sub(age(duration))),
        })
    }

    /// Whether the name passes.
    pub fn passes_name(&self, name: &ShmName) -> bool {
        self.passes_bytes(name.as_bytes())
    }

    /// The same for the name, with its slash, of what is no object any more.
    pub fn passes_bytes(&self, name: &[u8]) -> bool {
        let bare = OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name));
        let names = self.names.as_ref();
        names.is_none_or(|names| names.is_match(bare)) && !self.other_names.is_match(bare)
    }

    /// Whether there is more to look at than the name.
    pub fn needs_metadata(&self) -> bool {
        self.owner.is_some() || self.last_change.is_some()
    }

    /// Whether all but the name passes.
    pub fn passes_metadata(&self, metadata: &Metadata) -> bool {
        self.passes_owner(metadata) && self.passes_age(metadata)
    }

    /// Why an object does not pass, if it does not.
    pub fn objection(&self, name: &ShmName, metadata: &Metadata) -> Option<&'static str> {
        match () {
            () if !self.passes_name(name) => Some("its name does not match"),
            () if !self.passes_owner(metadata) => Some("it has another owner"),
            () if !self.passes_age(metadata) => Some("it is not that old"),
            () => None,
        }
    }

    fn passes_owner(&self, metadata: &Metadata) -> bool {
        self.owner.is_none_or(|owner| metadata.uid() == owner)
    }

    fn passes_age(&self, metadata: &Metadata) -> bool {
        self.last_change
            .is_none_or(|time| changed(metadata) <= time)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &str, name: &[u8]) -> bool {
        let patterns = patterns.split(' ').map(|one| parse_pattern(one).unwrap());
        let filter = Filter::new(&patterns.collect::<Vec<_>>(), None, None).unwrap();
        filter.passes_name(&ShmName::new(OsStr::from_bytes(name)).unwrap())
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
    fn an_owner_is_a_name_or_a_number() {
        assert_eq!(parse_owner("root"), Ok(0));
        assert_eq!(parse_owner("4000000000"), Ok(4_000_000_000));
        for text in ["", "no-such-user-here", "-1", "+1", "4294967296"] {
            assert_eq!(parse_owner(text), Err("no such user"), "{text}");
        }
    }
}
