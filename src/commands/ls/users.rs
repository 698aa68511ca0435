//! Finds the users of objects: the processes that `/proc` shows. If it shows none, the kernel is asked.

use crate::commands::denied::print_denied;
use crate::commands::in_use::{self, State};
use crate::objects::item::Item;
use crate::objects::place::Place;
use crate::sys::error::Error;
use crate::sys::process::proc::Holders;
use crate::sys::shm::name::ShmName;
use anyhow::Context;
use std::borrow::Borrow;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

/// What to find out about objects.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// The processes that use each object.
    pub processes: bool,
    /// Whether each object is in use.
    pub in_use: bool,
}

/// Finds the users of the objects in these places.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn look_up(
    items: &mut [Item],
    places: &[Rc<Place>],
    query: Query,
    everywhere: bool,
) -> anyhow::Result<()> {
    let mut holders = match query.processes {
        true => Some(holders(places)?),
        false => None,
    };
    if let Some(holders) = &mut holders {
        for item in &mut *items {
            let held = holders.held.remove(&item.file());
            item.uses = Some(held.map_or_else(Vec::new, |held| held.uses));
        }
    }
    let has_no_process = |item: &Item| item.uses.as_ref().is_some_and(Vec::is_empty);
    let to_check = items
        .iter_mut()
        .filter(|item| query.in_use || has_no_process(item));
    ask_kernel(to_check.collect());
    if let Some(holders) = &holders {
        let has_unseen_user = |item: &&mut Item| has_no_process(item) && item.in_use != Some(false);
        let unseen = items.iter_mut().filter(has_unseen_user);
        // With --everywhere, the search for places has reported them already.
        if unseen.map(|item| item.uses = None).count() > 0 && !everywhere {
            print_denied(&holders.denied);
        }
    }
    Ok(())
}

/// Asks the kernel whether the objects are in use.
///
/// If another shmtool asks about the same object, it holds the lease for some microseconds and looks like a user. So if
/// an object is in use but no process that uses it is visible, the kernel is asked again.
fn ask_kernel(mut items: Vec<&mut Item>) {
    const PAUSES: [u64; 3] = [1, 3, 9];
    let mut pauses = PAUSES.into_iter();
    while !items.is_empty() {
        let states = states(&items);
        for (item, state) in items.iter_mut().zip(states) {
            item.in_use = match state {
                State::Unused => Some(false),
                State::InUse => Some(true),
                State::Changed | State::Unclear(_) => None,
            };
        }
        items.retain(|item| {
            item.in_use == Some(true) && item.uses.as_ref().is_none_or(Vec::is_empty)
        });
        match pauses.next() {
            Some(milliseconds) if !items.is_empty() => {
                thread::sleep(Duration::from_millis(milliseconds));
            }
            _ => return,
        }
    }
}

/// Asks the kernel about each object, and returns the answers in the same order.
pub fn states<I: Borrow<Item>>(items: &[I]) -> Vec<State> {
    let mut queries: Vec<(&Place, Vec<ShmName>)> = Vec::new();
    // Objects of the same place follow each other.
    for item in items {
        let item = item.borrow();
        let Some(place) = item.place() else { continue };
        match queries.last_mut() {
            Some((last, names)) if std::ptr::eq(*last, place) => names.push(item.shm_name()),
            _ => queries.push((place, vec![item.shm_name()])),
        }
    }
    in_use::states(&queries).into_iter().flatten().collect()
}

/// Finds all processes that use files in the file systems of the places.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn holders(places: &[Rc<Place>]) -> anyhow::Result<Holders> {
    Holders::of(&devices(places)?).context("/proc")
}

/// Returns the device numbers of the places, each once.
///
/// # Errors
///
/// Fails if our own directory is unusable.
pub fn devices(places: &[Rc<Place>]) -> Result<Vec<u64>, Error> {
    let mut devices = Vec::new();
    for place in places {
        let device = place.directory.device()?;
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    Ok(devices)
}

/// Returns the lowest ID of the processes that use an object, or the largest number if there is none, so that such
/// objects are sorted last.
pub fn first_pid(item: &Item) -> i32 {
    let uses = item.uses.iter().flatten();
    uses.map(|usage| usage.pid).min().unwrap_or(i32::MAX)
}
