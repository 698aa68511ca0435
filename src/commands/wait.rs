//! Waits for an integer with as little processor time as possible.

use super::holder::{Holder, View, is_leased, is_truncated};
use super::origin::{Origin, State};
use super::{STDOUT, offset_in_mapping};
use crate::cli::Place;
use crate::exit::{Failure, Status};
use crate::sys::io::stream::Output;
use crate::sys::io::watch::Watch;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::futex::Word;
use crate::sys::memory::int::Int;
use crate::sys::memory::mapping::Mapping;
use anyhow::Context;
use std::thread;
use std::time::{Duration, Instant};

/// The longest sleep. Some changes do not wake us, such as a plain store of another program or a new object with the
/// name, and are seen only after this time. The manual promises 50 ms; a shorter sleep would only cost more wake-ups, of 40 us each.
const MAX_SLEEP: Duration = Duration::from_millis(45);

/// A shorter sleep than this is followed by a pause, see [`Pacer`].
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The shortest pause.
const MIN_PAUSE: Duration = Duration::from_micros(50);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// Waits for changes of one integer.
pub struct Waiter<'a> {
    origin: &'a Origin,
    pacer: Pacer,
    watch: Option<Watch>,
    /// Where the integers are printed meanwhile. If nobody reads that any more, the process ends.
    output: Option<Output>,
}

/// What a caller of [`Waiter::watch_integer`] does with an integer.
pub enum Verdict<T> {
    /// Ends the waiting with this result.
    Finish(T),
    /// Waits for the next change.
    Continue,
}

impl<'a> Waiter<'a> {
    pub fn new(origin: &'a Origin, timeout: Option<Duration>) -> Waiter<'a> {
        Waiter {
            origin,
            pacer: Pacer::new(timeout),
            watch: None,
            output: None,
        }
    }

    /// Ends the process when nobody reads this output any more.
    pub fn with_output(self, output: Output) -> Waiter<'a> {
        let output = Some(output);
        Waiter { output, ..self }
    }

    /// Calls `judge` with the integer now and whenever it may have changed, until `judge` ends that. The object is
    /// followed: it may be missing, too small, removed, replaced or truncated meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if waiting timed out, in the words of `timed_out`, and if the object may not be read, or if the name belongs
    /// to something else, such as a directory. Also the errors of `judge`.
    pub fn watch_integer<T>(
        &mut self,
        place: &Place,
        timed_out: &dyn Fn(State) -> Failure,
        judge: &mut dyn FnMut(Int) -> anyhow::Result<Verdict<T>>,
    ) -> anyhow::Result<T> {
        let mut is_first = true;
        // Each further iteration opens the object again, because it did not exist or its name belongs to another object
        // now.
        loop {
            match self.origin.open(Access::Read) {
                Ok(holder) => {
                    let size = holder.size()?;
                    if size < place.end(1) && !self.origin.may_wait_for(is_first) {
                        return Err(self.origin.too_small(place, 1, size));
                    }
                    if let Some(result) = self.watch_holder(&holder, place, timed_out, judge)? {
                        return Ok(result);
                    }
                }
                Err(error)
                    if self.origin.is_missing(&error) && self.origin.may_wait_for(is_first) =>
                {
                    self.sleep(self.origin.missing(), None, timed_out)?;
                }
                Err(error) if is_leased(&error) => self.sleep(State::Leased, None, timed_out)?,
                Err(error) => return Err(error),
            }
            is_first = false;
        }
    }

    /// Watches the integer in one object. Returns None if it must be opened again.
    fn watch_holder<T>(
        &mut self,
        holder: &Holder,
        place: &Place,
        timed_out: &dyn Fn(State) -> Failure,
        judge: &mut dyn FnMut(Int) -> anyhow::Result<Verdict<T>>,
    ) -> anyhow::Result<Option<T>> {
        let (mut last_view, mut judged) = (None, None);
        let mut size = holder.size()?;
        loop {
            if size < place.end(1) {
                self.sleep(self.origin.truncated(size), None, timed_out)?;
            } else {
                let view = match last_view.take() {
                    Some(view) => view,
                    None => holder.view(place, 1, Access::Read)?,
                };
                match load(holder, &view, place)? {
                    // The mapping is not used again: it stays lost even if the object grows again.
                    Err(BusError) => self.sleep(State::Truncated, None, timed_out)?,
                    Ok((int, word)) => {
                        // Most looks find the same integer, and should cost little.
                        if judged != Some(int) && holder.check_not_truncated(place.end(1)).is_ok() {
                            if let Verdict::Finish(result) = judge(int)? {
                                return Ok(Some(result));
                            }
                            judged = Some(int);
                        }
                        self.sleep(State::Value(int), watched(&view, word), timed_out)?;
                        last_view = Some(view);
                    }
                }
            }
            if holder.must_be_reopened() {
                return Ok(None);
            }
            match self.origin.size_of_current(holder)? {
                Some(now) => size = now,
                None => return Ok(None),
            }
        }
    }

    /// Sleeps until the word changes. Without a word, it sleeps until something in the directory of the object changes.
    ///
    /// # Errors
    ///
    /// Returns the failure of `timed_out` if no time is left. Fails if standard output fails.
    pub fn sleep(
        &mut self,
        state: State,
        word: Option<(&Mapping, Word)>,
        timed_out: &dyn Fn(State) -> Failure,
    ) -> anyhow::Result<()> {
        if self.origin.is_abandoned() {
            let message = format!("the process whose /dev/shm it is has ended: {state}");
            return Err(Failure::failed(format!("{}: {message}", self.origin.label())).into());
        }
        if let Some(output) = self.output {
            output.end_if_reader_is_gone().context(STDOUT)?;
        }
        let timeout = self.pacer.next_sleep().ok_or_else(|| timed_out(state))?;
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
            None => match self.origin.watch() {
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

/// Loads an integer without allocating memory, and the futex word on which a change of it can be awaited, if there is
/// one.
///
/// # Errors
///
/// Those of the object. The inner error means that it was truncated.
pub fn load(
    holder: &Holder,
    view: &View,
    place: &Place,
) -> anyhow::Result<Result<(Int, Option<Word>), BusError>> {
    let View::Mapped(mapping) = view else {
        return match view.load(holder, place, 0) {
            Err(error) if is_truncated(&error) => Ok(Err(BusError)),
            int => Ok(Ok((int?, None))),
        };
    };
    let (offset, int_type, endian) = (offset_in_mapping(place), place.int_type, place.endian());
    // Neither load from a hole nor sleep on it: both would allocate its page. If the memory is reserved, sleeping does not
    // allocate more.
    if holder.is_hole(place.offset, place.width()) {
        let (int, word) = Word::for_hole(offset, int_type, endian);
        let may_sleep = holder.is_fully_allocated()?;
        return Ok(Ok((int, may_sleep.then_some(word))));
    }
    let loaded = Word::load(mapping, offset, int_type, endian);
    Ok(loaded.map(|(int, word)| (place.convert(int), Some(word))))
}

/// Returns the word on which a change can be awaited, with its mapping.
pub fn watched(view: &View, word: Option<Word>) -> Option<(&Mapping, Word)> {
    match view {
        View::Mapped(mapping) => word.map(|word| (mapping, word)),
        View::Device(_) | View::Unmapped(_) => None,
    }
}

/// Returns the failure for waiting that timed out.
pub fn timed_out(subject: &str, awaited: &str, state: State) -> Failure {
    let message = format!("{subject}: timed out waiting for {awaited}: {state}");
    Failure::new(Status::TimedOut, message)
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
