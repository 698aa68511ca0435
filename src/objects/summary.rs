//! Where the shared memory of the machine is: `ls --summary`.

use crate::sys::memory::meminfo::{self, MemInfo};
use crate::sys::memory::nameless::Nameless;
use crate::sys::process::survey::Survey;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::hidden::measure_hidden;
use anyhow::Context;
use file_systems::{Class, FileSystem};
use std::collections::HashSet;

pub mod file_systems;

/// A kind of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Objects in our own directory that have a name.
    Named,
    /// Named semaphores there.
    Semaphores,
    /// Files in directories there.
    Directories,
    /// Files there whose names were removed, but that are still in use.
    Unlinked,
    /// Files of `memfd_create(2)`.
    Memfds,
    /// Shared anonymous mappings.
    Anonymous,
    /// Buffers of drivers that a process has mapped or open.
    DriverBuffers,
    /// System V segments.
    SystemV,
    /// The `/dev/shm` of other mount namespaces.
    OtherContainers,
    /// All other tmpfs.
    OtherTmpfs,
    /// The device files.
    Devtmpfs,
}

/// The memory of one kind.
#[derive(Debug)]
pub struct Entry {
    /// The kind.
    pub kind: Kind,
    /// The number of objects, files or file systems. None if nobody counted them.
    pub count: Option<u64>,
    /// The number of bytes. None if it is unknown.
    pub bytes: Option<u64>,
    /// Whether there may be more, because not everything could be examined. For unlinked files: whether there may be
    /// less.
    pub is_partial: bool,
    /// The file systems, the largest first.
    pub file_systems: Vec<FileSystem>,
}

impl Entry {
    /// Creates the entry of a kind without file systems, for which everything could be examined.
    pub fn new(kind: Kind, count: impl Into<Option<u64>>, bytes: impl Into<Option<u64>>) -> Entry {
        Entry {
            kind,
            count: count.into(),
            bytes: bytes.into(),
            is_partial: false,
            file_systems: Vec::new(),
        }
    }

    fn partial(self, is_partial: bool) -> Entry {
        Entry { is_partial, ..self }
    }
}

/// All shared memory of the machine that was found.
#[derive(Debug)]
pub struct Summary {
    /// One entry for each kind, in a fixed order.
    pub entries: Vec<Entry>,
    /// `Shmem` in `/proc/meminfo`, in bytes.
    pub shmem: u64,
    /// The processes that could not be inspected.
    pub denied: Vec<i32>,
    /// The number of IPC namespaces whose System V segments are not counted.
    pub closed_namespaces: usize,
    /// Whether this process is in a container. `Shmem` is that of the machine even there.
    pub is_in_container: bool,
    /// Whether our own objects are in shared memory. Otherwise they count as 0.
    pub is_tmpfs: bool,
}

impl Summary {
    /// Measures everything. The objects are those in `directory`.
    ///
    /// # Errors
    ///
    /// Fails if the directory or `/proc` cannot be read.
    pub fn measure(directory: &Directory) -> anyhow::Result<Summary> {
        let memory = MemInfo::read().context(meminfo::PATH)?;
        let survey = Survey::take().context("/proc")?;
        let device = directory.device()?;
        let is_tmpfs = directory.is_tmpfs().unwrap_or(false);
        let is_whole = is_tmpfs && is_whole_file_system(directory, &survey)?;
        let mut entries = match is_tmpfs {
            true => own_entries(directory, is_whole)?,
            false => OWN_KINDS.map(|kind| Entry::new(kind, 0, 0)).into(),
        };
        let counted = entries.iter().filter_map(|entry| entry.bytes).sum();
        entries.extend(files(&survey));
        // Without what is swapped out, like Shmem.
        let bytes: u64 = survey.segments.iter().map(|one| one.resident).sum();
        let system_v = Entry::new(Kind::SystemV, survey.segments.len() as u64, bytes);
        let is_partial = survey.closed_namespaces > 0 || !survey.denied.is_empty();
        entries.push(system_v.partial(is_partial));
        let own_device = is_tmpfs.then_some(device);
        let mut found = file_systems::measure(&survey, own_device, memory.total);
        if is_whole {
            found.retain(|file_system| file_system.device != device);
        } else if let Some(rest) = found.iter_mut().find(|one| one.device == device) {
            // What is in the directory has been counted.
            rest.bytes = rest.bytes.map(|bytes| bytes.saturating_sub(counted));
        }
        entries.extend(group(found));
        meminfo::update_counters();
        Ok(Summary {
            entries,
            shmem: MemInfo::read().context(meminfo::PATH)?.shmem,
            denied: survey.denied,
            closed_namespaces: survey.closed_namespaces,
            is_in_container: survey.is_in_container,
            is_tmpfs,
        })
    }

