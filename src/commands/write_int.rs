//! `write-int`: stores integers, or changes an integer atomically.

use super::{map_integers, offset_in_mapping, place, print, too_small};
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

/// The mode of objects that `write-int` creates.
const MODE: u32 = 0o600;

/// Changes the integers and prints the result that the option asks for. A missing object is created, and an empty one
/// is grown.
///
/// # Errors
///
/// Fails for a usage error, if the object is too small or may not be accessed, if `/dev/shm` is full, if a sum does not
/// fit the type, or if the condition given with `--if` is not met.
pub fn run(args: &WriteIntArgs) -> anyhow::Result<()> {
    let change = args.change()?;
    let directory = &place::enter(args.target.target.as_ref())?;
    match change {
        Change::Store(ints) => store(args, directory, &ints),
        Change::Update(update) => {
            let (old, new) = update_one(args, directory, update)?;
            match update {
                Update::Add(_) => print(&format!("{new}\n")),
                Update::Swap(_) => print(&format!("{old}\n")),
                Update::If { .. } => Ok(()),
            }
        }
    }
}

fn store(args: &WriteIntArgs, directory: &Directory, ints: &[Int]) -> anyhow::Result<()> {
    let place = &args.place;
    let store_all = |mapping: &Mapping| {
        let mut ints = ints.iter().enumerate();
        ints.try_for_each(|(index, &int)| {
            mapping.store(
                offset_in_mapping(place) + index * place.int_type.width(),
                int,
            )
        })
    };
    let count = ints.len() as u64;
    match open_or_create(args, directory, count, || Ok(store_all))? {
        None => Ok(()),
        Some(object) => {
            let target = Target::new(&object, place, count)?;
            target.prepare()?;
            store_all(&target.mapping).map_err(|BusError| target.lost())?;
            target.finish()
        }
    }
}

/// Updates one integer, and returns its old and new value.
fn update_one(
    args: &WriteIntArgs,
    directory: &Directory,
    update: Update,
) -> anyhow::Result<(Int, Int)> {
    let place = &args.place;
    let zero = Int::zero(place.int_type);
    let apply = |old: Int| match update {
        Update::Add(amount) => old
            .checked_add(amount)
            .ok_or_else(|| sum_out_of_range(&args.name, old, amount)),
        Update::Swap(new) => Ok(new),
        Update::If { old: expected, new } if old == expected => Ok(new),
        Update::If { .. } => Err(Failure::silent(Status::ConditionNotMet).into()),
    };
    let init = || {
        let new = apply(zero)?;
        Ok(move |mapping: &Mapping| mapping.store(offset_in_mapping(place), new))
    };
    let Some(object) = open_or_create(args, directory, 1, init)? else {
        return Ok((zero, apply(zero)?));
    };
    let target = Target::new(&object, place, 1)?;
    // Check before anything is changed: if the update fails, even the modification time must stay the same.
    let mut old = target.load()?;
    let mut new = apply(old)?;
    target.prepare()?;
    loop {
        let current = target
            .mapping
            .compare_exchange(offset_in_mapping(place), old, new);
        let current = current.map_err(|BusError| target.lost())?;
        if current == old {
            break;
        }
        old = current;
        new = apply(old)?;
    }
    target.finish()?;
    Ok((old, new))
}

fn sum_out_of_range(name: &ShmName, old: Int, amount: i128) -> anyhow::Error {
    let int_type = old.int_type();
    let (type_name, min, max) = (int_type.name(), int_type.min(), int_type.max());
    anyhow!("{name}: {old} plus {amount} is out of range: {type_name} is {min} to {max}")
}

/// Opens the object. If it does not exist, creates it with the integers that `fill` stores, and returns None.
fn open_or_create<F: FnOnce(&Mapping) -> Result<(), BusError>>(
    args: &WriteIntArgs,
    directory: &Directory,
    count: u64,
    fill: impl Fn() -> anyhow::Result<F>,
) -> anyhow::Result<Option<Object>> {
    let (name, place) = (&args.name, &args.place);
    // Open without O_CREAT first: in a sticky directory the kernel refuses O_CREAT for another user's object even to
    // root (`fs.protected_regular`, proc_sys_fs(5)). Each further iteration means that another process created the
    // object in the meantime.
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

/// The integers to change in an existing object, which other processes may use too.
struct Target<'a> {
    object: &'a Object,
    place: &'a Place,
    count: u64,
    /// The size of the object when it was opened.
    size: u64,
    mapping: Mapping,
}

impl<'a> Target<'a> {
    fn new(object: &'a Object, place: &'a Place, count: u64) -> anyhow::Result<Target<'a>> {
        let size = object.status()?.size;
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

    /// Loads the first integer without allocating memory.
    fn load(&self) -> Result<Int, Error> {
        let (place, object) = (self.place, self.object);
        if self.size == 0 || object.is_hole(place.offset, place.width()) {
            return Ok(Int::zero(place.int_type));
        }
        let int = self.mapping.load(offset_in_mapping(place), place.int_type);
        int.map_err(|BusError| self.lost())
    }

    /// Returns the error for a lost access to the mapping.
    fn lost(&self) -> Error {
        self.object.bus_error(self.place.end(self.count))
    }

    /// Does everything that can fail, so that the stores that follow cannot.
    fn prepare(&self) -> Result<(), Error> {
        let (object, place) = (self.object, self.place);
        object.set_modified()?;
        match self.size {
            0 => object.grow(place.end(self.count)),
            // A store into a hole allocates memory, and is a bus error if none is left.
            _ => object.reserve(place.offset, place.end(self.count) - place.offset),
        }
    }

    /// Wakes the processes that wait for the integers, and checks that the object was not truncated in the meantime.
    fn finish(&self) -> anyhow::Result<()> {
        let place = self.place;
        let length = place.end(self.count) - place.offset;
        futex::wake(&self.mapping, offset_in_mapping(place), length as usize);
        Ok(self.object.check_not_truncated(place.end(self.count))?)
    }
}
