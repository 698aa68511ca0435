//! Progress bars on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};

/// A progress bar on standard error, with the speed and, if the total is known, the time left. Dropping it removes the
/// bar.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows a bar. Returns None if standard error is not a terminal, or if the results are printed to a terminal,
    /// because they and the bar would overwrite each other.
    pub fn show(label: &str, total: Option<u64>, results_on_terminal: bool) -> Option<Progress> {
        if !io::stderr().is_terminal() || results_on_terminal {
            return None;
        }
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{prefix} {binary_bytes}/{binary_total_bytes} [{wide_bar}] {binary_bytes_per_sec} {eta} left",
            ),
            None => (
                ProgressBar::no_length(),
                "{prefix} {binary_bytes} {spinner} {binary_bytes_per_sec} {elapsed}",
            ),
        };
        let style = ProgressStyle::with_template(template).expect("both templates are valid");
        Some(Progress(
            bar.with_style(style.progress_chars("=> "))
                .with_prefix(label.to_owned()),
        ))
    }

    /// Advances the bar by this number of bytes.
    pub fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