    /// Returns `Shmem` minus everything that was found.
    pub fn difference(&self) -> i128 {
        let found = self.entries.iter().filter_map(|entry| entry.bytes);
        i128::from(self.shmem) - found.map(i128::from).sum::<i128>()
    }
}

/// The kinds of memory in our own directory.
const OWN_KINDS: [Kind; 4] = [
    Kind::Named,
    Kind::Semaphores,
    Kind::Directories,
    Kind::Unlinked,
];

/// Returns whether the directory is the root of its file system. Otherwise that contains other files too.
fn is_whole_file_system(directory: &Directory, survey: &Survey) -> anyhow::Result<bool> {
    let status = directory.status()?;
    let mount = survey
        .own_mounts
        .iter()
        .find(|mount| mount.id == status.mount_id);
    Ok(match mount {
        Some(mount) => status.is_mount && mount.root == b"/",
        // The kernel is older than Linux 5.8, and does not tell the mount.
        None => true,
    })
}

/// Measures our own directory.
fn own_entries(directory: &Directory, is_whole: bool) -> anyhow::Result<Vec<Entry>> {
    let (mut named, mut semaphores) = ((0, 0), (0, 0));
    let mut linked = HashSet::new();
    for entry in directory.entries()? {
        let entry = entry?;
        // It was removed since the directory was read, or it is no object.
        let Ok(status) = entry.stat() else { continue };
        let (count, bytes) = match entry.name.is_semaphore() {
            true => &mut semaphores,
            false => &mut named,
        };
        *count += 1;
        // An object with several names takes its memory once.
        if status.links == 1 || linked.insert(status.inode) {
            *bytes += status.allocated;
        }
    }
    let directories = measure_hidden(directory)?.directories;
    let space = directory.space()?;
    let walked = named.1 + semaphores.1 + directories.bytes;
    // Without a limit, the file system does not count its pages.
    let unlinked = (is_whole && space.size > 0).then(|| space.used.saturating_sub(walked));
    let is_partial = directories.is_partial;
    Ok(vec![
        Entry::new(Kind::Named, named.0, named.1),
        Entry::new(Kind::Semaphores, semaphores.0, semaphores.1),
        Entry::new(
            Kind::Directories,
            directories.count as u64,
            directories.bytes,
        )
        .partial(is_partial),
        Entry::new(Kind::Unlinked, None, unlinked).partial(is_partial),
    ])
}

/// Adds up the files in the kernel's own tmpfs.
fn files(survey: &Survey) -> [Entry; 3] {
    let kinds = [
        (Nameless::Memfd, Kind::Memfds),
        (Nameless::Anonymous, Kind::Anonymous),
        (Nameless::DriverBuffer, Kind::DriverBuffers),
    ];
    kinds.map(|(nameless, kind)| {
        let files = survey
            .files
            .iter()
            .filter(|((kind, _), _)| *kind == nameless);
        let (mut entry, mut bytes) = (Entry::new(kind, 0, 0), 0);
        entry.is_partial = survey.device.is_none() || !survey.denied.is_empty();
        let mut count = 0;
        for (_, allocated) in files {
            count += 1;
            bytes += allocated.unwrap_or(0);
            entry.is_partial |= allocated.is_none();
        }
        (entry.count, entry.bytes) = (Some(count), Some(bytes));
        entry
    })
}

/// Groups the file systems by kind.
fn group(mut file_systems: Vec<FileSystem>) -> [Entry; 3] {
    file_systems.sort_by(|a, b| (b.bytes, &a.mount_point).cmp(&(a.bytes, &b.mount_point)));
    let mut entries = [
        (Class::OtherContainer, Kind::OtherContainers),
        (Class::Tmpfs, Kind::OtherTmpfs),
        (Class::Devtmpfs, Kind::Devtmpfs),
    ]
    .map(|(class, kind)| (class, Entry::new(kind, 0, 0)));
    for file_system in file_systems {
        for (class, entry) in &mut entries {
            if *class == file_system.class {
                entry.is_partial |= file_system.is_partial();
                entry.file_systems.push(file_system);
                break;
            }
        }
    }
    entries.map(|(_, mut entry)| {
        let bytes = entry.file_systems.iter().filter_map(|one| one.bytes);
        entry.bytes = Some(bytes.sum());
        entry.count = Some(entry.file_systems.len() as u64);
        entry
    })
}
