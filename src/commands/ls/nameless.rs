//! `--unlinked` and `--nameless`: memory whose name is gone, or that never had one.

use super::users;
use crate::cli::LsArgs;
use crate::commands::denied::print_denied;
use crate::exit::print_line;
use crate::objects::filter::{Filter, ProcessFiles};
use crate::objects::item::{Item, Kind, Whereabouts};
use crate::objects::place::{OWN_LABEL, Place};
use crate::sys::error::describe_errno;
use crate::sys::memory::nameless::{Nameless, nameless_device};
use crate::sys::mounts::Mount;
use crate::sys::process::container::Container;
use crate::sys::process::ipc::{IpcNamespaces, Segment, own_segments};
use crate::sys::process::places::mount_namespace;
use crate::sys::process::proc::{DELETED, Held, Holders};
use crate::sys::process::tmpfs::tmpfs_devices;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::name::PREFIX;
use crate::sys::status::FileStatus;
use anyhow::Context;
use std::collections::{HashMap, HashSet};
use std::io;
use std::mem;
use std::rc::Rc;

/// The filters for memory without a name.
struct NamelessFilter {
    /// All filters but `--pid`.
    filter: Filter,
    /// The processes that must use the memory. They are looked for among the users that were found anyway, because
    /// [`Filter`] knows only the files in one directory.
    processes: Vec<ProcessFiles>,
}

impl NamelessFilter {
    fn new(args: &LsArgs) -> anyhow::Result<NamelessFilter> {
        let mut filter = args.filters.filter(&Directory::own())?;
        Ok(NamelessFilter {
            processes: mem::take(&mut filter.processes),
            filter,
        })
    }

    /// Returns whether the item passes all filters. It does not if a filter needs metadata that is not known.
    fn passes(&self, item: &Item) -> bool {
        let uses = || item.uses.iter().flatten();
        let is_used_by = |process: &ProcessFiles| uses().any(|one_use| one_use.pid == process.pid);
        let passes_status = match item.status() {
            Some(status) => self.filter.passes_status(status),
            None => self.filter.passes_inode(item.inode()),
        };
        passes_status
            && self.filter.passes_bytes(&item.name)
            && self.processes.iter().all(is_used_by)
    }
}

/// Returns the objects whose names are gone but whose memory is still in use.
///
/// # Errors
///
/// Fails if the directory or `/proc` cannot be read.
pub fn unlinked_objects(args: &LsArgs, places: &[Rc<Place>]) -> anyhow::Result<Vec<Item>> {
    let filter = NamelessFilter::new(args)?;
    let mut holders = users::holders(places)?;
    let mut items = take_unlinked(&mut holders.held, places, None)?;
    report_denied(args, &holders);
    let is_wanted = |item: &Item| args.all || !item.name.starts_with(b"/sem.");
    items.retain(|item| is_wanted(item) && filter.passes(item));
    Ok(items)
}

/// Returns all memory without a name: the unlinked objects of the places, memfds, shared anonymous mappings and
/// System V segments. Segments that nobody uses belong to our own IPC namespace, or with --everywhere to any.
///
/// # Errors
///
/// Fails if a directory or `/proc` cannot be read.
pub fn nameless_memory(args: &LsArgs, places: &[Rc<Place>]) -> anyhow::Result<Vec<Item>> {
    let filter = NamelessFilter::new(args)?;
    let mut devices = users::devices(places)?;
    // Unlinked objects of containers are found without entering these, and with --everywhere those of every tmpfs.
    let is_wanted =
        |mount: &Mount| !mount.is_devtmpfs && (args.everywhere || mount.mount_point == b"/dev/shm");
    devices.extend(tmpfs_devices(is_wanted).context("/proc")?);
    devices.sort_unstable();
    devices.dedup();
    let nameless = nameless_device()
        .map_err(io::Error::from)
        .context("cannot find memory without a name")?;
    let mut namespaces = IpcNamespaces::new();
    let wanted = args.everywhere.then_some(&mut namespaces);
    let mut holders = Holders::with_nameless(&devices, nameless, wanted).context("/proc")?;
    let mut items = take_unlinked(&mut holders.held, places, Some(nameless))?;
    report_denied(args, &holders);
    for item in &mut items {
        item.kind = Kind::Unlinked;
    }
    let files = holders.held.into_iter();
    items.extend(files.filter_map(|((_, inode), held)| unnamed_file(inode, held)));
    items.extend(segments(holders.segments, &namespaces)?);
    items.retain(|item| filter.passes(item));
    if args.everywhere {
        label(&mut items, places);
    }
    Ok(items)
}

