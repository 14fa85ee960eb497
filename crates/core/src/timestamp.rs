//! Points in time: nanoseconds since the Unix epoch, written as RFC 3339 in UTC with nine digits of fraction.
//!
//! The formatting allocates nothing, so that init can stamp log lines with it.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// Length of the written form, `2016-10-06T00:17:09.669794202Z`.
pub const TIMESTAMP_LEN: usize = 30;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// A text that is not an RFC 3339 time in UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a time (expected as 2016-10-06T00:17:09.669794202Z)")]
pub struct TimestampError(String);

impl Timestamp {
    /// Now, by the system clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_secs() * NANOS + u64::from(since.subsec_nanos()))
    }

    /// Writes the time into `out`. Years after 9999 are written as 9999.
    pub fn write(self, out: &mut [u8; TIMESTAMP_LEN]) {
        let seconds = self.0 / NANOS;
        let (year, month, day) = civil_from_days(seconds / DAY);
        let of_day = seconds % DAY;
        out.copy_from_slice(b"0000-00-00T00:00:00.000000000Z");
        for (at, width, value) in [
            (0, 4, year.min(9999)),
            (5, 2, month),
            (8, 2, day),
            (11, 2, of_day / 3600),
            (14, 2, of_day / 60 % 60),
            (17, 2, of_day % 60),
            (20, 9, self.0 % NANOS),
        ] {
            digits(out, at, width, value);
        }
    }
}

fn digits(out: &mut [u8; TIMESTAMP_LEN], at: usize, width: usize, mut value: u64) {
    for byte in out.iter_mut().skip(at).take(width).rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since the epoch to year, month, day (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = year.checked_sub(u64::from(month <= 2))?;
    let (era, yoe) = (shifted / 400, shifted % 400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    (era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy).checked_sub(719_468)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TIMESTAMP_LEN];
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text).ok_or_else(|| TimestampError(text.to_owned()))
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]` and `Z` or `+HH:MM`.
fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let punctuation = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if punctuation.iter().any(|(at, mark)| text.get(*at..at + 1) != Some(*mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos = fraction.parse::<u64>().ok()? * 10u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = days_from_civil(year, month, day)? * DAY + hour * 3600 + minute * 60 + second;
    let seconds = match zone.as_bytes() {
        b"Z" => seconds,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let two = |a: u8, b: u8| {
                (a.is_ascii_digit() && b.is_ascii_digit()).then(|| u64::from(a - b'0') * 10 + u64::from(b - b'0'))
            };
            let offset = two(*h1, *h2)? * 3600 + two(*m1, *m2)? * 60;
            if *sign == b'+' { seconds.checked_sub(offset)? } else { seconds + offset }
        }
        _ => return None,
    };
    Some(Timestamp(seconds.checked_mul(NANOS)?.checked_add(nanos)?))
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_round_trip() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_000_000_001, "2000-02-28T23:59:59.000000001Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_475_713_029_669_794_202, "2016-10-06T00:17:09.669794202Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Timestamp(nanos).to_string(), text);
            assert_eq!(text.parse::<Timestamp>(), Ok(Timestamp(nanos)));
        }
    }

    #[test]
    fn offsets_and_short_fractions_are_read() {
        assert_eq!("1970-01-01T01:00:00.5+01:00".parse::<Timestamp>(), Ok(Timestamp(500_000_000)));
        assert_eq!("1970-01-01T00:00:00Z".parse::<Timestamp>(), Ok(Timestamp(0)));
    }

    #[test]
    fn bad_times_are_refused() {
        for bad in [
            "",
            "now",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01T00:00:00é",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
