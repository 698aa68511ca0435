//! Closing the files of removed objects in a second thread, while the first one removes more of them.
//!
//! Closing the last descriptor of a removed object frees its memory, and that takes a third of the time of a sweep.

use crate::sys::process::signal::BlockedSignals;
use nix::sys::resource::{Resource, getrlimit};
use std::fs::File;
use std::mem;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// The number of files that the thread takes at a time. To wake it for each file would take longer than to close it.
const BATCH: usize = 16;

/// The descriptors that the process must be allowed to have, so that three batches do not matter.
const MIN_DESCRIPTORS: u64 = 256;

/// A thread that closes files. When this is dropped, all of them are closed, and the thread has ended.
#[derive(Debug)]
pub struct Closer {
    files: Vec<File>,
    /// None only while this is dropped.
    sender: Option<SyncSender<Vec<File>>>,
    thread: Option<JoinHandle<()>>,
}

impl Closer {
    /// Starts the thread, which receives no signals. Returns None if that is not possible, or if the process may have only
    /// few descriptors (`getrlimit(2)`).
    pub fn start() -> Option<Closer> {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        if soft < MIN_DESCRIPTORS {
            return None;
        }
        // The thread inherits the mask.
        let _signals = BlockedSignals::new().ok()?;
        let (sender, receiver) = sync_channel::<Vec<File>>(1);
        let close_all = move || receiver.into_iter().for_each(drop);
        Some(Closer {
            files: Vec::with_capacity(BATCH),
            sender: Some(sender),
            thread: Some(Builder::new().spawn(close_all).ok()?),
        })
    }

    /// Closes a file soon.
    pub fn close(&mut self, file: File) {
        self.files.push(file);
        if self.files.len() == BATCH
            && let Some(sender) = &self.sender
        {
            let files = mem::replace(&mut self.files, Vec::with_capacity(BATCH));
            // If the thread has ended, the error contains the files, and drops them.
            let _ = sender.send(files);
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.files.clear();
        // Without a sender, the thread ends.
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}
