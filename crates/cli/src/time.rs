//! RFC 3339 timestamps in UTC, with nanoseconds, as logs and records have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// The first second after the year 9999, the last that RFC 3339 can write.
const END: u64 = 253_402_300_800;

/// `time` as `2016-10-06T00:17:09.669794202Z`; times outside the years 1970 to 9999 as the nearest end of that range.
pub fn rfc3339(time: SystemTime) -> String {
    let (base, nanoseconds) = parts(time);
    format!("{base}.{nanoseconds:09}Z")
}

/// `time` as `2016-10-06T00:17:09Z`.
pub fn rfc3339_seconds(time: SystemTime) -> String {
    parts(time).0 + "Z"
}

fn parts(time: SystemTime) -> (String, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(Duration::new(END - 1, 999_999_999));
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    (format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"), since.subsec_nanos())
}

/// Reads an RFC 3339 time from 1970 on: any number of fraction digits (cut to nanoseconds), `Z` or `+hh:mm`.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let number = |from: usize, count: usize| -> Option<u64> {
        let digits = bytes.get(from..from + count)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
    };
    let byte = |at: usize, allowed: &[u8]| bytes.get(at).filter(|byte| allowed.contains(byte)).copied();
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    for (at, allowed) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] {
        byte(at, allowed)?;
    }
    let days = days_from_civil(year, month, day)?;
    // A leap second is told as :60; it is the same instant here as the second after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanoseconds, end) = fraction(bytes, 19)?;
    let local = days * DAY + hour * 3600 + minute * 60 + second;
    let utc = match byte(end, b"Zz+-")? {
        b'Z' | b'z' if bytes.len() == end + 1 => local,
        sign @ (b'+' | b'-') if bytes.len() == end + 6 => {
            byte(end + 3, b":")?;
            let (hours, minutes) = (number(end + 1, 2)?, number(end + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if sign == b'+' { local.checked_sub(offset)? } else { local + offset }
        }
        _ => return None,
    };
    UNIX_EPOCH.checked_add(Duration::new(utc, nanoseconds))
}

/// The nanoseconds of an optional `.digits` at `at`, and where it ends.
fn fraction(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    if bytes.get(at) != Some(&b'.') {
        return Some((0, at));
    }
    let digits = bytes.get(at + 1..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let (mut nanoseconds, mut scale, mut count) = (0, 100_000_000, 0);
    for digit in digits {
        nanoseconds += u32::from(digit - b'0') * scale;
        scale /= 10;
        count += 1;
    }
    (count > 0).then_some((nanoseconds, at + 1 + count))
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; none for a date that does not exist or lies before 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = year - u64::from(month <= 2);
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn times_round_trip() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1_475_713_029, 669_794_202, "2016-10-06T00:17:09.669794202Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (END - 1, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(at(seconds, nanoseconds)), text);
            assert_eq!(parse_rfc3339(text), Some(at(seconds, nanoseconds)), "{text}");
        }
        assert_eq!(rfc3339_seconds(at(1_475_713_029, 5)), "2016-10-06T00:17:09Z");
    }

    #[test]
    fn every_day_round_trips() {
        for days in 0..END / DAY {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), Some(days));
        }
    }

    #[test]
    fn other_forms_are_read() {
        for (text, seconds, nanoseconds) in [
            ("2016-10-06T02:17:09+02:00", 1_475_713_029, 0),
            ("2016-10-05 22:47:09.5-01:30", 1_475_713_029, 500_000_000),
            ("2016-10-06t00:17:09.1234567891z", 1_475_713_029, 123_456_789),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
        ] {
            assert_eq!(parse_rfc3339(text), Some(at(seconds, nanoseconds)), "{text}");
        }
    }

    #[test]
    fn bad_times_are_refused() {
        for bad in [
            "",
            "2016",
            "2016-10-06",
            "2016-10-06T00:17:09",
            "2016-13-06T00:17:09Z",
            "2015-02-29T00:00:00Z",
            "2016-10-06T24:00:00Z",
            "2016-10-06T00:17:09.Z",
            "2016-10-06T00:17:09Zx",
            "2016-10-06T00:17:09+0200",
            "1969-12-31T23:59:59Z",
            "2016-10-06T00:17:09+99:00",
            "é016-10-06T00:17:09Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
