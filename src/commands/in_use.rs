//! Asks the kernel whether objects are in use.

use crate::exit::print_line;
use crate::sys::error::describe_errno;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::lease::{Lease, Leases, Refusal};
use crate::sys::shm::name::ShmName;
use nix::errno::Errno;
use std::collections::BTreeMap;

/// Asks the kernel, and counts the objects for which there is no clear answer.
pub struct UseChecker {
    directory: Directory,
    /// Created when the first object is checked.
    leases: Option<Leases>,
    unclear: BTreeMap<i32, usize>,
}

impl UseChecker {
    /// Creates a checker for the objects of a directory.
    pub fn new(directory: &Directory) -> UseChecker {
        UseChecker {
            directory: directory.clone(),
            leases: None,
            unclear: BTreeMap::new(),
        }
    }

    /// Takes a lease on an object. That is possible only if the object is not in use.
    pub fn lease(&mut self, name: &ShmName) -> Result<Lease, Refusal> {
        let leases = match self.leases.take() {
            Some(leases) => leases,
            None => Leases::new(&self.directory).map_err(Refusal::Unclear)?,
        };
        self.leases.insert(leases).acquire(name)
    }

    /// Counts an object that may be in use, because the kernel gave no clear answer.
    pub fn count_unclear(&mut self, errno: Errno) {
        *self.unclear.entry(errno as i32).or_default() += 1;
    }

    /// Prints how many objects the kernel gave no clear answer for, why, and what was done with them, such as "kept".
    pub fn print_unclear(&self, outcome: &str) {
        for (&errno, &count) in &self.unclear {
            let why = reason(Errno::from_raw(errno));
            let they_are = if count == 1 { "it is" } else { "they are" };
            let objects = count_objects(count);
            print_line(&format!(
                "{objects} {outcome}: cannot tell whether {they_are} in use ({why})"
            ));
        }
    }
}

/// Returns the system's message for an error, in lower case for the middle of a sentence.
pub fn reason(errno: Errno) -> String {
    let mut text = describe_errno(errno);
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Returns `1 object`, `2 objects`, and so on.
pub fn count_objects(count: usize) -> String {
    match count {
        1 => "1 object".to_owned(),
        _ => format!("{count} objects"),
    }
}
