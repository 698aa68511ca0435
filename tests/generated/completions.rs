//! Completions that know the machine: what clap_complete makes of the options, and the objects that there are, of
//! which the scripts ask shmtool itself.

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use shmtool::objects::columns::Column;
use shmtool::objects::selection::ALL;
use std::fs;
use std::path::Path;

/// What a value is, told by its name; and the hint that stands for it on the way through clap_complete, which knows
/// nothing of objects, columns and conditions.
const HINTS: [(&str, ValueHint); 9] = [
    ("NAME", ValueHint::Hostname),
    ("FILE", ValueHint::FilePath),
    ("LIST", ValueHint::DirPath),
    ("[OP:]VALUE", ValueHint::CommandName),
    ("USER|UID", ValueHint::Username),
    ("COMMAND", ValueHint::CommandWithArguments),
    ("TYPE", ValueHint::Unknown),
    ("KEY", ValueHint::Unknown),
    ("WHEN", ValueHint::Unknown),
];

/// What the hints become in zsh.
const IN_ZSH: [(&str, &str); 6] = [
    // The colon would end the description.
    (":[OP:]VALUE:", ":VALUE:"),
    (
        "names -- Objects to create:_hosts'",
        "names -- Objects to create:_shmtool_names_or_command'",
    ),
    (":_hosts'", ":_shmtool_names'"),
    (":_files -/'", ":_shmtool_columns'"),
    (":_command_names -e'", ":_shmtool_conditions'"),
    (
        "operands -- Files to print; standard input if there are none, or for -:_files'",
        "operands -- Files to print:_shmtool_operands'",
    ),
];

/// What the hints become in fish.
const IN_FISH: [(&str, &str); 2] = [
    ("(__fish_complete_directories)", "(__shmtool_columns)"),
    ("(__fish_complete_command)", "(__shmtool_conditions)"),
];

/// The comparisons of `--until`, and what they mean.
const CONDITIONS: [(&str, &str); 6] = [
    ("eq", "equal"),
    ("ne", "not equal"),
    ("lt", "less than"),
    ("le", "less or equal"),
    ("gt", "greater than"),
    ("ge", "greater or equal"),
];

pub fn write_scripts(program: &Command, directory: &Path) {
    let mut hinted = program.clone();
    for verb in program.get_subcommands() {
        hinted = hinted.mut_subcommand(verb.get_name(), |verb| verb.mut_args(with_hint));
    }
    let generate = |shell| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut hinted.clone(), "shmtool", &mut script);
        String::from_utf8(script).unwrap()
    };
    let write = |name, text| fs::write(directory.join(name), text).unwrap();
    write("shmtool.bash", bash(program));
    write("_shmtool", zsh(generate(Shell::Zsh)));
    write("shmtool.fish", fish(generate(Shell::Fish)));
}

fn with_hint(arg: Arg) -> Arg {
    let Some([name]) = arg.get_value_names() else {
        return arg;
    };
    let hint = HINTS.iter().find(|(known, _)| name == known);
    arg.value_hint(hint.map_or(ValueHint::Other, |(_, hint)| *hint))
}

fn replace_all(mut script: String, replacements: &[(&str, &str)]) -> String {
    for (from, to) in replacements {
        assert!(script.contains(from), "{from}");
        script = script.replace(from, to);
    }
    script
}

fn zsh(script: String) -> String {
    let functions = include_str!("functions.zsh")
        .replace("@COLUMNS@", &listed(columns(), '[', "]"))
        .replace("@CONDITIONS@", &listed(CONDITIONS.into_iter(), ':', ""));
    // Before what is called when the file is loaded.
    let call = "if [ \"$funcstack[1]\"";
    // With two colons the functions would see the operands alone, and not the options before them.
    let script = script.replace("'*::", "'*:");
    replace_all(script, &IN_ZSH).replace(call, &format!("{functions}\n{call}"))
}

fn fish(script: String) -> String {
    let functions = include_str!("functions.fish")
        .replace("@COLUMNS@", &listed(columns(), '\t', ""))
        .replace("@CONDITIONS@", &listed(CONDITIONS.into_iter(), '\t', ""));
    format!("{functions}\n{}", replace_all(script, &IN_FISH))
}

/// The keys of the columns, each with what it means.
fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    let columns = Column::offered().map(|column| (column.key, column.help));
    columns.chain([(ALL, "all of them")])
}

/// Quoted words of a shell, each with what it means.
fn listed<'a>(
    items: impl Iterator<Item = (&'a str, &'a str)>,
    before: char,
    after: &str,
) -> String {
    let items = items.map(|(key, help)| {
        let help = help.replace('\'', "");
        match before {
            '\t' => format!("'{key}\t{help}'"),
            _ => format!("'{key}{before}{help}{after}'"),
        }
    });
    items.collect::<Vec<_>>().join(" ")
}

/// clap_complete's script for bash knows no operands, so it is ours but for the options.
fn bash(program: &Command) -> String {
    let verbs = || program.get_subcommands();
    let names: Vec<_> = verbs().map(Command::get_name).collect();
    let mut options = String::new();
    let mut with_value = Vec::new();
    for verb in verbs() {
        let mut all = Vec::new();
        for arg in verb.get_arguments().filter(|arg| !arg.is_positional()) {
            let spelled = spellings(arg);
            if arg.get_action().takes_values() {
                with_value.extend(spelled.clone());
            }
            all.extend(spelled);
        }
        options += &format!(
            "        {}) _shmtool_offer {} ;;\n",
            verb.get_name(),
            all.join(" ")
        );
    }
    with_value.sort();
    with_value.dedup();
    let of_kind = |name: &str| {
        let args = verbs().flat_map(Command::get_arguments);
        let mut spelled: Vec<_> = args
            .filter(|arg| {
                !arg.is_positional() && arg.get_value_names().is_some_and(|names| names[0] == name)
            })
            .flat_map(spellings)
            .collect();
        spelled.sort();
        spelled.dedup();
        spelled.join("|")
    };
    let possible = |name: &str| {
        let mut args = verbs().flat_map(Command::get_arguments);
        let arg = args.find(|arg| arg.get_value_names().is_some_and(|names| names[0] == name));
        let values: Vec<_> = arg
            .unwrap()
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        values.join(" ")
    };
    let columns: Vec<_> = columns().map(|(key, _)| key).collect();
    let conditions: Vec<_> = CONDITIONS.iter().map(|(op, _)| format!("{op}:")).collect();
    include_str!("functions.bash")
        .replace("@VERBS@", &names.join(" "))
        .replace("@OPTIONS@\n", &options)
        .replace("@WITH_VALUE@", &with_value.join("|"))
        .replace("@TYPE@", &of_kind("TYPE"))
        .replace("@TYPES@", &possible("TYPE"))
        .replace("@KEY@", &of_kind("KEY"))
        .replace("@KEYS@", &possible("KEY"))
        .replace("@WHEN@", &of_kind("WHEN"))
        .replace("@WHENS@", &possible("WHEN"))
        .replace("@LIST@", &of_kind("LIST"))
        .replace("@COLUMNS@", &columns.join(" "))
        .replace("@USER@", &of_kind("USER|UID"))
        .replace("@FILE@", &of_kind("FILE"))
        .replace("@CONDITION@", &of_kind("[OP:]VALUE"))
        .replace("@CONDITIONS@", &conditions.join(" "))
}

fn spellings(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    short.into_iter().chain(long).collect()
}
