//! Colors on a terminal.

use crate::cli::Color;
use anstyle::{AnsiColor, Style};

/// The styles of highlighted text. Without colors all styles are plain, and print nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Palette {
    /// The header of a table.
    pub header: Style,
    /// A problem that needs attention.
    pub alarm: Style,
}

impl Palette {
    /// Chooses the styles. `on_terminal` says whether the output is a terminal.
    pub fn new(when: Color, on_terminal: bool) -> Palette {
        let is_colored = match when {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => on_terminal && !no_color_is_set() && !terminal_is_dumb(),
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

/// Returns whether `NO_COLOR` has any value except an empty one, see <https://no-color.org>.
fn no_color_is_set() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Returns whether the terminal would print escape sequences instead of interpreting them.
fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
