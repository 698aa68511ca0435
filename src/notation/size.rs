//! SIZE: a number of bytes, as users write it and as messages print it.

pub use crate::sys::error::{distinct_sizes, humanized_size};

/// The largest SIZE in bytes: the maximum of a file offset (`off_t`, `lseek(2)`).
pub const MAX: u64 = i64::MAX as u64;

/// Why a text is not a valid SIZE.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("not a SIZE: use bytes (4096 or 0x1000) or K, M, G, T (4K = 4KiB = 4096, 4KB = 4000)")]
    Malformed,
    #[error("a SIZE cannot be negative")]
    Negative,
    #[error("a SIZE has no fraction: use a smaller unit (1536K instead of 1.5M)")]
    Fraction,
    #[error("too large: no file has more than {MAX} bytes")]
    TooLarge,
}

/// Parses a SIZE: `4096`, `0x1000`, `4K` = `4KiB` = 4096, `4KB` = 4000, likewise M, G and T, in upper or lower case.
///
/// # Errors
///
/// Fails for a sign, a fraction, another suffix, a text without digits, and more than [`MAX`] bytes.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    if text.starts_with('-') {
        return Err(SizeError::Negative);
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (lower.as_str(), 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    if digits.is_empty() {
        return Err(SizeError::Malformed);
    }
    if suffix.starts_with(['.', ',']) {
        return Err(SizeError::Fraction);
    }
    let unit = unit(suffix).ok_or(SizeError::Malformed)?;
    // All digits are valid, so this can only fail because of overflow.
    u64::from_str_radix(digits, radix)
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|&bytes| bytes <= MAX)
        .ok_or(SizeError::TooLarge)
}

/// Returns the number of bytes in a unit: 1024 for `k` and `kib`, 1000 for `kb`, and so on.
fn unit(suffix: &str) -> Option<u64> {
    let Some(letter) = suffix.chars().next() else {
        return Some(1);
    };
    let power = "kmgt".find(letter)? as u32 + 1;
    match &suffix[1..] {
        "" | "ib" => Some(1024_u64.pow(power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn humanized_sizes_have_at_most_one_decimal() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (4096, "4KiB"),
            (1536, "1.5KiB"),
            ((6 << 20) - (5 << 17), "5.4MiB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(humanized_size(bytes), text);
        }
    }

    #[test]
    fn decimal_hexadecimal_and_units_are_parsed() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("0X1f", 31),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("4KB", 4000),
            ("1M", 1 << 20),
            ("1MB", 1_000_000),
            ("3GiB", 3 << 30),
            ("2T", 2 << 40),
            ("1TB", 1_000_000_000_000),
            ("0x10K", 16384),
            ("9223372036854775807", MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_sizes_are_rejected_with_a_reason() {
        for (text, error) in [
            ("", SizeError::Malformed),
            ("K", SizeError::Malformed),
            ("0x", SizeError::Malformed),
            ("4Q", SizeError::Malformed),
            ("4Ki", SizeError::Malformed),
            ("4 K", SizeError::Malformed),
            ("+4", SizeError::Malformed),
            ("4KiBB", SizeError::Malformed),
            ("4é", SizeError::Malformed),
            ("-1", SizeError::Negative),
            ("1.5", SizeError::Fraction),
            ("1.5K", SizeError::Fraction),
            ("99999999999999999999", SizeError::TooLarge),
            ("9223372036854775808", SizeError::TooLarge),
            ("8388608T", SizeError::TooLarge),
            ("18014398509481985K", SizeError::TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_of_bytes_is_parsed(bytes in 0..=MAX) {
            prop_assert_eq!(parse(&bytes.to_string()), Ok(bytes));
            prop_assert_eq!(parse(&format!("{bytes:#x}")), Ok(bytes));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
