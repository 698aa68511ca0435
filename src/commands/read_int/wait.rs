//! Waits for an integer with as little processor time as possible.

use super::super::{map_integers, offset_in_mapping};
use crate::cli::Place;
use crate::exit::{Failure, Status};
use crate::notation::condition::Test;
use crate::sys::error::Error;
use crate::sys::io::watch::Watch;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::futex::Word;
use crate::sys::memory::int::Int;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use std::thread;
use std::time::{Duration, Instant};

/// The longest sleep. Some changes do not wake us, such as a plain store of another program or a new object with the
/// name, and are seen only after this time. The manual promises 50 ms; a shorter sleep would only cost more wake-ups.
const MAX_SLEEP: Duration = Duration::from_millis(40);

/// A shorter sleep than this is followed by a pause, see [`Pacer`].
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The shortest pause.
const MIN_PAUSE: Duration = Duration::from_micros(50);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// The state of the object while the condition is not true.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum State {
    #[error("no such object")]
    Missing,
    #[error("the object has only {0} bytes")]
    TooSmall(u64),
    #[error("another process truncated it")]
    Truncated,
    #[error("the value is {0}")]
    Value(Int),
}

/// Waits until the condition is true. Returns the integer and its object.
///
/// # Errors
///
/// Fails if waiting timed out, if the object may not be read, or if the name belongs to something else, such as a
/// directory.
pub fn until(
    directory: &Directory,
    name: &ShmName,
    place: &Place,
    test: &Test,
    timeout: Option<Duration>,
) -> anyhow::Result<(Object, Int)> {
    let mut waiter = Waiter {
        directory,
        name,
        place,
        test,
        pacer: Pacer::new(timeout),
        watch: None,
    };
    // Each further iteration opens the object again, because it did not exist or its name belongs to another object
    // now.
    loop {
        match Object::open(directory, name, Access::Read) {
            Err(Error::NotFound(_)) => waiter.sleep(State::Missing, None)?,
            Err(error) => return Err(error.into()),
            Ok(object) => {
                if let Some(int) = waiter.wait_for_value(&object)? {
                    return Ok((object, int));
                }
            }
        }
    }
}

struct Waiter<'a> {
    directory: &'a Directory,
    name: &'a ShmName,
    place: &'a Place,
    test: &'a Test,
    pacer: Pacer,
    watch: Option<Watch>,
}

impl Waiter<'_> {
    /// Waits for the integer in one object. Returns None if the object was removed or replaced.
    fn wait_for_value(&mut self, object: &Object) -> anyhow::Result<Option<Int>> {
        let (place, int_type) = (self.place, self.place.int_type);
        let mut mapping = None;
        loop {
            let size = object.status()?.size;
            if size < place.end(1) {
                self.sleep(State::TooSmall(size), None)?;
            } else {
                let map = match mapping.take() {
                    Some(map) => map,
                    None => map_integers(object, place, 1, Access::Read)?,
                };
                let is_hole = object.is_hole(place.offset, place.width());
                // Neither load from a hole nor sleep on it: both would allocate its page.
                let loaded = match is_hole {
                    true => Ok(Word::for_hole(offset_in_mapping(place), int_type)),
                    false => Word::load(&map, offset_in_mapping(place), int_type),
                };
                match loaded {
                    // The mapping is not used again: it stays lost even if the object grows again.
                    Err(BusError) => self.sleep(State::Truncated, None)?,
                    Ok((int, word)) => {
                        if self.test.holds(int) && object.check_not_truncated(place.end(1)).is_ok()
                        {
                            return Ok(Some(int));
                        }
                        // If the memory is reserved, sleeping does not allocate more.
                        let may_sleep = !is_hole || object.is_fully_allocated()?;
                        self.sleep(State::Value(int), may_sleep.then_some((&map, word)))?;
                        mapping = Some(map);
                    }
                }
            }
            if !object.is_still_linked()? {
                return Ok(None);
            }
        }
    }

    /// Sleeps until the word changes. Without a word, it sleeps until an object in the directory changes.
    fn sleep(&mut self, state: State, word: Option<(&Mapping, Word)>) -> Result<(), Failure> {
        if self.directory.is_abandoned() {
            let (name, awaited) = (self.name, self.test);
            let message = format!(
                "{name}: the process whose /dev/shm it is has ended while waiting for {awaited}: {state}"
            );
            return Err(Failure::failed(message));
        }
        let timeout = self.pacer.next_sleep().ok_or_else(|| {
            let (name, awaited) = (self.name, self.test);
            let message = format!("{name}: timed out waiting for {awaited}: {state}");
            Failure::new(Status::TimedOut, message)
        })?;
        let start = Instant::now();
        match word {
            // Sleeping on the word fails if the object was truncated in the meantime.
            Some((mapping, word)) if word.sleep(mapping, timeout).is_ok() => self.watch = None,
            _ => self.sleep_without_word(timeout),
        }
        self.pacer.pause_after(start.elapsed());
        Ok(())
    }

    fn sleep_without_word(&mut self, timeout: Duration) {
        let slept = match &self.watch {
            Some(watch) => watch.sleep(timeout),
            None => match Watch::new(&self.directory.path()) {
                // The new watch does not report earlier changes. So the caller checks once more before it sleeps.
                Ok(watch) => return self.watch = Some(watch),
                Err(errno) => Err(errno),
            },
        };
        // The number of watches per user is limited. Fall back to polling.
        if slept.is_err() {
            thread::sleep(timeout);
        }
    }
}

/// Decides how long to sleep between two checks.
struct Pacer {
    deadline: Option<Instant>,
    pause: Duration,
}

impl Pacer {
    fn new(timeout: Option<Duration>) -> Pacer {
        Pacer {
            // A deadline that does not fit an Instant is billions of years away, and so is the same as none.
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            pause: Duration::ZERO,
        }
    }

    /// Returns the maximum length of the next sleep, or None if the timeout has expired.
    fn next_sleep(&self) -> Option<Duration> {
        let Some(deadline) = self.deadline else {
            return Some(MAX_SLEEP);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(MAX_SLEEP))
    }

    /// Pauses after a sleep that was too short, longer each time. Otherwise an integer that changes all the time, or a
    /// program that creates thousands of objects, would keep a processor busy.
    fn pause_after(&mut self, slept: Duration) {
        if slept >= MIN_SLEEP {
            self.pause = Duration::ZERO;
            return;
        }
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        thread::sleep(self.pause.min(self.next_sleep().unwrap_or_default()));
    }
}
