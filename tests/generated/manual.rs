//! Generates the manual pages, in man(7) format, from `cli.rs` and the texts beside it.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};
use std::fs;
use std::path::Path;

mod synopsis;

/// The date of the last change of the contents.
const DATE: &str = "2026-11-25";

/// The maximum length of a line in the source. Short lines make diffs readable.
const WIDTH: usize = 80;

/// Stands for a non-breaking space until the end. This byte does not occur in any text.
const NON_BREAKING_SPACE: &str = "\u{1f}";

/// Writes `shmtool.1`, `shmtool-VERB.1` and `shmtool-recipes.7`.
pub fn write_pages(program: &Command, directory: &Path) {
    let verbs = || {
        program
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
    };
    let list: Vec<_> = verbs().collect();
    let page = Page::new("shmtool", "shmtool", program, &list).finish();
    fs::write(directory.join("shmtool.1"), page).unwrap();
    for verb in verbs() {
        let title = format!("shmtool-{}", verb.get_name());
        let page = Page::new(&title, verb.get_name(), verb, &list).finish();
        fs::write(directory.join(title + ".1"), page).unwrap();
    }
    let page = Page::recipes().finish();
    fs::write(directory.join("shmtool-recipes.7"), page).unwrap();
}

/// Reads a text in the directory beside `cli.rs`.
fn read_text(path: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    fs::read_to_string(directory.join(path)).unwrap()
}

struct Page {
    roff: Roff,
}

impl Page {
    /// Starts a page with its name and description.
    fn start(title: &str, section: &str, manual: &str, about: &str) -> Page {
        let mut page = Page { roff: Roff::new() };
        let version = concat!("shmtool ", env!("CARGO_PKG_VERSION"));
        let heading = title.to_uppercase();
        page.roff
            .control("TH", [&heading, section, DATE, version, manual])
            // No hyphenation and no justification, so that options are not split or stretched.
            .control("nh", [])
            .control("ad", ["l"]);
        page.section("NAME");
        // By convention the description starts in lower case. Its first word is never a proper name.
        let lower = about[..1].to_lowercase() + &about[1..];
        page.roff.text([roman(format!("{title} - {lower}"))]);
        page
    }

    /// The page with the recipes.
    fn recipes() -> Page {
        let about = "Shared memory at the shell, step by step";
        let mut page = Page::start("shmtool-recipes", "7", "shmtool", about);
        page.blocks(&read_text("recipes.txt"), Page::section);
        page
    }

    fn new(title: &str, texts: &str, command: &Command, verbs: &[&Command]) -> Page {
        let about = command.get_about().unwrap().to_string();
        let mut page = Page::start(title, "1", "User Commands", &about);

        let is_program = title == "shmtool";
        page.section("SYNOPSIS");
        page.synopsis(command, is_program);

        page.section("DESCRIPTION");
        let long = command.get_long_about().unwrap().to_string();
        page.paragraphs(long.replacen("\n\n", ". ", 1).split("\n\n"));

        if is_program {
            page.section("VERBS");
            for verb in verbs {
                let tag = format!("shmtool-{}(1)", verb.get_name());
                page.tagged(highlight(&tag), &format!("{}.", verb.get_about().unwrap()));
            }
        }
        let (operands, options): (Vec<_>, _) =
            command.get_arguments().partition(|arg| arg.is_positional());
        if !operands.is_empty() {
            page.section("OPERANDS");
            operands.into_iter().for_each(|arg| page.argument(arg));
        }
        page.section("OPTIONS");
        page.options(options);

        page.notes(texts, is_program, verbs);
        page
    }

    fn section(&mut self, title: &str) {
        self.roff.control("SH", [title]);
    }

