//! Runs the tasks of `unlink`, those in other containers at the same time.

use super::outcome::Outcome;
use super::remover::Remover;
use super::task::{Candidate, Task};
use crate::commands::in_use::reason;
use crate::commands::listing::{check, print_skipped};
use crate::exit::Failure;
use crate::sys::process::crew::{self, Channel, End, Job};
use crate::sys::process::signal::BlockedSignals;
use crate::sys::process::socket::Message;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long objects are removed before signals are unblocked. It is one more object if that takes long.
const BATCH: Duration = Duration::from_millis(1);

/// Does all tasks, and passes each outcome to `take`. Our own place is swept by this process, and each other place by a
/// child that has at most the rights of root there.
///
/// # Errors
///
/// The first error of `take`. Then nothing more is removed.
pub fn run(
    tasks: &[Task],
    mut take: impl FnMut(&Task, &Candidate, Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for task in tasks.iter().filter(|task| task.place.is_own()) {
        remove_own(task, &mut take)?;
    }
    // Most containers have nothing to remove.
    let is_elsewhere = |task: &&Task| !task.place.is_own() && !task.candidates.is_empty();
    let elsewhere: Vec<_> = tasks.iter().filter(is_elsewhere).collect();
    // The number of candidates of each task whose outcome is known.
    let mut done = vec![0; elsewhere.len()];
    let jobs = elsewhere.iter().filter_map(|task| job(task));
    let ends = crew::run(jobs, |job, message: Message| {
        let (task, done) = (elsewhere[job], &mut done[job]);
        let Some((index, outcome)) = message.value::<(usize, Outcome)>() else {
            return Ok(());
        };
        take_settled(task, *done..index, &mut take)?;
        *done = index + 1;
        take(task, &task.candidates[index], outcome)
    })?;
    for ((task, done), end) in elsewhere.into_iter().zip(done).zip(ends) {
        let rest = done..task.candidates.len();
        if end == End::Done {
            take_settled(task, rest, &mut take)?;
        } else if task.args.everywhere {
            if let Err(error) = check(end) {
                print_skipped(&task.place, &Failure::failed(error.to_string()));
            }
        } else if let Some(candidate) = task.candidates[rest].first() {
            let problem = match end {
                End::Failed(errno) => {
                    format!(
                        "the child that removes objects has failed: {}",
                        reason(errno)
                    )
                }
                _ => "no answer for 5 seconds; it and the objects after it were not removed".into(),
            };
            let failure = Failure::failed(format!("{}: {problem}", candidate.name));
            take(task, candidate, Outcome::Failed(failure))?;
        }
    }
    Ok(())
}

/// Removes the candidates of our own place.
fn remove_own(
    task: &Task,
    take: &mut impl FnMut(&Task, &Candidate, Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut remover = Remover::new(task);
    remover.share_work();
    let prints = task.args.verbose || task.args.dry_run;
    let mut rest = task.candidates.iter();
    while !rest.as_slice().is_empty() {
        // Each removal blocks all signals. To block them once for many is faster. Nothing is printed before they are
        // unblocked.
        let (signals, start) = (BlockedSignals::new(), Instant::now());
        let mut outcomes = Vec::new();
        for candidate in rest.by_ref() {
            outcomes.push((candidate, remover.remove(candidate)));
            if prints || start.elapsed() > BATCH {
                break;
            }
        }
        drop(signals);
        for (candidate, outcome) in outcomes {
            take(task, candidate, outcome)?;
        }
    }
    Ok(())
}

/// Passes on the outcomes that were known before.
fn take_settled(
    task: &Task,
    range: Range<usize>,
    take: &mut impl FnMut(&Task, &Candidate, Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for candidate in &task.candidates[range] {
        if let Some(outcome) = candidate.settled.as_deref().cloned() {
            take(task, candidate, outcome)?;
        }
    }
    Ok(())
}

/// The job of the child that removes the candidates.
fn job<'a>(task: &'a Task) -> Option<Job<'a>> {
    let container = task.place.container.as_ref()?;
    let work = move |channel: &Channel| {
        container.enter(channel)?;
        let mut remover = Remover::new(task);
        let candidates = task.candidates.iter().enumerate();
        let mut unsettled = candidates.filter(|(_, candidate)| candidate.settled.is_none());
        unsettled.try_for_each(|(index, candidate)| {
            channel.send_value(&(index, remover.remove(candidate)))
        })
    };
    Some(Job {
        kept: task.place.descriptors(),
        // A place that gets stuck must not delay others.
        may_share: false,
        work: Box::new(work),
    })
}
