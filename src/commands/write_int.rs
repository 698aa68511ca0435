//! `write-int`: stores integers, or changes an integer atomically, perhaps when a condition becomes true.

use super::holder::{Holder, LostAccesses, View, is_leased, is_truncated, map_object};
use super::origin::{Origin, State, is_file};
use super::wait::{Waiter, load, timed_out, watched};
use super::{offset_in_mapping, print};
use crate::cli::{Change, Operation, Place, Update, WriteIntArgs};
use crate::exit::{Failure, Status, print_line};
use crate::notation::value::Printed;
use crate::sys::error::Error;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::futex::{self, Word};
use crate::sys::memory::int::Int;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::draft::Draft;
use anyhow::anyhow;
use std::os::unix::ffi::OsStrExt;

/// The mode of objects that `write-int` creates.
const MODE: u32 = 0o600;

/// Changes the integers and prints the result that the option asks for. A missing object is created, and an empty one
/// is grown. A file is neither.
///
/// # Errors
///
/// Fails for a usage error, if the object or file is too small or may not be accessed, if there is no space, if a sum does
/// not fit the type, if the condition given with `--if` is not met, or if waiting for it timed out.
pub fn run(args: &WriteIntArgs) -> anyhow::Result<()> {
    let change = args.change()?;
    let origin = Origin::new(args.operand()?)?;
    let writer = Writer {
        args,
        origin: &origin,
        place: &args.place,
        lost: LostAccesses::default(),
    };
    match change {
        Change::Store(ints) => writer.store(&ints),
        Change::Update(update) => {
            let (old, new) = writer.update_or_wait(&update)?;
            let (int, hex) = match update.operation {
                Operation::Store(_) => return Ok(()),
                Operation::Swap(_) => (old, args.hex),
                _ => (new, args.hex),
            };
            print(&format!("{}\n", Printed { int, hex }))
        }
    }
}

struct Writer<'a> {
    args: &'a WriteIntArgs,
    origin: &'a Origin,
    place: &'a Place,
    lost: LostAccesses,
}

/// What an attempt has opened. After a sleep, the next one uses it again: opening and mapping it at each look would take
/// half of the processor time of a waiter.
struct Opened {
    holder: Holder,
    view: Option<View>,
}

/// The result of an attempt to change an integer.
enum Attempt {
    /// It was changed from the first value to the second.
    Changed(Int, Int),
    /// The condition is false. A change of the word can be awaited, if there is one.
    Refused(State, Option<Word>),
    /// The name leads to another object now, or to none.
    Replaced,
}

