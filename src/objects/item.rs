//! An object and its metadata.

use crate::objects::place::{Inhabitant, Place};
use crate::sys::process::proc::{Held, Use};
use crate::sys::shm::name::ShmName;
use crate::sys::status::FileStatus;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// An object and what is known about it.
#[derive(Debug)]
pub struct Item {
    /// The name with its slash. Not a [`ShmName`], because an unlinked object may have been a file in a subdirectory.
    pub name: Box<[u8]>,
    /// What kind of memory it is.
    pub kind: Kind,
    stat: Stat,
    /// Where the object is.
    pub whereabouts: Whereabouts,
    /// The processes that use the object. None if nobody looked for them, or if the object may be in use but no process
    /// that uses it is visible.
    pub uses: Option<Vec<Use>>,
    /// Whether the object is in use. None if the kernel was not asked or gave no clear answer.
    pub in_use: Option<bool>,
}

/// Where shared memory is.
#[derive(Debug, Clone)]
pub enum Whereabouts {
    /// In this place.
    Place(Rc<Place>),
    /// In no directory, but in use in the container with this label, or in the IPC namespace of a process there.
    Container {
        /// The label of the container.
        label: Rc<str>,
        /// The ID of the process.
        pid: i32,
    },
    /// In no directory, and nobody has looked for its container.
    Unknown,
}

/// A kind of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An object. Its name tells whether it is a semaphore.
    Object,
    /// An object whose name was removed, in a list of all memory without a name.
    Unlinked,
    /// A memfd.
    Memfd,
    /// A shared anonymous mapping.
    Anonymous,
    /// A System V segment. Its inode number is its ID in its IPC namespace.
    SystemV {
        /// The key with which it was created.
        key: Option<u32>,
    },
}

/// What is known about the file of an object.
#[derive(Debug)]
enum Stat {
    /// Nobody looked, or nobody may look. Only the inode number is known.
    Unknown(u64),
    /// The result of `stat(2)`.
    Known(FileStatus),
    /// It is known only by its mappings.
    Mapped {
        device: u64,
        inode: u64,
        /// The offset up to which the mappings reach.
        extent: u64,
    },
}

impl Item {
    /// Creates an item of which only the name and the inode number are known.
    pub fn without_status(place: &Rc<Place>, name: ShmName, inode: u64) -> Item {
        Item {
            whereabouts: Whereabouts::Place(Rc::clone(place)),
            name: name.into_bytes(),
            kind: Kind::Object,
            stat: Stat::Unknown(inode),
            uses: None,
            in_use: None,
        }
    }

    /// Creates an item with its metadata.
    pub fn with_status(place: &Rc<Place>, name: ShmName, status: FileStatus) -> Item {
        Item {
            stat: Stat::Known(status),
            ..Item::without_status(place, name, 0)
        }
    }

    /// Creates an item for an object whose name was removed, but that processes still use.
    pub fn unlinked(place: Option<&Rc<Place>>, name: &[u8], file: (u64, u64), held: Held) -> Item {
        let place = place.cloned();
        Item {
            whereabouts: place.map_or(Whereabouts::Unknown, Whereabouts::Place),
            name: name.into(),
            kind: Kind::Object,
            stat: match held.status {
                Some(status) => Stat::Known(status),
                None => Stat::Mapped {
                    device: file.0,
                    inode: file.1,
                    extent: held.extent,
                },
            },
            uses: Some(held.uses),
            in_use: Some(true),
        }
    }

    /// Creates an item for memory that never had a name in a directory. The name is only what the list shows.
    pub fn nameless(
        kind: Kind,
        name: Box<[u8]>,
        inode: u64,
        status: Option<FileStatus>,
        uses: Option<Vec<Use>>,
    ) -> Item {
        Item {
            name,
            kind,
            whereabouts: Whereabouts::Unknown,
            stat: status.map_or(Stat::Unknown(inode), Stat::Known),
            in_use: uses.as_ref().map(|uses| !uses.is_empty()),
            uses,
        }
    }

    /// Returns the place that the object is in, unless it is memory without a directory.
    pub fn place(&self) -> Option<&Place> {
        match &self.whereabouts {
            Whereabouts::Place(place) => Some(place),
            Whereabouts::Container { .. } | Whereabouts::Unknown => None,
        }
    }

    /// Returns the container that the object is in, unless it is our own.
    pub fn container(&self) -> Option<&Inhabitant> {
        self.place()?.container.as_ref()
    }

    /// Returns the label of the place or container, if it is known.
    pub fn label(&self) -> Option<&str> {
        match &self.whereabouts {
            Whereabouts::Place(place) => Some(&place.label),
            Whereabouts::Container { label, .. } => Some(label),
            Whereabouts::Unknown => None,
        }
    }

    /// Returns the ID of a process in the place or container, if it is known.
    pub fn place_pid(&self) -> Option<i32> {
        match &self.whereabouts {
            Whereabouts::Place(place) => place.container.as_ref().map(|one| one.pid),
            Whereabouts::Container { pid, .. } => Some(*pid),
            Whereabouts::Unknown => None,
        }
    }

    /// Returns the result of `stat(2)`, if it is known.
    pub fn status(&self) -> Option<&FileStatus> {
        match &self.stat {
            Stat::Known(status) => Some(status),
            _ => None,
        }
    }

    /// Returns the name of an object that still has one.
    ///
    /// # Panics
    ///
    /// Panics if the name is not a valid NAME, which is possible only for memory without a name.
    pub fn shm_name(&self) -> ShmName {
        ShmName::new(OsStr::from_bytes(&self.name)).expect("an object with a name has a valid one")
    }

    /// Returns the device and inode numbers. The device number is 0 if only the directory entry was read.
    pub fn file(&self) -> (u64, u64) {
        match &self.stat {
            Stat::Unknown(inode) => (0, *inode),
            Stat::Known(status) => (status.device, status.inode),
            Stat::Mapped { device, inode, .. } => (*device, *inode),
        }
    }

    /// Returns the inode number.
    pub fn inode(&self) -> u64 {
        self.file().1
    }

    /// Returns the size in bytes. For an object that is known only by its mappings, it is the end of the last one.
    pub fn size(&self) -> Option<u64> {
        match &self.stat {
            Stat::Unknown(_) => None,
            Stat::Known(status) => Some(status.size),
            Stat::Mapped { extent, .. } => Some(*extent),
        }
    }

    /// Returns the allocated memory in bytes. `stat(2)` counts it in blocks of 512 bytes.
    pub fn allocated(&self) -> Option<u64> {
        self.status().map(|status| status.allocated)
    }

    /// Returns the seconds since the object was last changed, or 0 if that time is in the future.
    pub fn age(&self, now: i128) -> Option<u64> {
        let age =
            |status: &FileStatus| now.saturating_sub(status.last_change()).max(0) / 1_000_000_000;
        self.status()
            .map(|status| age(status).try_into().unwrap_or(u64::MAX))
    }
}
