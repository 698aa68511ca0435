//! Finds the users of objects: the processes that `/proc` shows. If it shows none, the kernel is asked.

use crate::commands::in_use::UseChecker;
use crate::exit::print_line;
use crate::objects::item::Item;
use crate::sys::process::proc::Holders;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::lease::Refusal;
use anyhow::Context;
use std::thread;
use std::time::Duration;

/// What to find out about objects.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// The processes that use each object.
    pub processes: bool,
    /// Whether each object is in use.
    pub in_use: bool,
}

/// Finds the users of the objects.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn look_up(items: &mut [Item], directory: &Directory, query: Query) -> anyhow::Result<()> {
    let mut holders = match query.processes {
        true => Some(holders(directory)?),
        false => None,
    };
    if let Some(holders) = &mut holders {
        for item in &mut *items {
            let held = holders.held.remove(&item.inode());
            item.uses = Some(held.map_or_else(Vec::new, |held| held.uses));
        }
    }
    let has_no_process = |item: &Item| item.uses.as_ref().is_some_and(Vec::is_empty);
    let to_check = items
        .iter_mut()
        .filter(|item| query.in_use || has_no_process(item));
    ask_kernel(to_check, directory);
    if let Some(holders) = &holders {
        let has_unseen_user = |item: &&mut Item| has_no_process(item) && item.in_use != Some(false);
        let unseen = items.iter_mut().filter(has_unseen_user);
        if unseen.map(|item| item.uses = None).count() > 0 {
            print_denied(holders);
        }
    }
    Ok(())
}

/// Asks the kernel whether the objects are in use.
///
/// If another shmtool asks about the same object, it holds the lease for some microseconds and looks like a user. So if
/// an object is in use but no process that uses it is visible, the kernel is asked again.
fn ask_kernel<'a>(items: impl Iterator<Item = &'a mut Item>, directory: &Directory) {
    const PAUSES: [u64; 3] = [1, 3, 9];
    let mut checker = UseChecker::new(directory);
    let mut is_unexplained = |item: &mut Item| {
        item.in_use = is_in_use(&mut checker, item);
        item.in_use == Some(true) && item.uses.as_ref().is_none_or(Vec::is_empty)
    };
    let mut unexplained = Vec::new();
    for item in items {
        if is_unexplained(item) {
            unexplained.push(item);
        }
    }
    for milliseconds in PAUSES {
        if unexplained.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(milliseconds));
        unexplained.retain_mut(|item| is_unexplained(item));
    }
}

/// Returns None if the kernel gives no clear answer.
fn is_in_use(checker: &mut UseChecker, item: &Item) -> Option<bool> {
    match checker.lease(&item.shm_name()) {
        Ok(_) => Some(false),
        Err(Refusal::InUse) => Some(true),
        Err(Refusal::Changed | Refusal::Unclear(_)) => None,
    }
}

/// Finds all processes that use files in the file system of the directory.
///
/// # Errors
///
/// Fails if `/proc` cannot be read.
pub fn holders(directory: &Directory) -> anyhow::Result<Holders> {
    Holders::of(directory.device()?).context("/proc")
}

/// Prints how many processes could not be inspected, if any, and the first three process IDs.
pub fn print_denied(holders: &Holders) {
    print_uninspected(&holders.denied);
}

/// Prints how many processes could not be inspected, if any, and the first three of their IDs.
pub fn print_uninspected(denied: &[i32]) {
    let pids: Vec<_> = denied.iter().map(i32::to_string).collect();
    let (first, more) = match pids.len() {
        0 => return,
        4.. => (&pids[..3], ", ..."),
        _ => (&pids[..], ""),
    };
    let processes = if pids.len() == 1 {
        "process"
    } else {
        "processes"
    };
    print_line(&format!(
        "{} {processes} could not be inspected ({}{more})",
        group_thousands(pids.len()),
        first.join(", ")
    ));
}

/// Formats a number with commas between the thousands.
fn group_thousands(number: usize) -> String {
    let digits = number.to_string();
    let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
    let groups = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    groups.fold(first.to_owned(), |text, group| text + "," + &group)
}

/// Returns the lowest ID of the processes that use an object, or the largest number if there is none, so that such
/// objects are sorted last.
pub fn first_pid(item: &Item) -> i32 {
    let uses = item.uses.iter().flatten();
    uses.map(|usage| usage.pid).min().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1843, "1,843"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(group_thousands(number), text);
        }
    }
}
