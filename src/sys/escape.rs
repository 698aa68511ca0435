//! Escaping of untrusted bytes, such as names of objects, for display on a terminal.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;

/// Displays bytes without control characters, and so that different bytes always look different.
///
/// Characters that Rust considers unprintable are written as Rust escapes (`\n`, `\u{1b}`), a backslash as `\\`, and a
/// byte that is not valid UTF-8 as `\xff`. Everything else is unchanged.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fast path: lists can be long, and most names need no escaping.
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        if let Ok(plain) = str::from_utf8(self.0)
            && self.0.iter().all(is_plain)
        {
            return f.write_str(plain);
        }
        for chunk in self.0.utf8_chunks() {
            // `str::escape_debug` knows which characters are printable, but it also escapes quotes. Keep those.
            for piece in chunk.valid().split_inclusive(['"', '\'']) {
                let text = piece.trim_end_matches(['"', '\'']);
                write!(f, "{}", text.escape_debug())?;
                f.write_str(&piece[text.len()..])?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Formats an operand for a message: escaped, or `''` if it is empty.
pub fn operand(operand: &OsStr) -> String {
    if operand.is_empty() {
        "''".to_owned()
    } else {
        Escaped(operand.as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_and_invalid_utf8_are_escaped() {
        for (bytes, shown) in [
            (&b"counter"[..], "counter"),
            (b"two\nlines\t\r", r"two\nlines\t\r"),
            (b"\x1b[2J", r"\u{1b}[2J"),
            ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
            ("a\u{202e}b".as_bytes(), r"a\u{202e}b"),
            (b"\xff\xfea", r"\xff\xfea"),
            (br"back\slash", r"back\\slash"),
            (b"it's \"so\"''", "it's \"so\"''"),
            ("größe 数".as_bytes(), "größe 数"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn output_contains_no_control_characters(bytes: Vec<u8>) {
            prop_assert!(!Escaped(&bytes).to_string().chars().any(char::is_control));
        }

        #[test]
        fn different_bytes_are_shown_differently(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(a == b, Escaped(&a).to_string() == Escaped(&b).to_string());
        }
    }
}
