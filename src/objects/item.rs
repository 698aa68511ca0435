//! An object, and what is known of it.

use crate::objects::filter::changed;
use crate::sys::process::proc::{Held, Use};
use crate::sys::shm::name::ShmName;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// An object, and what is known of it.
#[derive(Debug)]
pub struct Item {
    /// With its slash. Not a [`ShmName`], for one that is gone may have been a file in a directory.
    pub name: Box<[u8]>,
    inode: u64,
    stat: Stat,
    /// Who uses it: the processes that can be seen. None if this was not asked, or if there are users that cannot be
    /// seen and no others.
    pub uses: Option<Vec<Use>>,
    /// Whether anybody uses it. None if this was not asked, or if the kernel gives no clear answer.
    pub in_use: Option<bool>,
}

/// What there was to ask.
#[derive(Debug)]
enum Stat {
    /// The directory alone.
    Nothing,
    /// `stat(2)`.
    Known(Box<Metadata>),
    /// A mapping, which reaches so far.
    Extent(u64),
}

impl Item {
    /// An object of which only the name is needed.
    pub fn named(name: &ShmName, inode: u64) -> Item {
        Item {
            name: name.as_bytes().into(),
            inode,
            stat: Stat::Nothing,
            uses: None,
            in_use: None,
        }
    }

    /// An object with all that `stat(2)` knows.
    pub fn known(name: &ShmName, metadata: Metadata) -> Item {
        Item {
            inode: metadata.ino(),
            stat: Stat::Known(Box::new(metadata)),
            ..Item::named(name, 0)
        }
    }

    /// An object without a name, that others hold.
    pub fn held(name: &[u8], inode: u64, held: Held) -> Item {
        Item {
            name: name.into(),
            inode,
            stat: match held.metadata {
                Some(metadata) => Stat::Known(Box::new(metadata)),
                None => Stat::Extent(held.extent),
            },
            uses: Some(held.uses),
            in_use: Some(true),
        }
    }

    /// What `stat(2)` knows, if it was asked.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.stat {
            Stat::Known(metadata) => Some(metadata),
            _ => None,
        }
    }

    /// The name of an object that has one.
    ///
    /// # Panics
    ///
    /// It has none.
    pub fn shm_name(&self) -> ShmName {
        ShmName::new(OsStr::from_bytes(&self.name)).expect("it came from a NAME")
    }

    /// The number of its inode.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// In bytes; of what is only known by a mapping, as far as that reaches.
    pub fn size(&self) -> u64 {
        match &self.stat {
            Stat::Nothing => 0,
            Stat::Known(metadata) => metadata.len(),
            Stat::Extent(bytes) => *bytes,
        }
    }

    /// The memory that is allocated for it, in bytes: `stat(2)` counts in blocks of 512.
    pub fn allocated(&self) -> Option<u64> {
        self.metadata().map(|metadata| metadata.blocks() * 512)
    }

    /// The seconds since it was last changed in any way. A time in the future is no age.
    pub fn age(&self, now: i128) -> Option<u64> {
        let age = |metadata| now.saturating_sub(changed(metadata)).max(0) / 1_000_000_000;
        self.metadata()
            .map(|metadata| age(metadata).try_into().unwrap_or(u64::MAX))
    }
}
