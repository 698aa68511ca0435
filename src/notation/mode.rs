//! MODE: the permissions of an object.

/// Why a text is not a valid MODE.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    #[error(
        "not a MODE: octal digits as for chmod, such as 600 (the owner alone) or 644 (others may read)"
    )]
    Malformed,
    #[error(
        "a MODE is at most 777: set-user-ID, set-group-ID and sticky mean nothing for shared memory"
    )]
    Special,
}

/// Parses a MODE: octal digits, at most `0777`.
///
/// # Errors
///
/// Fails for anything except octal digits, and for the set-user-ID, set-group-ID and sticky bits.
pub fn parse(text: &str) -> Result<u32, ModeError> {
    if !text.bytes().all(|b| matches!(b, b'0'..=b'7')) {
        return Err(ModeError::Malformed);
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(mode) if mode <= 0o7777 => Err(ModeError::Special),
        _ => Err(ModeError::Malformed),
    }
}

/// Formats permissions as `ls -l` does: `rw-r-----`, with `s`, `S`, `t`, `T` for the special bits.
pub fn format(mode: u32) -> String {
    const SPECIAL: [(u32, char, char); 3] =
        [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut text = String::with_capacity(9);
    for (class, (special, with_execute, without)) in SPECIAL.into_iter().enumerate() {
        let bits = mode >> (6 - 3 * class);
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => with_execute,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_digits_are_parsed() {
        for (text, mode) in [
            ("600", 0o600),
            ("0644", 0o644),
            ("0", 0),
            ("777", 0o777),
            ("00600", 0o600),
        ] {
            assert_eq!(parse(text), Ok(mode), "{text}");
        }
    }

    #[test]
    fn invalid_modes_are_rejected_with_a_reason() {
        for (text, error) in [
            ("", ModeError::Malformed),
            ("rw", ModeError::Malformed),
            ("608", ModeError::Malformed),
            ("-600", ModeError::Malformed),
            ("+600", ModeError::Malformed),
            ("0o600", ModeError::Malformed),
            ("10000", ModeError::Malformed),
            ("77777777777777777777777777", ModeError::Malformed),
            ("4600", ModeError::Special),
            ("1777", ModeError::Special),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn modes_are_formatted_as_ls_does() {
        for (mode, text) in [
            (0o600, "rw-------"),
            (0o640, "rw-r-----"),
            (0o777, "rwxrwxrwx"),
            (0, "---------"),
            (0o4755, "rwsr-xr-x"),
            (0o6644, "rwSr-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o1666, "rw-rw-rwT"),
        ] {
            assert_eq!(format(mode), text);
        }
    }
}
