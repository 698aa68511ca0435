//! Reports processes that may not be inspected.

use crate::exit::print_line;

/// Prints how many processes could not be inspected, if any, and the first three process IDs.
pub fn print_denied(pids: &[i32]) {
    let pids: Vec<_> = pids.iter().map(i32::to_string).collect();
    let (first, more) = match pids.len() {
        0 => return,
        4.. => (&pids[..3], ", ..."),
        _ => (&pids[..], ""),
    };
    let (processes, ids) = match pids.len() {
        1 => ("process", "PID"),
        _ => ("processes", "PIDs"),
    };
    print_line(&format!(
        "{} {processes} could not be inspected ({ids} {}{more})",
        group_thousands(pids.len()),
        first.join(", ")
    ));
}

/// Formats a number with commas between the thousands.
fn group_thousands(number: usize) -> String {
    let digits = number.to_string();
    let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
    let groups = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    groups.fold(first.to_owned(), |text, group| text + "," + &group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1843, "1,843"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(group_thousands(number), text);
        }
    }
}
