//! The System V shared memory segments of one IPC namespace: `proc_sysvipc(5)`, `ipc_namespaces(7)`.

use super::child;
use crate::sys::memory::mapping::page_size;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2, read, write};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The segments in memory. Those that consist of huge pages are not counted: they are not `Shmem`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segments {
    /// The number of segments.
    pub count: u64,
    /// The number of bytes in memory, without what is swapped out.
    pub bytes: u64,
}

/// The maximum time for a child to answer, in milliseconds. It takes less than one.
const PATIENCE: u16 = 5000;

impl Segments {
    /// Reads the segments of our own namespace.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn own(huge_page: u64) -> io::Result<Segments> {
        match fs::read_to_string("/proc/sysvipc/shm") {
            Ok(text) => Ok(parse(&text, huge_page)),
            // The kernel was built without System V shared memory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Segments::default()),
            Err(error) => Err(error),
        }
    }

    /// Reads the segments of another namespace. The file shows those of the namespace of the process that opens it, so a
    /// child enters that namespace and sends us the numbers.
    ///
    /// # Errors
    ///
    /// Those of `setns(2)` and `fork(2)` count as `ECHILD`; `ETIMEDOUT` if the child did not answer.
    pub fn of_namespace(namespace: BorrowedFd, huge_page: u64) -> nix::Result<Segments> {
        let (answer, question) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: there is one thread, so that the child has everything that we have.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let _ = prctl::set_pdeathsig(Signal::SIGKILL);
                child::exit(i32::from(send(namespace, &question, huge_page).is_err()))
            }
            ForkResult::Parent { child } => {
                drop(question);
                let segments = receive(&answer);
                // We have not waited for it, so its ID is still its own.
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                segments
            }
        }
    }
}

/// Runs in the child: writes both numbers to the pipe.
fn send(namespace: BorrowedFd, pipe: &OwnedFd, huge_page: u64) -> io::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWIPC)?;
    let Segments { count, bytes } = Segments::own(huge_page)?;
    // So short a message arrives as a whole.
    write(pipe, &[count.to_ne_bytes(), bytes.to_ne_bytes()].concat())?;
    Ok(())
}

fn receive(pipe: &OwnedFd) -> nix::Result<Segments> {
    let mut ready = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::from(PATIENCE))? == 0 {
        return Err(Errno::ETIMEDOUT);
    }
    let mut numbers = [0; 16];
    if read(pipe, &mut numbers)? < numbers.len() {
        return Err(Errno::ECHILD);
    }
    let (count, bytes) = numbers.split_at(8);
    let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("8 bytes"));
    Ok(Segments {
        count: number(count),
        bytes: number(bytes),
    })
}

/// Adds up the segments in `/proc/sysvipc/shm`.
fn parse(text: &str, huge_page: u64) -> Segments {
    let page = huge_page.max(page_size() as u64);
    let mut segments = Segments::default();
    for line in text.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace();
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let (Some(size), Some(resident)) = (number(3), number(10)) else {
            continue;
        };
        // The kernel multiplies the memory of a segment of huge pages by the number of pages in a huge page once too
        // often. An ordinary segment can have more memory than its size only up to the end of its last page.
        if resident > size.checked_next_multiple_of(page).unwrap_or(size) {
            continue;
        }
        segments.count += 1;
        segments.bytes = segments.bytes.saturating_add(resident);
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

    #[test]
    fn segments_are_added_up_without_those_of_huge_pages() {
        let line = |size: u64, rss: u64| {
            format!("0 5 1600 {size} 1 1 0 0 0 0 0 0 0 1764099000 {rss} 8192\n")
        };
        let text = [
            HEADER,
            &line(8 << 20, 4 << 20),
            &line(100, 4096),
            // One huge page of 2 MiB.
            &line(2 << 20, 1 << 30),
            "nonsense\n",
        ]
        .concat();
        let segments = parse(&text, 2 << 20);
        assert_eq!((segments.count, segments.bytes), (2, (4 << 20) + 4096));
        assert_eq!(parse("", 0), Segments::default());
    }
}
