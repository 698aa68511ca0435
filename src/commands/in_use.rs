//! Asks the kernel whether objects are in use.

use crate::exit::print_line;
use crate::objects::place::Place;
use crate::sys::error::describe_errno;
use crate::sys::process::crew::{self, Channel, Job};
use crate::sys::process::socket::Message;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::lease::{Lease, Leases, Refusal};
use crate::sys::shm::name::ShmName;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Asks the kernel about the objects of one directory.
pub struct UseChecker {
    directory: Directory,
    /// Created when the first object is checked.
    leases: Option<Leases>,
}

impl UseChecker {
    /// Creates a checker for the objects of a directory.
    pub fn new(directory: &Directory) -> UseChecker {
        UseChecker {
            directory: directory.clone(),
            leases: None,
        }
    }

    /// Takes a lease on an object. That is possible only if the object is not in use.
    pub fn lease<'a>(&mut self, name: &'a ShmName) -> Result<Lease<'a>, Refusal> {
        let leases = match self.leases.take() {
            Some(leases) => leases,
            None => Leases::new(&self.directory).map_err(Refusal::Unclear)?,
        };
        self.leases.insert(leases).acquire(name)
    }

    fn state(&mut self, name: &ShmName) -> State {
        match self.lease(name) {
            Ok(_) => State::Unused,
            Err(Refusal::InUse) => State::InUse,
            Err(Refusal::Changed) => State::Changed,
            Err(Refusal::Unclear(errno)) => State::Unclear(errno as i32),
        }
    }
}

/// Whether an object is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No process has it open or mapped.
    Unused,
    /// A process has it open or mapped.
    InUse,
    /// It does not exist any more.
    Changed,
    /// The kernel gave no clear answer, but this error number.
    Unclear(i32),
}

/// Asks the kernel about the objects of several places. In the place of another container, a child asks with the rights
/// of that container.
pub fn states(queries: &[(&Place, Vec<ShmName>)]) -> Vec<Vec<State>> {
    let unanswered = State::Unclear(Errno::ETIMEDOUT as i32);
    let mut states: Vec<Vec<State>> = Vec::with_capacity(queries.len());
    let mut elsewhere = Vec::new();
    for (index, (place, names)) in queries.iter().enumerate() {
        let mut checker = UseChecker::new(&place.directory);
        states.push(match &place.container {
            None => names.iter().map(|name| checker.state(name)).collect(),
            Some(container) => {
                if !names.is_empty() {
                    elsewhere.push((index, container));
                }
                vec![unanswered; names.len()]
            }
        });
    }
    let jobs = elsewhere.iter().map(|(index, container)| {
        let (place, names) = &queries[*index];
        Job {
            kept: place.descriptors(),
            may_share: container.rights.are_ours(),
            work: Box::new(move |channel: &Channel| {
                container.enter(channel)?;
                let mut checker = UseChecker::new(&place.directory);
                names
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, name)| channel.send_value(&(index, checker.state(name))))
            }),
        }
    });
    let receive = |job: usize, message: Message| {
        let answer: Option<(usize, State)> = message.value();
        if let Some((name, state)) = answer {
            states[elsewhere[job].0][name] = state;
        }
        Ok::<(), Infallible>(())
    };
    let Ok(_) = crew::run(jobs, receive);
    states
}

/// Counts the objects for which the kernel gave no clear answer, by error number.
#[derive(Debug, Default)]
pub struct UnclearCount(BTreeMap<i32, usize>);

impl UnclearCount {
    /// Counts an object.
    pub fn add(&mut self, errno: i32) {
        *self.0.entry(errno).or_default() += 1;
    }

    /// Prints how many objects there are, why, and what was done with them, such as "kept".
    pub fn print(&self, outcome: &str) {
        for (&errno, &count) in &self.0 {
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