/// Labels memory that belongs to no place with the container of a process that uses it: by its control group, or else by
/// the place that it sees.
fn label(items: &mut [Item], places: &[Rc<Place>]) {
    let labels_of_places = places.iter().filter_map(|place| {
        let process = place
            .container
            .as_ref()
            .map_or(std::process::id() as i32, |one| one.pid);
        Some((mount_namespace(process)?, &*place.label))
    });
    let labels_of_places: HashMap<u64, &str> = labels_of_places.collect();
    let mut labels: HashMap<i32, Rc<str>> = HashMap::new();
    for item in items {
        let user = item.uses.iter().flatten().next();
        if let (Whereabouts::Unknown, Some(user)) = (&item.whereabouts, user) {
            let look_up = || {
                let container = Container::of(user.pid);
                let namespace = mount_namespace(user.pid);
                let place = namespace.map(|number| labels_of_places.get(&number));
                match (container.as_ref().and_then(Container::short_id), place) {
                    (Some(id), _) => id.into(),
                    (None, Some(Some(label))) => (*label).into(),
                    // It sees no /dev/shm.
                    (None, Some(None)) => Place::label_of(user.pid, None).into(),
                    // It has just ended.
                    (None, None) => OWN_LABEL.into(),
                }
            };
            let label = labels.entry(user.pid).or_insert_with(look_up);
            item.whereabouts = Whereabouts::Container {
                label: Rc::clone(label),
                pid: user.pid,
            };
        }
    }
}

/// Reports the processes that could not be inspected: each of them may use memory that is not listed.
fn report_denied(args: &LsArgs, holders: &Holders) {
    // With --everywhere, the search for places has reported them already.
    if !args.everywhere {
        print_denied(&holders.denied);
    }
}

/// Takes the files out of `held`, except those on the device `nameless`, and returns those without a name.
fn take_unlinked(
    held: &mut HashMap<(u64, u64), Held>,
    places: &[Rc<Place>],
    nameless: Option<u64>,
) -> anyhow::Result<Vec<Item>> {
    let mut linked: HashMap<u64, (&Rc<Place>, HashSet<u64>)> = HashMap::new();
    for place in places {
        let directory = &place.directory;
        // Several places may be parts of one file system. Its objects without a name belong to the first of them.
        let (_, inodes) = linked
            .entry(directory.device()?)
            .or_insert_with(|| (place, HashSet::new()));
        // The directory of a container is not read: that could wait for ever. The number of links tells enough there.
        if place.is_own() {
            for entry in directory.entries()? {
                inodes.insert(entry?.inode());
            }
        }
    }
    let removed = held.extract_if(|(device, _), _| Some(*device) != nameless);
    let items = removed.filter_map(|((device, inode), held)| {
        // The link count is needed too, because a file in a subdirectory is not in `linked` but still has its name.
        let has_name = |status: FileStatus| status.links > 0;
        let place = linked.get(&device);
        let is_linked = place.is_some_and(|(_, inodes)| inodes.contains(&inode));
        if is_linked || held.status.is_some_and(has_name) {
            return None;
        }
        // If the kernel did not add this suffix to the path, the file still exists.
        let path = held.path.strip_suffix(DELETED)?;
        // Leaves the slash.
        let directory = &PREFIX.as_bytes()[..PREFIX.len() - 1];
        let name = path.strip_prefix(directory).unwrap_or(path).to_owned();
        let place = place.map(|(place, _)| *place);
        Some(Item::unlinked(place, &name, (device, inode), held))
    });
    Ok(items.collect())
}

