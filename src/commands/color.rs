//! Colors for people at a terminal.

use crate::cli::Color;
use anstyle::{AnsiColor, Style};

/// How text is set off. Without colors all styles are plain, and print as nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Palette {
    /// The header of a table.
    pub header: Style,
    /// What somebody should do something about.
    pub alarm: Style,
}

impl Palette {
    /// The colors for an output that is or is not a terminal.
    pub fn new(when: Color, on_terminal: bool) -> Palette {
        let is_colored = match when {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => on_terminal && !has_no_color() && !is_dumb(),
        };
        match is_colored {
            true => Palette {
                header: Style::new().bold(),
                alarm: AnsiColor::Red.on_default(),
            },
            false => Palette::default(),
        }
    }
}

/// <https://no-color.org>: any value but an empty one.
fn has_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A terminal that shows escape sequences instead of acting on them.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