    fn paragraphs<'a>(&mut self, paragraphs: impl Iterator<Item = &'a str>) {
        for (index, paragraph) in paragraphs.enumerate() {
            if index > 0 {
                self.roff.control("PP", []);
            }
            self.roff.text(highlight(paragraph));
        }
    }

    fn tagged(&mut self, tag: Vec<Inline>, text: &str) {
        self.roff.control("TP", []);
        self.roff.text(tag);
        self.roff.text(highlight(text));
    }

    fn options(&mut self, options: Vec<&Arg>) {
        let mut heading = None;
        // Options without a heading come first.
        let (plain, headed): (Vec<_>, Vec<_>) = options
            .into_iter()
            .partition(|arg| arg.get_help_heading().is_none());
        for option in plain.into_iter().chain(headed) {
            if option.get_help_heading() != heading {
                heading = option.get_help_heading();
                self.roff.control("SS", [heading.unwrap()]);
            }
            self.argument(option);
        }
    }

    /// An option or operand with its long help.
    fn argument(&mut self, arg: &Arg) {
        let mut tag = Vec::new();
        if let Some(short) = arg.get_short() {
            tag.push(bold(format!("-{short}")));
        }
        if let Some(long) = arg.get_long() {
            let comma = if tag.is_empty() { "" } else { ", " };
            tag.extend([roman(comma), bold(format!("--{long}"))]);
        }
        if let Some(value) = value_name(arg) {
            let space = if tag.is_empty() { "" } else { " " };
            tag.extend([roman(space), italic(value)]);
        }
        let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
        let default = arg.get_default_values().first();
        let default = match default.filter(|_| arg.get_action().takes_values()) {
            Some(default) if !arg.is_hide_default_value_set() => {
                format!(" The default is {}.", default.to_string_lossy())
            }
            _ => String::new(),
        };
        let help = help.replacen("\n\n", ". ", 1);
        let dot = if help.ends_with('.') { "" } else { "." };
        self.tagged(tag, &format!("{help}{dot}{default}"));
    }

    /// The sections from the text files. EXAMPLES are inserted before NOTES.
    fn notes(&mut self, texts: &str, is_program: bool, verbs: &[&Command]) {
        let notes = read_text(&format!("notes/{texts}.txt"));
        self.blocks(&notes, |page, heading| {
            if heading == "NOTES" {
                page.examples(&read_text(&format!("examples/{texts}.txt")));
            }
            page.section(heading);
            if heading == "SEE ALSO" {
                match is_program {
                    true => verbs.iter().for_each(|verb| {
                        let name = verb.get_name();
                        page.roff.text(highlight(&format!("shmtool-{name}(1),")));
                    }),
                    false => drop(page.roff.text(highlight("shmtool(1),"))),
                }
            }
        });
    }

    /// Paragraphs, tables and examples, separated by empty lines. `start_section` gets each heading.
    fn blocks(&mut self, text: &str, start_section: impl Fn(&mut Page, &str)) {
        // A paragraph directly after a heading needs no .PP.
        let mut is_first = false;
        for block in text.split("\n\n") {
            let block = block.trim_end();
            let is_in_heading = |c: char| c.is_ascii_uppercase() || [' ', '-'].contains(&c);
            let is_heading = block.chars().all(is_in_heading);
            if is_heading {
                start_section(self, block);
            } else if block.starts_with("    ") {
                // Examples are indented. A table is copied unchanged.
                let is_example = block.starts_with("    $ ");
                match is_example {
                    true => self.roff.control("RS", []),
                    false => self.roff.control("PP", []),
                };
                self.roff.control("EX", []);
                for line in block.lines() {
                    self.roff.text([roman(&line[4..])]);
                }
                self.roff.control("EE", []);
                if is_example {
                    self.roff.control("RE", []);
                }
            } else if let Some((tag, text)) = block
                .strip_prefix("  ")
                .and_then(|block| block.split_once("  "))
            {
                self.tagged(vec![bold(tag)], text);
            } else {
                if !is_first {
                    self.roff.control("PP", []);
                }
                self.roff.text(highlight(block));
            }
            is_first = is_heading;
        }
    }

    fn examples(&mut self, text: &str) {
        self.section("EXAMPLES");
        let mut is_literal = false;
        let mut is_first = true;
        for line in text.lines().skip(1) {
            let literal = line.strip_prefix("    ");
            if literal.is_some() != is_literal {
                self.roff
                    .control(if is_literal { "EE" } else { "EX" }, [])
                    .control(if is_literal { "RE" } else { "RS" }, []);
                is_literal = !is_literal;
            }
            if let Some(literal) = literal {
                self.roff.text([roman(literal)]);
            } else if !line.is_empty() {
                if !is_first {
                    self.roff.control("PP", []);
                }
                self.roff.text(highlight(line.trim()));
                is_first = false;
            }
        }
        if is_literal {
            self.roff.control("EE", []).control("RE", []);
        }
    }

    /// The source of the page, broken into lines of at most [`WIDTH`] bytes.
    fn finish(self) -> String {
        let mut page = String::new();
        let mut is_literal = false;
        // The placeholder is escaped like the final `\ `, so that lengths are right, and no line is broken there.
        let source = self
            .roff
            .to_roff()
            .replace(NON_BREAKING_SPACE, &format!(r"\{NON_BREAKING_SPACE}"));
        for line in source.lines() {
            match line {
                ".EX" => is_literal = true,
                ".EE" => is_literal = false,
                _ => {}
            }
            let mut rest = line;
            while !is_literal && !line.starts_with('.') && rest.len() > WIDTH {
                let Some(space) = rest[..WIDTH].rfind(' ') else {
                    break;
                };
                page += &rest[..space];
                page.push('\n');
                rest = &rest[space + 1..];
                // At the start of a line, these characters would introduce a request.
                if rest.starts_with(['.', '\'']) {
                    page += r"\&";
                }
            }
            page += rest;
            page.push('\n');
            if line == ".EE" {
                // The end of an example turns hyphenation on again.
                page += ".nh\n";
            }
        }
        page.replace(NON_BREAKING_SPACE, " ")
    }
}