/// Returns a memfd or a shared anonymous mapping.
fn unnamed_file(inode: u64, held: Held) -> Option<Item> {
    let (kind, name) = match Nameless::from_path(&held.path)? {
        Nameless::Memfd => (Kind::Memfd, shown_path(&held.path)),
        Nameless::Anonymous => (Kind::Anonymous, &b"anonymous"[..]),
        Nameless::SystemV | Nameless::DriverBuffer => return None,
    };
    let name = name.into();
    Some(Item::nameless(
        kind,
        name,
        inode,
        held.status,
        Some(held.uses),
    ))
}

/// Removes what `/proc` adds to the name of memory.
fn shown_path(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

/// Returns the System V segments: those in the tables of the IPC namespaces, and those that processes of other
/// namespaces use.
fn segments(
    mut used: HashMap<(u64, u64), Held>,
    namespaces: &IpcNamespaces,
) -> anyhow::Result<Vec<Item>> {
    let table = own_segments().context("/proc/sysvipc/shm")?;
    let container = |label: String, pid| Whereabouts::Container {
        label: label.into(),
        pid,
    };
    let others = namespaces.processes().map(|(number, pid)| {
        let label = Place::label_of(pid, Container::of(pid).as_ref());
        (number, container(label, pid))
    });
    let mut containers: HashMap<u64, Whereabouts> = others.collect();
    let own = container(OWN_LABEL.to_owned(), std::process::id() as i32);
    containers.insert(namespaces.own, own);
    let label = |mut item: Item, namespace: &u64| {
        if let Some(container) = containers.get(namespace) {
            item.whereabouts = container.clone();
        }
        item
    };
    let mut items = Vec::new();
    for (namespace, table) in [(namespaces.own, Ok(table))]
        .into_iter()
        .chain(namespaces.segments())
    {
        match table {
            Ok(table) => items.extend(table.iter().map(|segment| {
                let held = used.remove(&(namespace, segment.shmid.unsigned_abs().into()));
                label(segment_in_table(segment, held), &namespace)
            })),
            Err(errno) => print_line(&format!(
                "ipc:[{namespace}]: System V segments that no process uses are not listed: {}",
                describe_errno(errno)
            )),
        }
    }
    let others = used.into_iter();
    items.extend(others.map(|((namespace, shmid), held)| {
        let name = shown_path(&held.path);
        let key = key_in_name(name);
        let kind = Kind::SystemV { key };
        let item = Item::nameless(kind, name.into(), shmid, held.status, Some(held.uses));
        label(item, &namespace)
    }));
    Ok(items)
}

fn segment_in_table(segment: &Segment, held: Option<Held>) -> Item {
    let status = segment.status();
    // A segment that is marked for removal has lost its key, but the path still contains it.
    let name: Box<[u8]> = match &held {
        Some(held) => shown_path(&held.path).into(),
        None => format!("SYSV{:08x}", segment.key)
            .into_bytes()
            .into_boxed_slice(),
    };
    let kind = Kind::SystemV {
        key: key_in_name(&name),
    };
    let uses = match held {
        Some(held) => Some(held.uses),
        // The process that has it attached cannot be seen.
        None if segment.attached > 0 => None,
        None => Some(Vec::new()),
    };
    let mut item = Item::nameless(kind, name, status.inode, Some(status), uses);
    item.in_use = Some(segment.attached > 0);
    item
}

/// Returns the key in a name such as `SYSV00001234`.
fn key_in_name(name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(b"SYSV")?;
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}
