//! `unlink`: remove names, or sweep away what nobody uses.

use super::in_use::{Judge, objects};
use super::{STDOUT, write_name};
use crate::cli::{UnlinkArgs, UsageError};
use crate::exit::{Report, tell};
use crate::objects::columns::humanised;
use crate::objects::filter::Filter;
use crate::sys::error::Error;
use crate::sys::io::stream::{self, Output};
use crate::sys::shm::attribute;
use crate::sys::shm::directory;
use crate::sys::shm::lease::Refusal;
use crate::sys::shm::name::ShmName;
use crate::sys::shm::object::Object;
use anyhow::Context;
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::fs::Metadata;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// A NAME does not pass the FILTERs.
#[derive(Debug, thiserror::Error)]
#[error("{name}: left, because {why}")]
pub struct Left {
    name: ShmName,
    why: &'static str,
}

/// Removes each NAME; without NAMEs, every object that passes the FILTERs and that nobody uses.
///
/// # Errors
///
/// Neither NAMEs nor FILTERs, `/dev/shm` that cannot be read, standard output that fails; those of the
/// objects go to the report.
pub fn run(args: &UnlinkArgs, report: &mut Report) -> anyhow::Result<()> {
    if args.names.is_empty() && args.filters.is_empty() {
        return Err(UsageError::new(
            "say what to remove: NAMEs, or a filter such as --older-than 4h; --glob '*' is all that nobody uses",
        )
        .into());
    }
    // Before anything goes: what goes is to be told.
    let prints = args.verbose || args.dry_run;
    let stdout = prints.then(stream::stdout).transpose().context(STDOUT)?;
    let mut sweep = Sweep {
        args,
        filter: args.filters.filter()?,
        judge: Judge::default(),
        out: stdout.map(|stdout| (BufWriter::new(stdout), stdout.as_fd().is_terminal())),
        tally: Tally::default(),
    };
    if args.names.is_empty() {
        sweep.all(report)?;
        sweep.flush()?;
        sweep.judge.tell_unclear();
        if args.verbose || io::stderr().is_terminal() {
            sweep.tell_totals();
        }
    } else {
        for name in &args.names {
            report.note(sweep.named(name));
        }
    }
    sweep.flush()
}

struct Sweep<'a> {
    args: &'a UnlinkArgs,
    filter: Filter,
    judge: Judge,
    /// Standard output, if names are printed, and whether a person reads them.
    out: Option<(BufWriter<Output>, bool)>,
    tally: Tally,
}

/// What a sweep came to.
#[derive(Default)]
struct Tally {
    removed: usize,
    /// Bytes.
    freed: u64,
    in_use: usize,
    not_ours: usize,
    changed: usize,
}

/// What has become of an object.
enum Fate {
    /// It is gone, or would be, and gives so many bytes back.
    Removed(u64),
    InUse,
    /// It is not the object that it was when it was chosen.
    Changed,
    NotOurs,
    /// The kernel does not say whether it is used.
    Unclear(Errno),
}

