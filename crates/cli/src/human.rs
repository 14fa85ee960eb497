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

/// A time that is left, as clocks show it: `0:17`, `4:10`, `2:05:00`.
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
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
    fn clocks() {
        for (seconds, text) in [(0, "0:00"), (17, "0:17"), (250, "4:10"), (7500, "2:05:00"), (360_000, "100:00:00")] {
            assert_eq!(clock(seconds), text);
        }
    }
}
