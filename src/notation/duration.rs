//! DURATION: a span of time, such as `1h30m`.

use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};
use jiff::{SignedDuration, Span, SpanRelativeTo, SpanRound, Unit};
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
    let is_number_char = |c: char| c.is_ascii_digit() || c == '.';
    if text.chars().all(is_number_char) {
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

/// Formats a duration in the largest units that fit: `4h`, `1h30m`, `2d`.
pub fn format(duration: Duration) -> String {
    static PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
    let units = SpanRound::new()
        .largest(Unit::Day)
        .days_are_24_hours()
        .smallest(Unit::Nanosecond);
    match Span::try_from(duration).and_then(|span| span.round(units)) {
        Ok(span) => PRINTER.span_to_string(&span),
        // Longer than `parse` accepts.
        Err(_) => format!("{}s", duration.as_secs()),
    }
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
    fn durations_are_formatted_in_the_largest_units() {
        for (text, formatted) in [
            ("0", "0s"),
            ("250ms", "250ms"),
            ("0.5", "500ms"),
            ("90", "1m30s"),
            ("3600", "1h"),
            ("4h", "4h"),
            ("90m", "1h30m"),
            ("2d", "2d"),
            ("1w", "7d"),
        ] {
            assert_eq!(format(parse(text).unwrap()), formatted, "{text}");
        }
        assert_eq!(format(Duration::MAX), format!("{}s", u64::MAX));
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
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            prop_assert_eq!(parse(&format!("{}m{}s{rest}ms", seconds / 60, seconds % 60)), Ok(duration));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
