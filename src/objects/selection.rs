//! The LISTs of `-o`, which select columns.

use crate::objects::columns::{COLUMNS, Column, Shown, Subject};
use crate::sys::escape;

/// The word for all columns in a LIST.
pub const ALL: &str = "all";

/// A parsed LIST.
#[derive(Debug, Clone)]
pub struct List {
    /// Whether the LIST adds to the default columns instead of replacing them.
    adds: bool,
    choices: Vec<Choice>,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    One(&'static Column),
}

/// Parses a LIST: keys separated by commas, optionally after a `+`.
///
/// # Errors
///
/// Fails if there is no such column.
pub fn parse(text: &str) -> Result<List, String> {
    let (adds, keys) = match text.strip_prefix('+') {
        Some(keys) => (true, keys),
        None => (false, text),
    };
    let choice = |key: &str| match Column::lookup(key) {
        Some(column) => Ok(Choice::One(column)),
        None if key.eq_ignore_ascii_case(ALL) => Ok(Choice::All),
        None => {
            let keys: Vec<_> = Column::offered().map(|column| column.key).collect();
            Err(format!(
                "no such column: {}\nhint: the columns are {}; {ALL} is all of them",
                escape::operand(key.as_ref()),
                keys.join(" "),
            ))
        }
    };
    Ok(List {
        adds,
        choices: keys.split(',').map(choice).collect::<Result<_, _>>()?,
    })
}

/// Returns whether a LIST names a column of the processes.
pub fn names_processes(lists: &[List]) -> bool {
    let mut choices = lists.iter().flat_map(|list| &list.choices);
    choices
        .any(|choice| matches!(choice, Choice::One(column) if column.subject == Subject::Process))
}

/// Returns whether the LISTs replace the default columns.
pub fn replaces_default(lists: &[List]) -> bool {
    lists.first().is_some_and(|list| !list.adds)
}

/// Returns the selected columns without duplicates. They start with the default ones, for which `is_default` returns
/// true, unless the first LIST replaces them. Columns of the processes belong to the default and to `all` only if
/// `with_processes` is true; others that are not for every list belong to `all` only if `is_offered` returns true.
pub fn columns(
    lists: &[List],
    with_processes: bool,
    is_offered: impl Fn(Shown) -> bool,
    is_default: impl Fn(&Column) -> bool,
) -> Vec<&'static Column> {
    let candidates = || {
        COLUMNS
            .iter()
            .filter(|column| with_processes || column.subject == Subject::Object)
    };
    let mut columns: Vec<&Column> = match replaces_default(lists) {
        true => Vec::new(),
        false => candidates().filter(|column| is_default(column)).collect(),
    };
    for choice in lists.iter().flat_map(|list| &list.choices) {
        let chosen: Vec<&Column> = match choice {
            Choice::One(column) => vec![column],
            Choice::All => candidates()
                .filter(|column| match column.shown {
                    Shown::Always | Shown::InAll => true,
                    shown => is_offered(shown),
                })
                .collect(),
        };
        for column in chosen {
            if !columns.iter().any(|one| std::ptr::eq(*one, column)) {
                columns.push(column);
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lists: &[&str], with_processes: bool) -> Vec<&'static str> {
        let lists: Vec<_> = lists.iter().map(|list| parse(list).unwrap()).collect();
        let is_default = |column: &Column| column.shown == Shown::Always;
        columns(&lists, with_processes, |_| false, is_default)
            .iter()
            .map(|column| column.key)
            .collect()
    }

    #[test]
    fn lists_add_up() {
        let default = ["name", "size", "allocated", "mode", "owner", "age"];
        assert_eq!(keys(&[], false), default);
        assert_eq!(keys(&["Size,NAME,size"], false), ["size", "name"]);
        assert_eq!(keys(&["size", "name"], false), ["size", "name"]);
        assert_eq!(keys(&["size", "+name"], false), ["size", "name"]);
        let more = [&default[..], &["inode", "links"]].concat();
        assert_eq!(keys(&["+inode,name,links"], false), more);
        assert_eq!(keys(&["+inode", "links"], false), more);
        assert_eq!(keys(&["+inode"], true).last(), Some(&"inode"));
        assert!(keys(&["+inode"], true).contains(&"pid"));
    }

    #[test]
    fn all_excludes_columns_that_must_be_named() {
        let all = keys(&["all"], false);
        assert!(all.contains(&"gid") && !all.contains(&"pid"));
        assert!(!all.contains(&"in-use") && !all.contains(&"used"));
        assert_eq!(keys(&["all"], true).len(), all.len() + 4);
        assert_eq!(keys(&["all,in-use"], false).last(), Some(&"in-use"));
    }

    #[test]
    fn unknown_columns_are_rejected_by_name() {
        for (list, message) in [
            ("name,color", "no such column: color\n"),
            ("", "no such column: ''\n"),
            ("+", "no such column: ''\n"),
            ("name,", "no such column: ''\n"),
            ("private", "no such column: private\n"),
        ] {
            assert!(parse(list).unwrap_err().starts_with(message), "{list}");
        }
    }
}
