//! Looks at the objects of other containers, in a child for each place: a container can make every look at its directory
//! wait for ever.

use crate::exit::{Failure, print_line};
use crate::objects::place::Place;
use crate::sys::error::Error;
use crate::sys::process::crew::{self, Channel, End, Job};
use crate::sys::process::socket::Message;
use crate::sys::process::target::TargetError;
use crate::sys::shm::name::ShmName;
use crate::sys::status::FileStatus;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// The number of objects in a message.
const BATCH: usize = 64;

/// The objects of a place that were found.
pub type Listing = Vec<(ShmName, FileStatus)>;

/// What a child sends.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// Some objects, each with its name.
    Objects(Vec<(Vec<u8>, FileStatus)>),
    /// A NAME of the caller, by its index, cannot be looked at.
    Refused(usize, Failure),
    /// The directory cannot be read.
    Failed(Failure),
}

/// Lists all objects of the places. Our own place is left empty: it is read by this process. The result for a place that
/// does not answer is an error.
///
/// The children list with the rights of this process, so that they see the user IDs of this machine. Whether root of the
/// container may read the directory was checked when it was found.
pub fn list_all(places: &[Rc<Place>]) -> Vec<Result<Listing, Failure>> {
    let mut listings: Vec<_> = places.iter().map(|_| Ok(Listing::new())).collect();
    let others = || (0..places.len()).filter(|&index| !places[index].is_own());
    let jobs = others().map(|index| {
        let place = &places[index];
        Job {
            kept: place.descriptors(),
            may_share: true,
            work: Box::new(|channel: &Channel| match send_all(place, channel) {
                Ok(()) => Ok(()),
                Err(error) => channel.send_value(&Answer::Failed(Failure::from(&error.into()))),
            }),
        }
    });
    let indices: Vec<_> = others().collect();
    let receive = |job: usize, message: Message| {
        let listing: &mut Result<Listing, Failure> = &mut listings[indices[job]];
        match message.value() {
            Some(Answer::Objects(objects)) => {
                let named = objects.into_iter().filter_map(|(name, status)| {
                    Some((ShmName::new(OsStr::from_bytes(&name)).ok()?, status))
                });
                listing
                    .iter_mut()
                    .for_each(|listing| listing.extend(named.clone()));
            }
            Some(Answer::Failed(failure)) => *listing = Err(failure),
            Some(Answer::Refused(..)) | None => {}
        }
        Ok::<(), Infallible>(())
    };
    let Ok(ends) = crew::run(jobs, receive);
    for (&index, end) in indices.iter().zip(ends) {
        if let Err(error) = check(end) {
            listings[index] = Err(Failure::failed(error.to_string()));
        }
    }
    listings
}

/// Looks at some objects of a place of another container. The results have the order of the names.
pub fn look_at(place: &Place, names: &[ShmName]) -> Vec<Result<FileStatus, Failure>> {
    let unanswered = Failure::failed(TargetError::Stuck.to_string());
    let mut results: Vec<_> = names.iter().map(|_| Err(unanswered.clone())).collect();
    let job = Job {
        kept: place.descriptors(),
        may_share: false,
        work: Box::new(|channel: &Channel| {
            names.iter().enumerate().try_for_each(|(index, name)| {
                channel.send_value(&match place.directory.stat(name) {
                    Ok(status) => Answer::Objects(vec![(name.as_bytes().to_vec(), status)]),
                    Err(error) => Answer::Refused(index, Failure::from(&error.into())),
                })
            })
        }),
    };
    let mut next = 0;
    let receive = |_, message: Message| {
        match message.value() {
            Some(Answer::Objects(objects)) => {
                results[next] = objects
                    .first()
                    .map(|(_, status)| *status)
                    .ok_or(unanswered.clone());
                next += 1;
            }
            Some(Answer::Refused(index, failure)) => {
                results[index] = Err(failure);
                next = index + 1;
            }
            Some(Answer::Failed(_)) | None => {}
        }
        Ok::<(), Infallible>(())
    };
    let Ok(_) = crew::run([job], receive);
    results
}

fn send_all(place: &Place, channel: &Channel) -> Result<(), Error> {
    let mut batch = Vec::with_capacity(BATCH);
    let send = |batch: &mut Vec<_>| {
        let answer = Answer::Objects(std::mem::take(batch));
        channel
            .send_value(&answer)
            .map_err(|errno| place.directory.call_error(errno))
    };
    for entry in place.directory.entries()? {
        let entry = entry?;
        match entry.stat() {
            Ok(status) => batch.push((entry.name.as_bytes().to_vec(), status)),
            // The object was removed or replaced since the directory was read.
            Err(Error::NotFound(_) | Error::NotAnObject { .. }) => {}
            Err(error) => return Err(error),
        }
        if batch.len() == BATCH {
            send(&mut batch)?;
        }
    }
    match batch.is_empty() {
        true => Ok(()),
        false => send(&mut batch),
    }
}

/// Turns the end of a child into an error, unless it did its work.
///
/// # Errors
///
/// The reason why it did not.
pub fn check(end: End) -> Result<(), TargetError> {
    match end {
        End::Done => Ok(()),
        End::Stuck => Err(TargetError::Stuck),
        End::Failed(errno) => Err(errno.into()),
    }
}

/// Prints that a place was left out. This does not change the exit status.
pub fn print_skipped(place: &Place, why: &Failure) {
    print_line(&format!("{}: skipped: {why}", place.label));
}
