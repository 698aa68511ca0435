//! Waiting for an integer, with as little work as can be.

use super::super::{first, map_integers};
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

/// The longest sleep: what nobody wakes us for (a plain store of another program, a name that leads to
/// another object) is seen after it. 50 ms are promised; a shorter one would only wake up more often.
const LOOK: Duration = Duration::from_millis(40);

/// A sleep that ends this early is a hurry: see [`Pace`].
const HURRY: Duration = Duration::from_millis(1);

/// The shortest and the longest rest in a hurry.
const RESTS: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(10));

/// What a look at the object shows, if it is not what is waited for.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Seen {
    #[error("no such object")]
    Nothing,
    #[error("the object has only {0} bytes")]
    TooSmall(u64),
    #[error("another process truncated it")]
    Truncated,
    #[error("the value is {0}")]
    Other(Int),
}

/// Waits until the test holds. Gives the integer, and the object that holds it.
///
/// # Errors
///
/// It timed out; the object may not be read, or is no object.
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
        pace: Pace::new(timeout),
        watch: None,
    };
    // Each turn means that the name leads to another object than before.
    loop {
        match Object::open(directory, name, Access::Read) {
            Err(Error::NotFound(_)) => waiter.sleep(Seen::Nothing, None)?,
            Err(error) => return Err(error.into()),
            Ok(object) => {
                if let Some(int) = waiter.follow(&object)? {
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
    pace: Pace,
    watch: Option<Watch>,
}

impl Waiter<'_> {
    /// Waits for the integer of one object. None: its name leads to another by now, or to nothing.
    fn follow(&mut self, object: &Object) -> anyhow::Result<Option<Int>> {
        let (place, int_type) = (self.place, self.place.int_type);
        let mut mapping = None;
        loop {
            let size = object.metadata()?.len();
            if size < place.end(1) {
                self.sleep(Seen::TooSmall(size), None)?;
            } else {
                let map = match mapping.take() {
                    Some(map) => map,
                    None => map_integers(object, place, 1, Access::Read)?,
                };
                let is_hole = object.is_hole(place.offset, place.width());
                // A hole is neither loaded from nor slept on: both would allocate its page.
                let loaded = match is_hole {
                    true => Ok(Word::for_hole(first(place), int_type)),
                    false => Word::load(&map, first(place), int_type),
                };
                match loaded {
                    // The mapping stays lost, even if the object grows again.
                    Err(BusError) => self.sleep(Seen::Truncated, None)?,
                    Ok((int, word)) => {
                        if self.test.holds(int) && object.check_not_truncated(place.end(1)).is_ok()
                        {
                            return Ok(Some(int));
                        }
                        // One that is reserved has its page already.
                        let may_sleep = !is_hole || object.is_fully_allocated()?;
                        self.sleep(Seen::Other(int), may_sleep.then_some((&map, word)))?;
                        mapping = Some(map);
                    }
                }
            }
            if !object.is_still_linked()? {
                return Ok(None);
            }
        }
    }

    /// Sleeps until the word changes; where there is none to sleep on, until something happens to objects.
    fn sleep(&mut self, seen: Seen, word: Option<(&Mapping, Word)>) -> Result<(), Failure> {
        let timeout = self.pace.next().ok_or_else(|| {
            let (name, awaited) = (self.name, self.test);
            let message = format!("{name}: timed out waiting for {awaited}: {seen}");
            Failure::new(Status::TimedOut, message)
        })?;
        let start = Instant::now();
        match word {
            // It fails where the object was truncated meanwhile.
            Some((mapping, word)) if word.sleep(mapping, timeout).is_ok() => self.watch = None,
            _ => self.sleep_without_word(timeout),
        }
        self.pace.rest(start.elapsed());
        Ok(())
    }

    fn sleep_without_word(&mut self, timeout: Duration) {
        let slept = match &self.watch {
            Some(watch) => watch.sleep(timeout),
            None => match Watch::new(self.directory.path()) {
                // What happened before is not seen by it: one more look, and then sleep.
                Ok(watch) => return self.watch = Some(watch),
                Err(errno) => Err(errno),
            },
        };
        // A user can have only so many of them. Without one, the looks at intervals are what there is.
        if slept.is_err() {
            thread::sleep(timeout);
        }
    }
}

/// How long to sleep between two looks.
struct Pace {
    deadline: Option<Instant>,
    rest: Duration,
}

impl Pace {
    fn new(timeout: Option<Duration>) -> Pace {
        Pace {
            // One that cannot be said is in some billions of years.
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            rest: Duration::ZERO,
        }
    }

    /// The longest that the next sleep may be, or nothing when the time is up.
    fn next(&self) -> Option<Duration> {
        let Some(deadline) = self.deadline else {
            return Some(LOOK);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(LOOK))
    }

    /// Rests after sleeps that end at once, again and again: an integer that changes all the time, and
    /// objects that others make by the thousand, must not keep a processor busy.
    fn rest(&mut self, slept: Duration) {
        if slept >= HURRY {
            self.rest = Duration::ZERO;
            return;
        }
        self.rest = (self.rest * 2).clamp(RESTS.0, RESTS.1);
        thread::sleep(self.rest.min(self.next().unwrap_or_default()));
    }
}
