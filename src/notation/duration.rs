//! DURATION: a span of time, such as `1h30m`.

use jiff::fmt::friendly::SpanParser;
use jiff::{SignedDuration, SpanRelativeTo};
use std::fmt::{self, Display};
use std::time::Duration;

/// The text is not a valid DURATION.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration, or too long: use 250ms, 30s, 10m, 4h, 2d, 1h30m, or a number of seconds such as 0.5"
)]
pub struct Malformed;

/// Parses a DURATION: `250ms`, `30s`, `10m`, `4h`, `2d`, a combination (`1h30m`), or a number of seconds with or
/// without a fraction, as for `sleep(1)`. A day has 24 hours.
///
/// # Errors
///
/// Fails if the text is not a duration, is negative, or is longer than about 20,000 years.
pub fn parse(text: &str) -> Result<Duration, Malformed> {
    static PARSER: SpanParser = SpanParser::new();
    if is_number(text) {
        let seconds = text.parse().map_err(|_| Malformed)?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| Malformed);
    }
    PARSER
        .parse_span(text)
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration: SignedDuration| duration.try_into().ok())
        .ok_or(Malformed)
}

/// A DURATION that messages show as the user wrote it. The shorter one is the smaller one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// How long it is.
    pub duration: Duration,
    text: String,
}

/// Parses a DURATION and keeps its text.
///
/// # Errors
///
/// Those of [`parse`].
pub fn parse_written(text: &str) -> Result<Written, Malformed> {
    let duration = parse(text)?;
    let unit = if is_number(text) { "s" } else { "" };
    let text = format!("{text}{unit}");
    Ok(Written { duration, text })
}

impl Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_number(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn single_units_combined_units_and_plain_seconds_are_parsed() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("10m", 600_000),
            ("4h", 14_400_000),
            ("2d", 172_800_000),
            ("1h30m", 5_400_000),
            ("1d1h1m1s1ms", 90_061_001),
            ("1.5h", 5_400_000),
            ("7", 7_000),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5_000),
            ("007", 7_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_was_written() {
        for (text, shown) in [
            ("90m", "90m"),
            ("1h30m", "1h30m"),
            ("14400", "14400s"),
            (".5", ".5s"),
        ] {
            assert_eq!(parse_written(text).unwrap().to_string(), shown);
        }
        assert!(parse_written("1h").unwrap() < parse_written("61m").unwrap());
        assert_eq!(parse_written("x"), Err(Malformed));
    }

    #[test]
    fn invalid_durations_are_rejected() {
        for text in [
            "",
            ".",
            "-5",
            "-5s",
            "5s ago",
            "+",
            "ms",
            "5x",
            "1.2.3",
            "1e3",
            "inf",
            "nan",
            "0x10",
            "1h30",
            "1mo",
            "1y",
            "99999999999999999999999",
            "99999999999d",
            "٣s",
        ] {
            assert_eq!(parse(text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn formatted_durations_parse_to_the_same_duration(milliseconds in 0..u64::from(u32::MAX)) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&format!("{milliseconds}ms")), Ok(duration));
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            prop_assert_eq!(parse(&format!("{}m{}s{rest}ms", seconds / 60, seconds % 60)), Ok(duration));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
