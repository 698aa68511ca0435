//! A place: a `/dev/shm` that belongs to a container, or our own.

use crate::sys::process::container::Container;
use crate::sys::process::crew::Channel;
use crate::sys::process::rights::{IdMap, Rights, RightsError};
use crate::sys::shm::directory::Directory;
use nix::errno::Errno;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// The label of our own place.
pub const OWN_LABEL: &str = "-";

/// A directory of objects, and the container that it belongs to.
#[derive(Debug)]
pub struct Place {
    /// The name for people: the short ID of the container, `pid:1234`, or [`OWN_LABEL`].
    pub label: String,
    /// The directory.
    pub directory: Directory,
    /// The container. None for our own place.
    pub container: Option<Inhabitant>,
}

/// What is known about the container that a place belongs to.
#[derive(Debug)]
pub struct Inhabitant {
    /// The ID of a process that sees this directory as `/dev/shm`.
    pub pid: i32,
    /// The name of the container.
    pub name: Option<Container>,
    /// The rights with which the directory must be used.
    pub rights: Rc<Rights>,
    /// The user IDs of the container.
    pub users: IdMap,
    /// The group IDs of the container.
    pub groups: IdMap,
}

impl Inhabitant {
    /// Takes on the rights of the container, in a child that works there.
    ///
    /// # Errors
    ///
    /// `EPERM` if we may not do that; otherwise those of [`Rights::assume`].
    pub fn enter(&self, channel: &Channel) -> nix::Result<()> {
        self.rights.assume().map_err(|error| match error {
            RightsError::NothingMapped => Errno::EPERM,
            RightsError::Os(errno) => errno,
        })?;
        channel.die_with_parent()
    }
}

/// The value of `--target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A process.
    Pid(i32),
    /// The label of a place.
    Label(String),
}

/// Parses a PID, or a PLACE as `ls --everywhere` prints it.
///
/// # Errors
///
/// Fails if the text is empty or a number that is not a process ID.
pub fn parse_selector(text: &str) -> Result<Selector, &'static str> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix("pid:").unwrap_or(text).parse() {
        _ if text.is_empty() => Err("neither a process ID nor a PLACE"),
        // The ID of a container, short or full, can consist of digits. No process ID is that long.
        _ if is_number && [12, 64].contains(&text.len()) => Ok(Selector::Label(text.to_owned())),
        Ok(pid) if pid > 0 && !text.starts_with('+') => Ok(Selector::Pid(pid)),
        Ok(_) => Err("not a process ID"),
        Err(_) if is_number => Err("not a process ID"),
        Err(_) => Ok(Selector::Label(text.to_owned())),
    }
}

impl Place {
    /// Returns the `/dev/shm` that this process sees.
    pub fn own() -> Place {
        Place {
            label: OWN_LABEL.to_owned(),
            directory: Directory::own(),
            container: None,
        }
    }

    /// Returns whether this is our own place.
    pub fn is_own(&self) -> bool {
        self.container.is_none()
    }

    /// The descriptors that a child needs to work in the place.
    pub fn descriptors(&self) -> Vec<i32> {
        let rights = self
            .container
            .iter()
            .flat_map(|one| one.rights.descriptors());
        let directory = self.directory.descriptor();
        rights.chain(directory.map(|fd| fd.as_raw_fd())).collect()
    }

    /// Returns the label of the place that a process belongs to.
    pub fn label_of(pid: i32, container: Option<&Container>) -> String {
        match container.and_then(Container::short_id) {
            Some(id) => id.to_owned(),
            None => format!("pid:{pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_processes_or_labels() {
        for (text, expected) in [
            ("1234", Ok(Selector::Pid(1234))),
            ("pid:1234", Ok(Selector::Pid(1234))),
            ("-", Ok(Selector::Label("-".into()))),
            ("web1", Ok(Selector::Label("web1".into()))),
            ("99999999999", Err("not a process ID")),
            ("123456789012", Ok(Selector::Label("123456789012".into()))),
            ("000000001234", Ok(Selector::Label("000000001234".into()))),
            (&"1".repeat(64), Ok(Selector::Label("1".repeat(64)))),
            ("0", Err("not a process ID")),
            ("-1", Err("not a process ID")),
            ("+1", Err("not a process ID")),
            ("", Err("neither a process ID nor a PLACE")),
        ] {
            assert_eq!(parse_selector(text), expected, "{text}");
        }
    }
}
