//! `shmtool`: parses the command line, runs one verb, and exits with its status.

#![no_main]

use shmtool::cli::Command;
use shmtool::cli::parse::{Request, parse};
use shmtool::commands::{self, cat, create, ls, read_int, unlink, write_int};
use shmtool::exit::Report;
use shmtool::sys::process::signal;
use std::ffi::OsString;

shmtool::start_with!(shmtool);
shmtool::define_pow!();

fn shmtool(args: &mut dyn Iterator<Item = OsString>) -> u8 {
    let mut report = Report::default();
    let done = run(args, &mut report);
    report.note(done);
    report.status()
}

fn run(args: &mut dyn Iterator<Item = OsString>, report: &mut Report) -> anyhow::Result<()> {
    signal::prepare()?;
    let done = match parse(args)? {
        Request::Show(text) => commands::print(&text),
        Request::ShowAsError(text) => return commands::print_as_usage_error(&text),
        // COMMAND wrote and closed standard output itself, so there is nothing to close here. Its exit status says
        // whether that worked.
        Request::Run(Command::Create(args)) if !args.command.is_empty() => {
            return create::run(&args, report);
        }
        Request::Run(command) => match command {
            Command::Cat(args) => cat::run(&args, report),
            Command::Create(args) => create::run(&args, report),
            Command::WriteInt(args) => write_int::run(&args),
            Command::ReadInt(args) => read_int::run(&args),
            Command::Ls(args) => ls::run(&args, report),
            Command::Unlink(args) => unlink::run(&args, report),
        },
    };
    let output_failed = done.as_ref().is_err_and(commands::is_output_failure);
    report.note(done);
    match output_failed {
        // Closing standard output would report the same problem again.
        true => Ok(()),
        false => commands::close_output(),
    }
}
