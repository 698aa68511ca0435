//! Who uses objects, as the kernel sees it, and where it does not say.

use crate::exit::print_line;
use crate::sys::error::describe_errno;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::lease::{Lease, Leases, Refusal};
use crate::sys::shm::name::ShmName;
use nix::errno::Errno;
use std::collections::BTreeMap;

/// Asks, and counts the objects of which there is no answer.
pub struct Judge {
    directory: Directory,
    /// Once something is asked.
    leases: Option<Leases>,
    unclear: BTreeMap<i32, usize>,
}

impl Judge {
    /// Judges the objects of a directory.
    pub fn new(directory: &Directory) -> Judge {
        Judge {
            directory: directory.clone(),
            leases: None,
            unclear: BTreeMap::new(),
        }
    }

    /// The lease of an object that nobody uses.
    pub fn ask(&mut self, name: &ShmName) -> Result<Lease, Refusal> {
        let leases = match self.leases.take() {
            Some(leases) => leases,
            None => Leases::new(&self.directory).map_err(Refusal::Unclear)?,
        };
        self.leases.insert(leases).acquire(name)
    }

    /// Counts an object that may be used, for all that is known.
    pub fn note_unclear(&mut self, errno: Errno) {
        *self.unclear.entry(errno as i32).or_default() += 1;
    }

    /// Prints how many objects could not be judged, why, and what became of them: they were "kept", for example.
    pub fn tell_unclear(&self, fate: &str) {
        for (&errno, &count) in &self.unclear {
            let why = reason(Errno::from_raw(errno));
            let they_are = if count == 1 { "it is" } else { "they are" };
            let objects = objects(count);
            print_line(&format!(
                "{objects} {fate}: cannot tell whether {they_are} in use ({why})"
            ));
        }
    }
}

/// The system's words for an error, for the middle of a sentence.
pub fn reason(errno: Errno) -> String {
    let mut text = describe_errno(errno);
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// A number of objects, in words.
pub fn objects(count: usize) -> String {
    match count {
        1 => "1 object".to_owned(),
        _ => format!("{count} objects"),
    }
}
