//! A bar for whoever waits at a terminal while many bytes are on their way.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};

/// A bar on standard error, for a `total` of bytes if that is known, with the rate and the time left.
///
/// There is none unless standard error is a terminal. It goes when it is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows a bar, where one can be seen; not where `results` go to the terminal meanwhile, for they would
    /// be written over each other.
    pub fn show(label: &str, total: Option<u64>, results: bool) -> Option<Progress> {
        if !io::stderr().is_terminal() || results {
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
        let style = ProgressStyle::with_template(template).expect("both templates are well formed");
        Some(Progress(
            bar.with_style(style.progress_chars("=> "))
                .with_prefix(label.to_owned()),
        ))
    }

    /// Moves on by so many bytes.
    pub fn advance(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