impl Sweep<'_> {
    /// Removes a NAME, if it passes.
    fn named(&mut self, name: &ShmName) -> anyhow::Result<()> {
        let metadata = match directory::stat(name) {
            Err(Error::NotFound(_)) if self.args.force => return Ok(()),
            result => result?,
        };
        let objection = match self.filter.objection(name, &metadata) {
            Some(objection) => Some(objection),
            None if self.args.filters.unused => match self.remove_unused(name)? {
                Fate::Removed(_) => None,
                Fate::InUse => Some("it is in use"),
                Fate::Changed => Some("it has just changed"),
                Fate::NotOurs => Some("only its owner may ask whether it is in use"),
                Fate::Unclear(_) => Some("the kernel does not say whether it is in use"),
            },
            None if self.args.dry_run => {
                attribute::check_removable(name)?;
                match directory::may_unlink(metadata.uid()) {
                    true => None,
                    false => return Err(Error::NotOwner(name.clone()).into()),
                }
            }
            None => match Object::unlink(name) {
                Err(Error::NotFound(_)) if self.args.force => return Ok(()),
                result => result.map(|()| None)?,
            },
        };
        match objection {
            Some(why) => Err(Left {
                name: name.clone(),
                why,
            }
            .into()),
            None => self.print(name),
        }
    }

    /// Removes every object that passes.
    fn all(&mut self, report: &mut Report) -> anyhow::Result<()> {
        // The directory is read before anything goes from it, so that no entry is skipped.
        let mut names = Vec::new();
        for entry in directory::entries()? {
            let name = entry.context(directory::PATH)?.name;
            if (self.args.all || !name.is_semaphore()) && self.filter.passes_name(&name) {
                names.push(name);
            }
        }
        if self.args.dry_run || self.args.verbose {
            names.sort_unstable();
        }
        for name in &names {
            match self.one_of_all(name) {
                Ok(None) => {}
                Ok(Some(Fate::Removed(bytes))) => {
                    self.tally.removed += 1;
                    self.tally.freed += bytes;
                    self.print(name)?;
                }
                Ok(Some(Fate::InUse)) => self.tally.in_use += 1,
                Ok(Some(Fate::Changed)) => self.tally.changed += 1,
                Ok(Some(Fate::NotOurs)) => self.tally.not_ours += 1,
                Ok(Some(Fate::Unclear(errno))) => self.judge.note_unclear(errno),
                Err(error) => report.note(Err(error.into())),
            }
        }
        Ok(())
    }

    /// Nothing has become of an object that does not pass.
    fn one_of_all(&mut self, name: &ShmName) -> Result<Option<Fate>, Error> {
        let forced = self.args.force && !self.args.filters.unused;
        if self.filter.needs_metadata() || forced {
            match directory::stat(name) {
                Ok(metadata) if !self.filter.passes_metadata(&metadata) => return Ok(None),
                Ok(metadata) if forced && self.args.dry_run => {
                    attribute::check_removable(name)?;
                    return Ok(Some(match directory::may_unlink(metadata.uid()) {
                        true => Fate::Removed(0),
                        false => Fate::NotOurs,
                    }));
                }
                Ok(_) => {}
                Err(Error::NotFound(_) | Error::NotAnObject { .. }) => {
                    return Ok(Some(Fate::Changed));
                }
                Err(error) => return Err(error),
            }
        }
        match forced {
            true => self.remove_forced(name),
            false => self.remove_unused(name),
        }
        .map(Some)
    }

    fn remove_unused(&mut self, name: &ShmName) -> Result<Fate, Error> {
        let lease = match self.judge.ask(name) {
            Ok(lease) => lease,
            Err(Refusal::InUse) => return Ok(Fate::InUse),
            Err(Refusal::Changed) => return Ok(Fate::Changed),
            Err(Refusal::Unclear(errno)) => return Ok(unclear(name, errno)),
        };
        let metadata = lease.metadata();
        // Under the lease, for it may have been modified since, or be another object.
        if !self.filter.passes_metadata(metadata) {
            return Ok(Fate::Changed);
        }
        if self.args.dry_run {
            attribute::check_removable(name)?;
        }
        let done = match self.args.dry_run {
            true if !directory::may_unlink(metadata.uid()) => return Ok(Fate::NotOurs),
            true => lease.still_holds(),
            false => lease.unlink()?,
        };
        Ok(match done {
            true if metadata.nlink() == 1 => Fate::Removed(metadata.blocks() * 512),
            true => Fate::Removed(0),
            false => Fate::Changed,
        })
    }

    /// What it gives back is not known: whoever uses it keeps it.
    fn remove_forced(&mut self, name: &ShmName) -> Result<Fate, Error> {
        match Object::unlink(name) {
            Ok(()) => Ok(Fate::Removed(0)),
            Err(Error::NotFound(_) | Error::NotAnObject { .. }) => Ok(Fate::Changed),
            Err(Error::NotOwner(_)) => Ok(Fate::NotOurs),
            Err(error) => Err(error),
        }
    }

    fn print(&mut self, name: &ShmName) -> anyhow::Result<()> {
        let Some((out, on_terminal)) = &mut self.out else {
            return Ok(());
        };
        write_name(out, name.as_bytes(), false, *on_terminal)
            // What is gone is told at once: a signal may end us before the next.
            .and_then(|()| match self.args.dry_run {
                true => Ok(()),
                false => out.flush(),
            })
            .context(STDOUT)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.out {
            Some((out, _)) => out.flush().context(STDOUT),
            None => Ok(()),
        }
    }

    fn tell_totals(&self) {
        let Tally {
            removed,
            freed,
            in_use,
            not_ours,
            changed,
        } = self.tally;
        let done = match self.args.dry_run {
            true => "would remove",
            false => "removed",
        };
        let mut text = format!("shmtool: {done} {}", objects(removed));
        if !self.args.force {
            text += &format!(" with {}", humanised(freed));
        }
        let left = [
            (in_use, "in use"),
            (not_ours, "of other users"),
            (changed, "changed meanwhile"),
        ];
        let left: Vec<_> = left
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} {why}"))
            .collect();
        if !left.is_empty() {
            text += &format!("; left {}", left.join(", "));
        }
        tell(text);
    }
}

/// What is another user's is not ours to judge, and no news; the rest is.
fn unclear(name: &ShmName, errno: Errno) -> Fate {
    let is_other_s = |metadata: Metadata| metadata.uid() != geteuid().as_raw();
    let refused = matches!(errno, Errno::EACCES | Errno::EPERM) && !geteuid().is_root();
    match refused && directory::stat(name).is_ok_and(is_other_s) {
        true => Fate::NotOurs,
        false => Fate::Unclear(errno),
    }
}