impl Writer<'_> {
    /// Stores consecutive integers.
    fn store(&self, ints: &[Int]) -> anyhow::Result<()> {
        let (place, count) = (self.place, ints.len() as u64);
        let store_all = |mapping: &Mapping| {
            let mut ints = ints.iter().enumerate();
            ints.try_for_each(|(index, &int)| {
                let offset = offset_in_mapping(place) + index * place.int_type.width();
                mapping.store(offset, place.convert(int))
            })
        };
        // Each further iteration means that the object was replaced after it was opened.
        loop {
            let is_done = match self.open()? {
                Some(holder) => match self.store_into(&holder, ints, store_all) {
                    Err(_) if self.is_replaced(&holder) => false,
                    Err(error) if self.lost.may_try_again(&error) => false,
                    result => result?,
                },
                None => self.create(count, store_all)?,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Stores consecutive integers into what was opened. Returns false if the name leads to another object by now.
    fn store_into(
        &self,
        holder: &Holder,
        ints: &[Int],
        store_all: impl Fn(&Mapping) -> Result<(), BusError>,
    ) -> anyhow::Result<bool> {
        let (place, count) = (self.place, ints.len() as u64);
        let size = self.check_size(holder, count)?;
        if holder.is_device() {
            self.check_device(ints)?;
        }
        let lost = |BusError| holder.bus_error(place.end(count));
        let view = holder.view(place, count, Access::ReadWrite)?;
        match &view {
            View::Mapped(mapping) => {
                holder.prepare_store(mapping, place, count, size)?;
                store_all(mapping).map_err(lost)?;
            }
            View::Device(mapping) => {
                let int = place.convert(ints[0]);
                mapping
                    .store_volatile(offset_in_mapping(place), int)
                    .map_err(lost)?;
                return Ok(true);
            }
            View::Unmapped(_) => {
                let mut offsets = (place.offset..).step_by(place.int_type.width());
                ints.iter()
                    .zip(&mut offsets)
                    .try_for_each(|(&int, offset)| holder.write_int(place, offset, int))?;
            }
        }
        self.finish(holder, &view, count)
    }

    /// Returns whether the name leads to another object by now, or to none. An error about this object does not matter
    /// then: it says nothing about the other one.
    fn is_replaced(&self, holder: &Holder) -> bool {
        self.origin.leads_to(holder).is_ok_and(|leads_to| !leads_to)
    }

    /// Checks that the options make sense for a device.
    fn check_device(&self, ints: &[Int]) -> Result<(), Failure> {
        match () {
            () if ints.len() > 1 => Err(Failure::usage("a device takes one VALUE")),
            () if self.args.sync => Err(Failure::usage("--sync: a device is not a disk")),
            () => self.place.require_alignment("a device"),
        }
    }

    /// Changes one integer, and returns its old and new value. If the condition is false, waits with --wait.
    fn update_or_wait(&self, update: &Update) -> anyhow::Result<(Int, Int)> {
        let mut waiter = Waiter::new(self.origin, self.args.timeout);
        let awaited = update.condition.as_ref().map(ToString::to_string);
        let timed_out = |state| {
            let awaited = awaited.as_deref().unwrap_or_default();
            timed_out(&self.origin.label(), awaited, state)
        };
        let mut is_first = true;
        let mut opened = None;
        loop {
            let attempt = match self.attempt(update, &mut opened, is_first) {
                // The mapping stays lost.
                Err(error) if self.lost.may_try_again(&error) => Attempt::Replaced,
                // It shrank after it was opened. It may grow again.
                Err(error) if self.args.wait && is_truncated(&error) => {
                    opened = None;
                    Attempt::Refused(State::Truncated, None)
                }
                Err(error) if self.args.wait && is_leased(&error) => {
                    Attempt::Refused(State::Leased, None)
                }
                result => result?,
            };
            is_first = false;
            match attempt {
                Attempt::Changed(old, new) => return Ok((old, new)),
                Attempt::Replaced => opened = None,
                Attempt::Refused(..) if !self.args.wait => {
                    return Err(Failure::silent(Status::ConditionNotMet).into());
                }
                Attempt::Refused(state, word) => {
                    self.lost.forget();
                    let view = opened.as_ref().and_then(|opened| opened.view.as_ref());
                    let word = view.and_then(|view| watched(view, word));
                    waiter.sleep(state, word, &timed_out)?;
                    opened.take_if(|opened| opened.holder.must_be_reopened());
                }
            }
        }
    }

    /// Attempts to change the integer in what was opened before, or else in what there is now.
    fn attempt(
        &self,
        update: &Update,
        opened: &mut Option<Opened>,
        is_first: bool,
    ) -> anyhow::Result<Attempt> {
        let (place, origin) = (self.place, self.origin);
        let may_wait = self.args.wait && origin.may_wait_for(is_first);
        let zero = Int::zero(place.int_type);
        if opened.is_none() {
            let holder = match origin.open(Access::ReadWrite) {
                Ok(holder) => holder,
                Err(error) if !origin.is_missing(&error) => return Err(error),
                Err(error) if !self.may_create() => {
                    return match may_wait {
                        true => Ok(Attempt::Refused(origin.missing(), None)),
                        false => Err(error),
                    };
                }
                Err(_) if !update.may_change(zero) => {
                    return Ok(Attempt::Refused(origin.missing(), None));
                }
                Err(_) => {
                    let (new, offset) = (self.apply(update, zero)?, offset_in_mapping(place));
                    let store = |mapping: &Mapping| mapping.store(offset, place.convert(new));
                    return Ok(match self.create(1, store)? {
                        true => Attempt::Changed(zero, new),
                        false => Attempt::Replaced,
                    });
                }
            };
            *opened = Some(Opened { holder, view: None });
        }
        let opened = opened.as_mut().expect("it was opened above");
        match self.change(opened, update, may_wait) {
            Err(_) if self.is_replaced(&opened.holder) => Ok(Attempt::Replaced),
            result => result,
        }
    }

    /// Attempts to change the integer in what was opened.
    fn change(
        &self,
        opened: &mut Opened,
        update: &Update,
        may_wait: bool,
    ) -> anyhow::Result<Attempt> {
        let (place, holder) = (self.place, &opened.holder);
        let size = match self.check_size(holder, 1) {
            Ok(size) => size,
            Err(_) if may_wait => {
                let state = self.origin.truncated(holder.size()?);
                return self.refuse(holder, state, None);
            }
            Err(error) => return Err(error),
        };
        if holder.is_device() {
            return Err(Failure::usage(
                "a device takes only plain stores, because nobody knows what a second access does",
            )
            .into());
        }
        let was_opened_before = opened.view.is_some();
        let view = match opened.view.take() {
            Some(view) => view,
            None => holder.view(place, 1, Access::ReadWrite)?,
        };
        let view = &*opened.view.insert(view);
        let View::Mapped(mapping) = view else {
            return Err(view.not_atomic());
        };
        let lost = |BusError| holder.bus_error(place.end(1));
        // Check before anything is changed: if the change is refused, nothing may be different.
        let (mut old, mut word) = match size {
            0 => (Int::zero(place.int_type), None),
            _ => load(holder, view, place)?.map_err(lost)?,
        };
        let mut is_prepared = false;
        loop {
            if !update.may_change(old) {
                return self.refuse(holder, State::Value(old), word);
            }
            let new = self.apply(update, old)?;
            if !is_prepared {
                // It may have lost its name long ago. Programs that still map it should not see this change.
                if was_opened_before && self.is_replaced(holder) {
                    return Ok(Attempt::Replaced);
                }
                holder.prepare_store(mapping, place, 1, size)?;
                is_prepared = true;
            }
            let (from, to) = (place.convert(old), place.convert(new));
            let found = mapping.compare_exchange(offset_in_mapping(place), from, to);
            if found.map_err(lost)? == from {
                return Ok(match self.finish(holder, view, 1)? {
                    true => Attempt::Changed(old, new),
                    false => Attempt::Replaced,
                });
            }
            // Load it together with its futex word, in case it is refused now.
            (old, word) = load(holder, view, place)?.map_err(lost)?;
        }
    }

    /// Returns the attempt for a change that is refused, if that is still the object that the name leads to.
    fn refuse(&self, holder: &Holder, state: State, word: Option<Word>) -> anyhow::Result<Attempt> {
        Ok(match self.origin.leads_to(holder)? {
            true => Attempt::Refused(state, word),
            false => Attempt::Replaced,
        })
    }

    fn may_create(&self) -> bool {
        !self.args.no_create && !self.args.file
    }

    fn apply(&self, update: &Update, old: Int) -> anyhow::Result<Int> {
        update.operation.apply(old).ok_or_else(|| {
            let amount = match update.operation {
                Operation::Add(amount) => amount,
                // Nothing else can fail.
                _ => 0,
            };
            let int_type = old.int_type();
            let (type_name, min, max) = (int_type.name(), int_type.min(), int_type.max());
            let label = self.origin.label();
            anyhow!("{label}: {old} plus {amount} is out of range: {type_name} is {min} to {max}")
        })
    }

    /// Opens the object. Returns None if it is missing and may be created.
    fn open(&self) -> anyhow::Result<Option<Holder>> {
        // Open without O_CREAT: in a sticky directory the kernel refuses O_CREAT for another user's object even to root
        // (`fs.protected_regular`, proc_sys_fs(5)).
        match self.origin.open(Access::ReadWrite) {
            Err(error) if self.origin.is_missing(&error) && self.may_create() => Ok(None),
            result => result.map(Some),
        }
    }

    /// Creates the object with the integers that `fill` stores. Returns false if another process created it meanwhile.
    fn create(
        &self,
        count: u64,
        fill: impl FnOnce(&Mapping) -> Result<(), BusError>,
    ) -> anyhow::Result<bool> {
        let Origin::Object { directory, name } = self.origin else {
            // Files are never created.
            return Ok(false);
        };
        let (place, size) = (self.place, self.place.end(count));
        let mut draft = Draft::new(directory, name)?;
        draft.object().truncate(size)?;
        draft.object().reserve_unshared(size)?;
        let start = place.offset - offset_in_mapping(place) as u64;
        let mapping = map_object(draft.object(), start, size - start, Access::ReadWrite)?;
        fill(&mapping).map_err(|BusError| draft.object().bus_error(size))?;
        match draft.publish(MODE) {
            Err(Error::Exists(_)) => return Ok(false),
            result => result?,
        }
        if !self.args.operand.as_bytes().starts_with(b"/") && is_file(directory, name) {
            print_line(&format!(
                "{name}: created a shared memory object; to change the file of that name, add --file"
            ));
        }
        Ok(true)
    }

    /// Returns the size, which is large enough for `count` integers, or 0 for an object.
    fn check_size(&self, holder: &Holder, count: u64) -> anyhow::Result<u64> {
        let size = holder.size()?;
        let may_grow = size == 0 && matches!(holder, Holder::Object(_));
        match size < self.place.end(count) && !may_grow {
            true => Err(self.origin.too_small(self.place, count, size)),
            false => Ok(size),
        }
    }

    /// Does what follows a change: wakes the processes that wait for the integers, sets the modification time, and checks
    /// that the change was not lost. Returns false if the name leads to another object by now, or to none.
    fn finish(&self, holder: &Holder, view: &View, count: u64) -> anyhow::Result<bool> {
        let place = self.place;
        let mapping = match view {
            View::Mapped(mapping) => Some(mapping),
            View::Device(_) | View::Unmapped(_) => None,
        };
        if let Some(mapping) = mapping {
            let length = place.end(count) - place.offset;
            futex::wake(mapping, offset_in_mapping(place), length as usize);
        }
        holder.set_modified()?;
        holder.check_not_truncated(place.end(count))?;
        if self.args.sync {
            holder.sync(mapping)?;
        }
        self.origin.leads_to(holder)
    }
}
