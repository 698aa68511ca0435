//! `write-int`: store an integer where a C program finds an `int`, or change it in one step.

use super::{first, map_integers, print, too_small};
use crate::cli::{Change, Place, Update, WriteIntArgs};
use crate::exit::{Failure, Status};
use crate::sys::error::Error;
use crate::sys::memory::access::Access;
use crate::sys::memory::bus_error::BusError;
use crate::sys::memory::futex;
use crate::sys::memory::int::Int;
use crate::sys::memory::mapping::Mapping;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::draft::Draft;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::anyhow;

/// The mode of an object that is made here.
const MODE: u32 = 0o600;

/// Changes the integers, in an object that is made or grown first where it has to be, and prints what the
/// change is asked for.
///
/// # Errors
///
/// Wrong usage, an object that is too small, no permission, a full `/dev/shm`, a sum that does not fit, an
/// integer that is not as expected.
pub fn run(args: &WriteIntArgs) -> anyhow::Result<()> {
    match args.change()? {
        Change::Store(ints) => store(args, &ints),
        Change::Update(update) => {
            let (old, new) = update_one(args, update)?;
            match update {
                Update::Add(_) => print(&format!("{new}\n")),
                Update::Swap(_) => print(&format!("{old}\n")),
                Update::If { .. } => Ok(()),
            }
        }
    }
}

fn store(args: &WriteIntArgs, ints: &[Int]) -> anyhow::Result<()> {
    let place = &args.place;
    let store_all = |mapping: &Mapping| {
        let mut ints = ints.iter().enumerate();
        ints.try_for_each(|(index, &int)| {
            mapping.store(first(place) + index * place.int_type.width(), int)
        })
    };
    let count = ints.len() as u64;
    match open_or_make(args, count, || Ok(store_all))? {
        None => Ok(()),
        Some(object) => {
            let target = Target::new(&object, place, count)?;
            target.prepare()?;
            store_all(&target.mapping).map_err(|BusError| target.lost())?;
            target.finish()
        }
    }
}

/// Gives the integer that was there before, and the one that is there now.
fn update_one(args: &WriteIntArgs, update: Update) -> anyhow::Result<(Int, Int)> {
    let place = &args.place;
    let zero = Int::zero(place.int_type);
    let apply = |old: Int| match update {
        Update::Add(amount) => old
            .checked_add(amount)
            .ok_or_else(|| does_not_fit(&args.name, old, amount)),
        Update::Swap(new) => Ok(new),
        Update::If { old: expected, new } if old == expected => Ok(new),
        Update::If { .. } => Err(Failure::silent(Status::ConditionNotMet).into()),
    };
    let make = || {
        let new = apply(zero)?;
        Ok(move |mapping: &Mapping| mapping.store(first(place), new))
    };
    let Some(object) = open_or_make(args, 1, make)? else {
        return Ok((zero, apply(zero)?));
    };
    let target = Target::new(&object, place, 1)?;
    // Looked at before anything is changed: what is refused leaves no trace, not even a new time.
    let mut old = target.look()?;
    let mut new = apply(old)?;
    target.prepare()?;
    loop {
        let found = target.mapping.compare_exchange(first(place), old, new);
        let found = found.map_err(|BusError| target.lost())?;
        if found == old {
            break;
        }
        old = found;
        new = apply(old)?;
    }
    target.finish()?;
    Ok((old, new))
}

fn does_not_fit(name: &ShmName, old: Int, amount: i128) -> anyhow::Error {
    let int_type = old.int_type();
    let (type_name, min, max) = (int_type.name(), int_type.min(), int_type.max());
    anyhow!("{name}: {old} plus {amount} is out of range: {type_name} is {min} to {max}")
}

/// Opens the object; or, if there is none, makes it with the integers that `fill` stores.
fn open_or_make<F: FnOnce(&Mapping) -> Result<(), BusError>>(
    args: &WriteIntArgs,
    count: u64,
    fill: impl Fn() -> anyhow::Result<F>,
) -> anyhow::Result<Option<Object>> {
    let (name, place) = (&args.name, &args.place);
    let directory = &Directory::own();
    // Opening comes first: in a sticky directory the kernel refuses O_CREAT on another user's object even
    // to root (`fs.protected_regular`, proc_sys_fs(5)). Each turn means that somebody else made or
    // removed the object meanwhile.
    loop {
        match Object::open(directory, name, Access::ReadWrite) {
            Err(Error::NotFound(_)) if !args.no_create => {}
            result => return Ok(Some(result?)),
        }
        let fill = fill()?;
        let mut draft = Draft::new(directory, name)?;
        let (object, size) = (draft.object(), place.end(count));
        object.truncate(size)?;
        draft.reserve(size)?;
        fill(&map_integers(object, place, count, Access::ReadWrite)?)
            .map_err(|BusError| object.bus_error(size))?;
        match draft.publish(MODE) {
            Err(Error::Exists(_)) => {}
            result => return Ok(result.map(|()| None)?),
        }
    }
}

/// Integers of an object that others may use too.
struct Target<'a> {
    object: &'a Object,
    place: &'a Place,
    count: u64,
    /// The object's size when it was looked at.
    size: u64,
    mapping: Mapping,
}

impl<'a> Target<'a> {
    fn new(object: &'a Object, place: &'a Place, count: u64) -> anyhow::Result<Target<'a>> {
        let size = object.metadata()?.len();
        if 0 < size && size < place.end(count) {
            return Err(too_small(object.name(), place, count, size));
        }
        let mapping = map_integers(object, place, count, Access::ReadWrite)?;
        Ok(Target {
            object,
            place,
            count,
            size,
            mapping,
        })
    }

    /// The first integer. Nothing is allocated for it.
    fn look(&self) -> Result<Int, Error> {
        let (place, object) = (self.place, self.object);
        if self.size == 0 || object.is_hole(place.offset, place.width()) {
            return Ok(Int::zero(place.int_type));
        }
        let int = self.mapping.load(first(place), place.int_type);
        int.map_err(|BusError| self.lost())
    }

    /// Why an access to the mapping was lost.
    fn lost(&self) -> Error {
        self.object.bus_error(self.place.end(self.count))
    }

    /// Does all that can fail, so that the stores after it cannot.
    fn prepare(&self) -> Result<(), Error> {
        let (object, place) = (self.object, self.place);
        object.set_modified()?;
        match self.size {
            0 => object.grow(place.end(self.count)),
            // A store into a hole takes memory, and where there is none it is a bus error.
            _ => object.reserve(place.offset, place.end(self.count) - place.offset),
        }
    }

    /// Wakes whoever waits for the integers, and makes sure that they are really there.
    fn finish(&self) -> anyhow::Result<()> {
        let place = self.place;
        let length = place.end(self.count) - place.offset;
        futex::wake(&self.mapping, first(place), length as usize);
        Ok(self.object.check_not_truncated(place.end(self.count))?)
    }
}
