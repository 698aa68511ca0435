//! The section SYNOPSIS of a manual page.

use super::{NON_BREAKING_SPACE, Page, is_repeated, value_name};
use clap::{Arg, Command};
use roff::{bold, italic, roman};

impl Page {
    /// The command, then each option in its short form, if it has one. Adjacent options that all exclude each other share
    /// a bracket.
    pub fn synopsis(&mut self, command: &Command, is_program: bool) {
        if is_program {
            self.roff
                .text([bold("shmtool"), roman(" "), italic("VERB")]);
            self.roff.control("br", []);
            self.roff.text([
                bold("shmtool help"),
                roman(" ["),
                italic("VERB"),
                roman("]"),
            ]);
            return;
        }
        let mut line = vec![bold(format!("shmtool {}", command.get_name()))];
        let is_help = |arg: &Arg| matches!(arg.get_id().as_str(), "help" | "version");
        let arguments = command.get_arguments().filter(|arg| !is_help(arg));
        let (operands, options): (Vec<_>, Vec<_>) = arguments.partition(|arg| arg.is_positional());
        let excludes = |a: &Arg, b: &Arg| {
            let conflicts = |a, b: &Arg| {
                let mut others = command.get_arg_conflicts_with(a).into_iter();
                others.any(|other| other.get_id() == b.get_id())
            };
            conflicts(a, b) || conflicts(b, a)
        };
        // The first option of each group. Every two options of a group exclude each other.
        let mut starts = vec![0];
        for index in 1..options.len() {
            let start = *starts.last().unwrap();
            let group = &options[start..index];
            if !group.iter().all(|other| excludes(other, options[index])) {
                starts.push(index);
            }
        }
        for (index, option) in options.iter().enumerate() {
            let excludes_previous = !starts.contains(&index);
            let excludes_next = index + 1 < options.len() && !starts.contains(&(index + 1));
            line.push(roman(if excludes_previous { " | " } else { " [" }));
            line.push(match (option.get_short(), option.get_long()) {
                (Some(short), _) => bold(format!("-{short}")),
                (None, long) => bold(format!("--{}", long.unwrap())),
            });
            if let Some(value) = value_name(option) {
                line.extend([roman(NON_BREAKING_SPACE), italic(value)]);
            }
            if !excludes_next {
                line.push(roman("]"));
            }
            if is_repeated(option) {
                line.push(roman("..."));
            }
        }
        for operand in operands {
            let name = italic(value_name(operand).unwrap());
            let dots = if is_repeated(operand) { "..." } else { "" };
            if operand.is_last_set() {
                line.extend([roman(" [-- "), name, roman(" ["), italic("ARG")]);
                line.push(roman("]...]"));
            } else if operand.is_required_set() {
                line.extend([roman(" "), name, roman(dots)]);
            } else {
                line.extend([roman(" ["), name, roman("]"), roman(dots)]);
            }
        }
        self.roff.text(line);
    }
}
