//! Who uses objects, as the kernel sees it, and where it does not say.

use crate::exit::tell;
use crate::sys::error::words;
use crate::sys::shm::lease::{Lease, Leases, Refusal};
use crate::sys::shm::name::ShmName;
use nix::errno::Errno;
use std::collections::BTreeMap;

/// Asks, and counts the objects of which there is no answer.
#[derive(Default)]
pub struct Judge {
    /// Once something is asked.
    leases: Option<Leases>,
    unclear: BTreeMap<i32, usize>,
}

impl Judge {
    /// The lease of an object that nobody uses.
    pub fn ask(&mut self, name: &ShmName) -> Result<Lease, Refusal> {
        let leases = match self.leases.take() {
            Some(leases) => leases,
            None => Leases::new().map_err(Refusal::Unclear)?,
        };
        self.leases.insert(leases).ask(name)
    }

    /// Counts an object that may be used, for all that is known.
    pub fn note_unclear(&mut self, errno: Errno) {
        *self.unclear.entry(errno as i32).or_default() += 1;
    }

    /// Says of how many objects there is no answer, and why.
    pub fn tell_unclear(&self) {
        for (&errno, &count) in &self.unclear {
            let why = words(Errno::from_raw(errno));
            let objects = objects(count);
            tell(format!(
                "shmtool: {objects} taken for used, because the kernel does not say: {why}"
            ));
        }
    }
}

/// A number of objects, in words.
pub fn objects(count: usize) -> String {
    match count {
        1 => "1 object".to_owned(),
        _ => format!("{count} objects"),
    }
}
