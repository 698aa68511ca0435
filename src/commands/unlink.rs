//! `unlink`: removes objects by name, or sweeps objects that match filters and are not in use.

use super::hidden::describe;
use super::listing::{list_all, print_skipped};
use super::place;
use crate::cli::UnlinkArgs;
use crate::commands::color::Palette;
use crate::exit::{Failure, Report, print_line};
use crate::objects::filter::Mismatch;
use crate::sys::shm::hidden::{HiddenUsage, measure_hidden};
use anyhow::anyhow;
use results::Results;
use rows::Rows;
use std::io::{self, IsTerminal};
use task::{Candidate, Task};

mod outcome;
mod remover;
mod results;
mod rows;
mod summary;
mod task;
mod workers;

/// Removes each NAME. Without NAMEs, removes every object that matches the FILTERs and is not in use.
///
/// # Errors
///
/// Fails if there are neither NAMEs nor FILTERs, if the process given with --pid cannot be inspected, if `/dev/shm`
/// cannot be read, or if standard output fails. Errors of single objects go to the report.
pub fn run(args: &UnlinkArgs, report: &mut Report) -> anyhow::Result<()> {
    if args.everywhere && !args.names.is_empty() {
        return Err(place::no_names_everywhere().into());
    }
    if args.names.is_empty() && args.filters.is_empty() {
        // As in rm, -f without operands is not an error.
        return match args.force {
            true => Ok(()),
            false => Err(Failure::usage("say what to remove: a NAME or a filter")
                .hint("--older-than 4h removes what was not modified for 4 hours and nobody uses")
                .into()),
        };
    }
    if !args.filters.pid.is_empty() && !args.include_in_use {
        return Err(
            Failure::usage("--pid selects objects that are in use, and those are kept")
                .hint("add --include-in-use to remove them")
                .into(),
        );
    }
    let prints = args.verbose || args.dry_run;
    // Opened first, so that nothing is removed if it could not be reported.
    let rows = prints.then(|| Rows::new(args.everywhere)).transpose()?;
    let mut results = Results::new(args, rows, report);
    let places = place::select(args.target.target.as_ref(), args.everywhere, prints)?;
    let mut tasks = Vec::with_capacity(places.len());
    let listings = match args.names.is_empty() {
        true => list_all(&places),
        false => places.iter().map(|_| Ok(Vec::new())).collect(),
    };
    for (place, listing) in places.into_iter().zip(listings) {
        let listing = match listing {
            Ok(listing) => listing,
            Err(why) if args.everywhere => {
                print_skipped(&place, &why);
                continue;
            }
            Err(why) => return Err(why.prefix(&place.label).into()),
        };
        let mut task = Task::new(args, place)?;
        match args.names.is_empty() {
            false => task.add_named(&args.names),
            true => match task.add_all(listing, &mut results.summary) {
                Err(error) if !args.everywhere => return Err(error.into()),
                Err(error) => results.report.note(Err(task.prefix(error.into()))),
                Ok(()) => {}
            },
        }
        tasks.push(task);
    }
    if let Some(rows) = &mut results.rows {
        let candidates = tasks.iter().flat_map(|task| &task.candidates);
        rows.align(candidates.map(|candidate: &Candidate| &candidate.name));
    }
    workers::run(&tasks, |task, candidate, outcome| {
        results.take(task, candidate, outcome)
    })?;
    results.flush()?;
    if args.names.is_empty() {
        finish_sweep(args, &tasks, &results)?;
    }
    Ok(())
}

/// Prints what a sweep did, and what it kept and why.
fn finish_sweep(args: &UnlinkArgs, tasks: &[Task], results: &Results) -> anyhow::Result<()> {
    if results.rows.is_some() || io::stderr().is_terminal() {
        // The age is the same in all places.
        let too_young = tasks.first().map(|task| task.explain(Mismatch::Age));
        let lines = results
            .summary
            .lines(args.dry_run, &too_young.unwrap_or_default());
        for line in lines {
            print_line(&line);
        }
        for task in tasks {
            let directory = &task.place.directory;
            let measure = || measure_hidden(directory).map_err(|error| error.to_string());
            let hidden = place::run_in(&task.place, measure);
            let hidden = hidden.unwrap_or_else(|| Ok(HiddenUsage::default()));
            if let Some(hidden) = describe(hidden.map_err(|error| anyhow!(error))?, args.all) {
                let place = task.label_prefix();
                print_line(&format!("{place}not swept: {hidden}"));
            }
            let exhausted = || {
                let inodes = directory.exhausted_inodes();
                inodes.map(|inodes| inodes.to_string())
            };
            if let Some(inodes) = place::run_in(&task.place, exhausted).flatten() {
                let Palette { alarm, .. } = Palette::new(args.color, io::stderr().is_terminal());
                print_line(&format!("{alarm}{inodes}{alarm:#}"));
            }
        }
    }
    results.unclear.print("kept");
    Ok(())
}
