//! Finds the places that `--target` and `--everywhere` select.

use super::denied::print_denied;
use crate::exit::{Failure, Status, print_error, print_line};
use crate::objects::place::{Inhabitant, OWN_LABEL, Place, Selector};
use crate::sys::escape;
use crate::sys::process::child::pidfd;
use crate::sys::process::container::Container;
use crate::sys::process::crew::{self, Job};
use crate::sys::process::places::{Found, Groups, allow_more_descriptors, find_directories};
use crate::sys::process::rights::IdMap;
use crate::sys::process::socket::Message;
use crate::sys::process::stand_in::continue_in_child;
use crate::sys::process::target::{Target, TargetError};
use crate::sys::shm::directory::Directory;
use anyhow::Context;
use nix::unistd::{Pid, geteuid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::convert::Infallible;
use std::iter;
use std::path::Path;
use std::rc::Rc;

/// A target, and what is known about it while its directory is looked for.
struct Candidate {
    pid: i32,
    name: Option<Container>,
    users: IdMap,
    groups: IdMap,
}

impl Candidate {
    fn new(pid: i32, target: &Target) -> Candidate {
        Candidate {
            pid,
            name: Container::of(pid),
            users: target.users.clone(),
            groups: target.groups.clone(),
        }
    }

    fn label(&self) -> String {
        Place::label_of(self.pid, self.name.as_ref())
    }

    fn into_place(self, found: Found) -> Result<Place, TargetError> {
        let label = self.label();
        Ok(Place {
            directory: Directory::other(found.directory?, &format!("/dev/shm of {label}")),
            label,
            container: Some(Inhabitant {
                pid: self.pid,
                name: self.name,
                rights: found.rights,
                users: self.users,
                groups: self.groups,
            }),
        })
    }
}

/// Returns the place that `--target` selects, or our own. With `to_read`, it must be possible to list its directory.
///
/// # Errors
///
/// Fails if there is no such process or place, if it may not be entered, or if it has no usable `/dev/shm`.
pub fn find(selector: Option<&Selector>, to_read: bool) -> anyhow::Result<Place> {
    match selector {
        None => Ok(Place::own()),
        Some(Selector::Pid(pid)) => find_by_pid(*pid, to_read),
        Some(Selector::Label(label)) if label == OWN_LABEL => Ok(Place::own()),
        Some(Selector::Label(label)) => find_by_label(label, to_read),
    }
}

/// Like [`find`], for verbs that work in the place with this process. If it is not our own place, a child goes on with the
/// rights of root of the container, and this process only waits for it: a container can make the child wait for ever, but
/// not keep this process from being interrupted.
///
/// # Errors
///
/// Those of [`find`].
pub fn enter(selector: Option<&Selector>) -> anyhow::Result<Directory> {
    let mut place = find(selector, false)?;
    if let Some(container) = &place.container {
        // Whoever waits there must notice that the container has ended.
        let process = pidfd(Pid::from_raw(container.pid));
        let process = process.map_err(|errno| explain(&place.label, errno.into()))?;
        place.directory = place.directory.of_process(process);
        let parent = continue_in_child().context("cannot start a process for the container")?;
        container
            .rights
            .assume()
            .map_err(TargetError::from)
            .with_context(|| place.label.clone())?;
        parent.die_with()?;
    }
    Ok(place.directory)
}

fn find_by_pid(pid: i32, to_read: bool) -> anyhow::Result<Place> {
    let failed = |error| explain(&format!("process {pid}"), error);
    let target = Target::open(pid).map_err(failed)?;
    if target
        .sees_our_files()
        .map_err(|errno| failed(errno.into()))?
    {
        return Ok(Place::own());
    }
    let candidate = Candidate::new(pid, &target);
    let found = find_directories(iter::once(target), to_read).pop();
    let place = match found {
        Some(found) => candidate.into_place(found).map_err(failed)?,
        None => return Err(failed(TargetError::Stuck)),
    };
    own_if_same(place)
}

/// Returns our own place if it has the same directory: containers can share the `/dev/shm` of the machine.
fn own_if_same(place: Place) -> anyhow::Result<Place> {
    let own = Directory::own().status();
    let status = place.directory.status()?;
    match own.is_ok_and(|own| own.is_same_file(&status)) {
        true => Ok(Place::own()),
        false => Ok(place),
    }
}

fn find_by_label(label: &str, to_read: bool) -> anyhow::Result<Place> {
    let mut search = Search::new(to_read)?;
    let has_id = |name: &Container| name.id.as_deref() == Some(label);
    search.candidates(|candidate| {
        candidate.label() == label || candidate.name.as_ref().is_some_and(has_id)
    });
    let mut places = search.places(true);
    match (places.len(), search.failed.pop()) {
        (1, _) => own_if_same(places.remove(0)),
        (0, Some((label, error))) => Err(explain(&label, error)),
        (0, None) => {
            let problem = match search.groups.denied.is_empty() {
                true => "no such PLACE",
                false => "no such PLACE, or you may not look into it",
            };
            Err(Failure::new(
                Status::Failed,
                format!("{}: {problem}", escape::operand(label.as_ref())),
            )
            .hint("shmtool ls --everywhere shows each PLACE; a process ID works too")
            .into())
        }
        (count, _) => {
            let pids = places.iter().filter_map(|place| place.container.as_ref());
            let pids: Vec<_> = pids.map(|container| container.pid.to_string()).collect();
            let message = format!(
                "{}: {count} places have this label",
                escape::operand(label.as_ref())
            );
            Err(Failure::new(Status::Failed, message)
                .hint(format!("give one of the PIDs: {}", pids.join(", ")))
                .into())
        }
    }
}

/// Does some work with the rights of a place: in a child, unless it is our own place. Returns `None` if the child failed.
pub fn run_in<T: Serialize + DeserializeOwned>(
    place: &Place,
    work: impl FnOnce() -> T,
) -> Option<T> {
    let Some(container) = &place.container else {
        return Some(work());
    };
    let job = Job {
        kept: place.descriptors(),
        may_share: false,
        work: Box::new(|channel| {
            container.enter(channel)?;
            channel.send_value(&work())
        }),
    };
    let mut value = None;
    let receive = |_, message: Message| {
        value = message.value();
        Ok::<(), Infallible>(())
    };
    let Ok(_) = crew::run([job], receive);
    value
}

/// Returns the usage error for NAMEs with `--everywhere`.
pub fn no_names_everywhere() -> Failure {
    Failure::usage("--everywhere takes no NAME").hint("--glob NAME selects objects by their name")
}

/// Returns the places that the options of `ls` and `unlink` select. With `reports_all`, messages say which containers have
/// no usable place, and how many processes may not be inspected, so that their places are unknown. For an ordinary user
/// those are most processes. Otherwise only what can be different the next time is reported.
///
/// # Errors
///
/// Those of [`find`] and [`find_all`].
pub fn select(
    target: Option<&Selector>,
    everywhere: bool,
    reports_all: bool,
) -> anyhow::Result<Vec<Rc<Place>>> {
    let places = match everywhere {
        true => find_all(reports_all)?,
        false => vec![find(target, true)?],
    };
    Ok(places.into_iter().map(Rc::new).collect())
}

/// Returns every place on the machine, our own first if it is usable. Places that cannot be used are named on standard error.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
fn find_all(reports_all: bool) -> anyhow::Result<Vec<Place>> {
    allow_more_descriptors();
    let mut search = Search::new(true)?;
    search.candidates(|_| true);
    let own = Place::own();
    let mut places = match own.directory.status() {
        Ok(_) => vec![own],
        // This machine may have no /dev/shm, but its containers may.
        Err(error) => {
            print_error(&error.into());
            Vec::new()
        }
    };
    places.extend(search.places(false));
    for (label, error) in &search.failed {
        if reports_all || !error.is_lasting() {
            print_line(&format!("{label}: skipped: {error}"));
        }
    }
    if reports_all {
        print_denied(&search.groups.denied);
    }
    Ok(places)
}

/// A search through all containers.
struct Search {
    groups: Groups,
    to_read: bool,
    found: Vec<(Rank, Candidate, Found)>,
    /// The labels of the places that cannot be used, and why.
    failed: Vec<(String, TargetError)>,
}

/// The order in which places come. If several processes see the same directory, the one with the most rights counts:
/// otherwise, a container that mounts the directory of another one could hide that one.
type Rank = (usize, bool, i32);

impl Search {
    fn new(to_read: bool) -> anyhow::Result<Search> {
        Ok(Search {
            groups: Groups::find().context("/proc")?,
            to_read,
            found: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// Looks for the directories of the containers that `is_wanted` selects.
    fn candidates(&mut self, is_wanted: impl Fn(&Candidate) -> bool) {
        let (mut candidates, failed) = (Vec::new(), &mut self.failed);
        let targets = self.groups.groups.iter().filter_map(|group| {
            let (pid, target) = match group.open() {
                Ok(opened) => opened,
                Err(error) => {
                    let pid = group.pids[0];
                    let label = Place::label_of(pid, Container::of(pid).as_ref());
                    failed.push((label, error));
                    return None;
                }
            };
            let candidate = Candidate::new(pid, &target);
            if !is_wanted(&candidate) {
                return None;
            }
            candidates.push((group.has_init, candidate));
            Some(target)
        });
        let found = find_directories(targets, self.to_read);
        for ((has_init, candidate), found) in candidates.into_iter().zip(found) {
            let rank = (found.rights.depth(), !has_init, candidate.pid);
            self.found.push((rank, candidate, found));
        }
        // A process that has ended, or that has no /dev/shm, has no objects either.
        self.failed.retain(|(_, error)| !is_nothing(*error));
    }

    /// Returns each place once, and our own only `with_own`.
    fn places(&mut self, with_own: bool) -> Vec<Place> {
        self.found.sort_by_key(|(rank, ..)| *rank);
        let own = Directory::own().status().ok().filter(|_| !with_own);
        let mut seen: HashSet<_> = own.iter().map(|own| (own.device, own.inode)).collect();
        let mut places = Vec::new();
        for (_, candidate, found) in self.found.drain(..) {
            let label = candidate.label();
            match candidate.into_place(found) {
                Ok(place) => match place.directory.status() {
                    Ok(now) if seen.insert((now.device, now.inode)) => places.push(place),
                    // Another process has led to it already.
                    Ok(_) => {}
                    Err(_) => self.failed.push((label, TargetError::Denied)),
                },
                Err(error) if is_nothing(error) => {}
                Err(error) => self.failed.push((label, error)),
            }
        }
        places
    }
}

fn is_nothing(error: TargetError) -> bool {
    matches!(error, TargetError::NoProcess | TargetError::Missing)
}

/// Returns the error for a target that cannot be used.
fn explain(label: &str, error: TargetError) -> anyhow::Error {
    let failure = Failure::new(Status::Failed, format!("{label}: {error}"));
    match error {
        TargetError::Denied if !geteuid().is_root() => failure
            .hint("root may enter any container, and the user who started a container may enter it")
            .into(),
        TargetError::NoProcess if !Path::new("/proc/self/ns").exists() => failure
            .hint("/proc must be mounted, and show the PID namespace of the caller")
            .into(),
        _ => failure.into(),
    }
}