fn value_name(arg: &Arg) -> Option<String> {
    let names = arg.get_value_names()?;
    (arg.is_positional() || arg.get_action().takes_values()).then(|| names.join(" "))
}

/// Whether the argument may be given several times. A LIST with commas counts as one argument.
fn is_repeated(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append) && arg.get_value_delimiter().is_none()
}

/// Placeholders for values, which are printed in italics.
const VALUE_NAMES: [&str; 17] = [
    "ARG", "COMMAND", "DURATION", "FILE", "FILTER", "KEY", "LIST", "MODE", "NAME", "OLD", "OP",
    "PATTERN", "PID", "SIZE", "TYPE", "VALUE", "WHEN",
];

/// Formats a text: options, commands and manual pages in bold, placeholders in italics.
fn highlight(text: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for (index, word) in text.split([' ', '\n']).enumerate() {
        if index > 0 {
            inlines.push(roman(" "));
        }
        let core = word.trim_start_matches(['(', '"', '[']);
        let (before, core) = word.split_at(word.len() - core.len());
        inlines.push(roman(before));
        if let Some((name, rest)) = core.split_once('(')
            && rest.starts_with(|c: char| c.is_ascii_digit())
        {
            inlines.extend([bold(name), roman(format!("({rest}"))]);
            continue;
        }
        let stem = core.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let singular = stem.strip_suffix('s').unwrap_or(stem);
        let is_option = core.starts_with('-')
            && core.trim_start_matches('-').len() < core.len()
            && core
                .trim_start_matches('-')
                .starts_with(|c: char| c.is_ascii_alphabetic());
        if is_option || stem == "shmtool" {
            inlines.extend([bold(stem), roman(&core[stem.len()..])]);
        } else if VALUE_NAMES.contains(&singular) {
            inlines.extend([italic(singular), roman(&core[singular.len()..])]);
        } else {
            inlines.push(roman(core));
        }
    }
    inlines
}
