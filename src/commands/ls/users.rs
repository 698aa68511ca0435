//! Who uses the objects: the processes that can be seen in `/proc`, and where none is, the kernel's word.

use crate::commands::in_use::Judge;
use crate::exit::print_line;
use crate::objects::item::Item;
use crate::sys::process::proc::Holders;
use crate::sys::shm::directory::Directory;
use crate::sys::shm::lease::Refusal;
use anyhow::Context;
use std::thread;
use std::time::Duration;

/// What is to be found out.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Which processes use each object.
    pub processes: bool,
    /// Whether anybody uses it.
    pub in_use: bool,
}

/// Finds out who uses the objects.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn look_up(
    items: &mut [Item],
    directory: &Directory,
    question: Question,
) -> anyhow::Result<()> {
    let mut holders = match question.processes {
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
    let asked = items
        .iter_mut()
        .filter(|item| question.in_use || has_no_process(item));
    ask_kernel(asked, directory);
    if let Some(holders) = &holders {
        let has_unseen_user = |item: &&mut Item| has_no_process(item) && item.in_use != Some(false);
        let unseen = items.iter_mut().filter(has_unseen_user);
        if unseen.map(|item| item.uses = None).count() > 0 {
            print_denied(holders);
        }
    }
    Ok(())
}

/// Asks whether anybody uses the objects.
///
/// Another shmtool that asks about the same object holds the lease, and looks like a user, for some microseconds. So
/// objects that are in use by nobody we see are asked about again.
fn ask_kernel<'a>(items: impl Iterator<Item = &'a mut Item>, directory: &Directory) {
    const PAUSES: [u64; 3] = [1, 3, 9];
    let mut judge = Judge::new(directory);
    let mut is_unexplained = |item: &mut Item| {
        item.in_use = is_in_use(&mut judge, item);
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

/// None if the kernel gives no clear answer.
fn is_in_use(judge: &mut Judge, item: &Item) -> Option<bool> {
    match judge.ask(&item.shm_name()) {
        Ok(_) => Some(false),
        Err(Refusal::InUse) => Some(true),
        Err(Refusal::Changed | Refusal::Unclear(_)) => None,
    }
}

/// Looks through `/proc`.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn holders(directory: &Directory) -> anyhow::Result<Holders> {
    Holders::of(directory.device()?).context("/proc")
}

/// Says how many processes could not be inspected, if any, and names the first three.
pub fn print_denied(holders: &Holders) {
    let pids: Vec<_> = holders.denied.iter().map(i32::to_string).collect();
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
        grouped(pids.len()),
        first.join(", ")
    ));
}

/// A number with commas between the thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
    let groups = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    groups.fold(first.to_owned(), |text, group| text + "," + &group)
}

/// The lowest id of the processes that use an object; without any, it comes after all that have one.
pub fn first_pid(item: &Item) -> i32 {
    let uses = item.uses.iter().flatten();
    uses.map(|one| one.pid).min().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1843, "1,843"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
