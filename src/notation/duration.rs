//! DURATION: a span of time as people write it.

use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};
use jiff::{SignedDuration, Span, SpanRelativeTo, SpanRound, Unit};
use std::time::Duration;

/// The text is no DURATION.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration, or too long: use 250ms, 30s, 10m, 4h, 2d, 1h30m, or a number of seconds such as 0.5"
)]
pub struct Malformed;

/// Reads a DURATION: `250ms`, `30s`, `10m`, `4h`, `2d`, these joined (`1h30m`), or a bare number of
/// seconds with or without a fraction, as `sleep(1)` takes it. A day has 24 hours.
///
/// # Errors
///
/// No such text, a negative one, or more than some 20,000 years.
pub fn parse(text: &str) -> Result<Duration, Malformed> {
    static PARSER: SpanParser = SpanParser::new();
    let is_bare = |c: char| c.is_ascii_digit() || c == '.';
    if text.chars().all(is_bare) {
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

/// Shows a duration in the largest units that it fills: `4h`, `1h30m`, `2d`.
pub fn show(duration: Duration) -> String {
    static PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
    let units = SpanRound::new()
        .largest(Unit::Day)
        .days_are_24_hours()
        .smallest(Unit::Nanosecond);
    match Span::try_from(duration).and_then(|span| span.round(units)) {
        Ok(span) => PRINTER.span_to_string(&span),
        // Longer than parse() accepts.
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_alone_joined_and_none() {
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
    fn durations_are_shown_as_people_write_them() {
        for (text, shown) in [
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
            assert_eq!(show(parse(text).unwrap()), shown, "{text}");
        }
        assert_eq!(show(Duration::MAX), format!("{}s", u64::MAX));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
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
        fn every_number_of_milliseconds_is_read_back(milliseconds in 0..u64::from(u32::MAX)) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&format!("{milliseconds}ms")), Ok(duration));
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            prop_assert_eq!(parse(&format!("{}m{}s{rest}ms", seconds / 60, seconds % 60)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
