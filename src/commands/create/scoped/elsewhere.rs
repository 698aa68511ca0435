//! Objects in the `/dev/shm` of another container, for a command that runs here.
//!
//! A child takes on the rights of the container, makes the objects and removes them. This process keeps its own rights,
//! and runs the command.

use super::Scope;
use crate::cli::CreateArgs;
use crate::commands::create::input::Input;
use crate::exit::Failure;
use crate::sys::process::assistant::{Assistant, Superior};
use crate::sys::process::child::{pidfd, wait_for_end};
use crate::sys::process::command::{Command, Ending};
use crate::sys::process::rights::Rights;
use crate::sys::process::target::TargetError;
use crate::sys::shm::directory::Directory;
use anyhow::Context;
use nix::unistd::Pid;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};

/// What failed. Empty if nothing did.
type Failures = Vec<Failure>;

/// Makes the objects, runs the command, and removes the objects.
pub fn scope(
    args: &CreateArgs,
    mut input: Option<Input>,
    words: &[CString],
    directory: Directory,
    rights: &Rights,
) -> anyhow::Result<(Ending, Vec<anyhow::Error>)> {
    // FILE is always ours, so it is opened before the child gives up any rights.
    if let Some(input) = &mut input {
        input.open_early()?;
    }
    let assistant = Assistant::start(|superior| {
        // There is nobody to tell if it fails: the parent has ended then.
        let _ = assist(superior, args, directory, input, rights);
    });
    let assistant = assistant.context("cannot start a process for the container")?;
    // It has made the objects, without names.
    check(assistant.answer())?;
    let command = Command::prepare(words).context("cannot start a process for COMMAND")?;
    let named = assistant
        .request(command.pid().to_string().as_bytes())
        .context("the process for the container has ended")
        .and_then(|()| check(assistant.answer_soon()));
    if let Err(error) = named {
        command.cancel()?;
        return Err(error);
    }
    // If this fails the command may still run, and uses the objects. The guard removes them when it has ended.
    let ending = command.run().context("cannot wait for COMMAND")?;
    let removed = assistant
        .request(b"remove")
        .and_then(|()| assistant.answer_soon());
    let failures = match removed {
        Ok(answer) => failures(&answer)?.into_iter().map(Into::into).collect(),
        Err(errno) => {
            let error = anyhow::Error::from(errno);
            vec![error.context("shm-place does not answer: only shm-guard may remove the objects")]
        }
    };
    Ok((ending, failures))
}

/// Reads the answer of the child.
///
/// # Errors
///
/// What failed in the child.
fn check(answer: nix::Result<Vec<u8>>) -> anyhow::Result<()> {
    let answer = answer.context("the process for the container does not answer")?;
    match failures(&answer)?.pop() {
        None => Ok(()),
        Some(failure) => Err(failure.into()),
    }
}

fn failures(answer: &[u8]) -> anyhow::Result<Failures> {
    Ok(serde_json::from_slice(answer)?)
}

/// The work of the child.
///
/// # Errors
///
/// Fails if the parent has ended.
fn assist(
    superior: &Superior,
    args: &CreateArgs,
    directory: Directory,
    input: Option<Input>,
    rights: &Rights,
) -> anyhow::Result<()> {
    let answer = |failures: Vec<anyhow::Error>| -> anyhow::Result<()> {
        let failures: Failures = failures.iter().map(Failure::from).collect();
        Ok(superior.answer(&serde_json::to_vec(&failures)?)?)
    };
    let mut scope = Scope::new(args, directory, input);
    let assumed = rights.assume().map_err(TargetError::from);
    if let Err(error) = assumed
        .map_err(anyhow::Error::from)
        .and_then(|()| scope.prepare_all())
    {
        return answer(vec![error]);
    }
    answer(Vec::new())?;
    let Some(request) = superior.next_request() else {
        return Ok(());
    };
    let pid = str::from_utf8(&request)?.parse()?;
    let command = pidfd(Pid::from_raw(pid))?;
    let objects = scope.drafts.iter().map(|draft| draft.object().as_fd());
    let objects = objects.chain(scope.existing.iter().map(AsFd::as_fd));
    let kept = objects
        .chain([command.as_fd()])
        .chain(scope.creation.input.as_ref().and_then(Input::descriptor))
        .chain(scope.creation.directory.descriptor());
    superior.move_to_background(kept.map(|fd| fd.as_raw_fd()).collect())?;
    let mut guard = match scope.start_guard(command.as_fd()) {
        Ok(guard) => guard,
        Err(error) => return answer(vec![error]),
    };
    if let Err(error) = scope.name_all(command.as_fd(), &mut guard) {
        let mut failures = scope.remove();
        if failures.is_empty() {
            guard.dismiss()?;
        }
        // What failed first is reported last, for it decides the status.
        failures.push(error);
        return answer(failures);
    }
    answer(Vec::new())?;
    if superior.next_request().is_none() {
        // The parent has ended. The guard removes the objects when the command has ended too, if nobody has killed it.
        wait_for_end(command.as_fd());
        scope.remove();
        return Ok(());
    }
    let mut failures = scope.remove();
    // If something could not be removed, the guard tries again.
    if failures.is_empty()
        && let Err(errno) = guard.dismiss()
    {
        let error = anyhow::Error::from(errno);
        failures.push(error.context("cannot end the process that cleans up"));
    }
    answer(failures)
}
