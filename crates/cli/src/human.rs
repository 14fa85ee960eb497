//! Sizes and times as people read and write them.

use std::time::Duration;

/// `bytes` in decimal units with three significant digits: `999 B`, `1.23 kB`, `79.4 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit_size = 1000_u128;
    let bytes = u128::from(bytes);
    for unit in UNITS {
        // In hundredths of the unit, cut and not rounded: 999.999 kB must not become "1000 kB".
        let hundredths = bytes * 100 / unit_size;
        if hundredths < 100_000 || unit == "EB" {
            let (whole, rest) = (hundredths / 100, hundredths % 100);
            return match whole {
                0..=9 => format!("{whole}.{rest:02} {unit}"),
                10..=99 => format!("{whole}.{} {unit}", rest / 10),
                _ => format!("{whole} {unit}"),
            };
        }
        unit_size *= 1000;
    }
    format!("{bytes} B")
}

/// How long ago: `just now`, `42 seconds ago`, `3 minutes ago`, `5 weeks ago`.
pub fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => String::from("just now"),
        _ => format!("{} ago", rough(age)),
    }
}

/// A duration in its largest whole unit: `300 milliseconds`, `1 second`, `3 minutes`, `2 years`.
pub fn rough(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0 => (u64::from(duration.subsec_millis()), "millisecond"),
        1..120 => (seconds, "second"),
        120..7200 => (seconds / MINUTE, "minute"),
        7200..172_800 => (seconds / HOUR, "hour"),
        172_800..1_209_600 => (seconds / DAY, "day"),
        1_209_600..5_184_000 => (seconds / (7 * DAY), "week"),
        5_184_000..63_072_000 => (seconds / (30 * DAY), "month"),
        _ => (seconds / (365 * DAY), "year"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Why a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError(String);

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" is not a duration (expected seconds, or for example 500ms, 90s, 5m, 1h30m, 2d)", self.0)
    }
}

impl std::error::Error for DurationError {}

/// Reads `10` (seconds), `1.5`, `500ms`, `90s`, `5m`, `1h30m`, `2d`, `1w`. Usable as a clap value parser.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        let scale = match unit.trim() {
            "ms" => 0.001,
            "" | "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(wrong()),
        };
        // A bare number is seconds only if it stands alone: "1h30" says nothing clear.
        if unit.is_empty() && number.len() != text.trim().len() {
            return Err(wrong());
        }
        let value: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(value * scale).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(total)
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1234, "1.23 kB"),
            (12_345, "12.3 kB"),
            (999_999, "999 kB"),
            (79_400_000, "79.4 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "just now"),
            (1, "1 second ago"),
            (119, "119 seconds ago"),
            (180, "3 minutes ago"),
            (7200, "2 hours ago"),
            (172_800, "2 days ago"),
            (2_592_000, "4 weeks ago"),
            (5_184_000, "2 months ago"),
            (63_072_000, "2 years ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn less_than_a_second_is_told_in_milliseconds() {
        assert_eq!(rough(Duration::from_millis(300)), "300 milliseconds");
        assert_eq!(rough(Duration::from_millis(1999)), "1 second");
    }

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("10", 10_000),
            ("0", 0),
            ("1.5", 1500),
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            (" 1m ", 60_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn bad_durations_are_refused() {
        for bad in ["", " ", "s", "1x", "-1", "1h30", "1.2.3s", "1e400", "nan", "inf", "99999999999999999999999d", "١s"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
