//! Completion scripts. clap_complete generates the options; our own functions complete objects, columns and conditions.
//! To list the objects, the scripts run `shmtool ls`.

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use shmtool::objects::columns::Column;
use shmtool::objects::selection::ALL;
use std::fs;
use std::path::Path;

/// The hint for each value name. clap_complete does not know objects, columns and conditions, so unused hints stand for
/// them, and [`IN_ZSH`] and [`IN_FISH`] replace what it generates for these hints.
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

/// Replacements in the script for zsh.
const IN_ZSH: [(&str, &str); 6] = [
    // The colon in the value name would end the description.
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

/// Replacements in the script for fish.
const IN_FISH: [(&str, &str); 2] = [
    ("(__fish_complete_directories)", "(__shmtool_columns)"),
    ("(__fish_complete_command)", "(__shmtool_conditions)"),
];

/// The operators of a CONDITION, and their meanings.
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
        hinted = hinted.mut_subcommand(verb.get_name(), |verb| verb.mut_args(set_hint));
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

fn set_hint(arg: Arg) -> Arg {
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
        .replace("@COLUMNS@", &quoted_list(columns(), '[', "]"))
        .replace(
            "@CONDITIONS@",
            &quoted_list(CONDITIONS.into_iter(), ':', ""),
        );
    // Our functions must be defined before this line, which runs when the file is loaded.
    let call = "if [ \"$funcstack[1]\"";
    // With two colons, `words` would contain only the operands, and our functions also need the options before them.
    let script = script.replace("'*::", "'*:");
    replace_all(script, &IN_ZSH).replace(call, &format!("{functions}\n{call}"))
}

fn fish(script: String) -> String {
    let functions = include_str!("functions.fish")
        .replace("@COLUMNS@", &quoted_list(columns(), '\t', ""))
        .replace(
            "@CONDITIONS@",
            &quoted_list(CONDITIONS.into_iter(), '\t', ""),
        );
    format!("{functions}\n{}", replace_all(script, &IN_FISH))
}

/// The names of the columns, each with its description.
fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    let columns = Column::offered().map(|column| (column.key, column.help));
    columns.chain([(ALL, "all of them")])
}

/// A list of quoted shell words, each with its description.
fn quoted_list<'a>(
    items: impl Iterator<Item = (&'a str, &'a str)>,
    separator: char,
    suffix: &str,
) -> String {
    let items = items.map(|(key, help)| {
        let help = help.replace('\'', "");
        match separator {
            '\t' => format!("'{key}\t{help}'"),
            _ => format!("'{key}{separator}{help}{suffix}'"),
        }
    });
    items.collect::<Vec<_>>().join(" ")
}

/// The script for bash. clap_complete's script does not complete operands, so this inserts the lists of verbs, options and
/// values into our own script.
fn bash(program: &Command) -> String {
    let verbs = || program.get_subcommands();
    let names: Vec<_> = verbs().map(Command::get_name).collect();
    let mut options = String::new();
    let mut options_with_value = Vec::new();
    for verb in verbs() {
        let mut all = Vec::new();
        for arg in verb.get_arguments().filter(|arg| !arg.is_positional()) {
            let names = option_names(arg);
            if arg.get_action().takes_values() {
                options_with_value.extend(names.clone());
            }
            all.extend(names);
        }
        options += &format!(
            "        {}) _shmtool_offer {} ;;\n",
            verb.get_name(),
            all.join(" ")
        );
    }
    options_with_value.sort();
    options_with_value.dedup();
    let options_with_value_name = |name: &str| {
        let args = verbs().flat_map(Command::get_arguments);
        let mut names: Vec<_> = args
            .filter(|arg| {
                !arg.is_positional() && arg.get_value_names().is_some_and(|names| names[0] == name)
            })
            .flat_map(option_names)
            .collect();
        names.sort();
        names.dedup();
        names.join("|")
    };
    let possible_values = |name: &str| {
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
        .replace("@WITH_VALUE@", &options_with_value.join("|"))
        .replace("@TYPE@", &options_with_value_name("TYPE"))
        .replace("@TYPES@", &possible_values("TYPE"))
        .replace("@KEY@", &options_with_value_name("KEY"))
        .replace("@KEYS@", &possible_values("KEY"))
        .replace("@WHEN@", &options_with_value_name("WHEN"))
        .replace("@WHENS@", &possible_values("WHEN"))
        .replace("@LIST@", &options_with_value_name("LIST"))
        .replace("@COLUMNS@", &columns.join(" "))
        .replace("@USER@", &options_with_value_name("USER|UID"))
        .replace("@FILE@", &options_with_value_name("FILE"))
        .replace("@CONDITION@", &options_with_value_name("[OP:]VALUE"))
        .replace("@CONDITIONS@", &conditions.join(" "))
}

/// The short and the long form of an option.
fn option_names(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    short.into_iter().chain(long).collect()
}
