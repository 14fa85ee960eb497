//! Quantities that people write: sizes, processor shares, durations.

use std::time::Duration;

/// Why a quantity was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form at all.
    #[error("\"{text}\" is not a {what} (write it as {example})")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
        /// A text that would be one.
        example: &'static str,
    },
    /// A unit that nobody knows.
    #[error("\"{text}\" is not a {what}: unknown unit \"{unit}\" (known are {known})")]
    Unit {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
        /// The unit.
        unit: String,
        /// The units that are known.
        known: &'static str,
    },
    /// Too large or too small to be kept.
    #[error("{what} \"{text}\" is out of range ({range})")]
    Range {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
        /// What is possible.
        range: &'static str,
    },
}

const SIZE_UNITS: &str = "K, M, G, T, P, with or without i or B after them; all are powers of 1024";

/// Reads a size in bytes: `512M`, `1Gi`, `1.5G`, `4096`. All units are powers of 1024, as in Docker and systemd.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let what = "size";
    let malformed = || QuantityError::Malformed { what, text: text.to_owned(), example: "512M or 1.5G" };
    let (number, unit) = split_unit(text).ok_or_else(malformed)?;
    let lower = unit.to_ascii_lowercase();
    let prefix = match lower.as_str() {
        "" | "b" => "",
        other => other.trim_end_matches('b').trim_end_matches('i'),
    };
    let known_form = ["", "i", "b", "ib"].iter().any(|suffix| lower == format!("{prefix}{suffix}"));
    let shift = match prefix {
        "" if matches!(lower.as_str(), "" | "b") => 0,
        "k" if known_form => 10,
        "m" if known_form => 20,
        "g" if known_form => 30,
        "t" if known_form => 40,
        "p" if known_form => 50,
        _ => return Err(QuantityError::Unit { what, text: text.into(), unit: unit.into(), known: SIZE_UNITS }),
    };
    let range = || QuantityError::Range { what, text: text.to_owned(), range: "at most 8 EiB" };
    let (value, scale) = parse_decimal(number).ok_or_else(malformed)?;
    let bytes = value.checked_mul(1u128 << shift).ok_or_else(range)? / scale;
    u64::try_from(bytes).ok().filter(|bytes| *bytes < 1 << 63).ok_or_else(range)
}

/// Writes a size for people: `1.5 GiB`.
pub fn format_size(bytes: u64) -> String {
    let mut unit = "B";
    let mut divisor = 1u64;
    for (name, shift) in [("KiB", 10u32), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50)] {
        if bytes >> shift == 0 {
            break;
        }
        (unit, divisor) = (name, 1 << shift);
    }
    let (whole, tenth) = (bytes / divisor, u128::from(bytes % divisor) * 10 / u128::from(divisor));
    if divisor == 1 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

/// Processor time as a share of one processor, in thousand-millionths: 1 500 000 000 is one and a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(u64);

impl Cpus {
    /// Thousand-millionths of a processor.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// Microseconds of running time in each `period` of as many microseconds; at least 1000, the kernel's least.
    pub fn quota(self, period: u64) -> u64 {
        let quota = u128::from(self.0) * u128::from(period) / 1_000_000_000;
        u64::try_from(quota).unwrap_or(u64::MAX).max(1000)
    }
}

/// Reads a number of processors: `2`, `0.5`, `1.25`, from 0.01 to 65536.
pub fn parse_cpus(text: &str) -> Result<Cpus, QuantityError> {
    let what = "number of processors";
    let malformed = || QuantityError::Malformed { what, text: text.to_owned(), example: "2 or 0.5" };
    let (value, scale) = parse_decimal(text).ok_or_else(malformed)?;
    let nanos = value.checked_mul(1_000_000_000).map(|nanos| nanos / scale);
    match nanos.and_then(|nanos| u64::try_from(nanos).ok()) {
        Some(nanos) if (10_000_000..=65_536 * 1_000_000_000).contains(&nanos) => Ok(Cpus(nanos)),
        _ => Err(QuantityError::Range { what, text: text.to_owned(), range: "0.01 to 65536" }),
    }
}

const DURATION_UNITS: &[(&str, u128)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: `10s`, `1h30m`, `500ms`, `1.5h`, `2d`; a number alone counts seconds. Units go from large to small.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let what = "duration";
    let malformed = || QuantityError::Malformed { what, text: text.to_owned(), example: "10s or 1h30m" };
    let range = || QuantityError::Range { what, text: text.to_owned(), range: "at most 584 years" };
    let mut rest = text;
    let mut total: u128 = 0;
    let mut last = u128::MAX;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at_checked(number_len).ok_or_else(malformed)?;
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at_checked(unit_len).ok_or_else(malformed)?;
        let (value, scale) = parse_decimal(number).ok_or_else(malformed)?;
        let factor = if unit.is_empty() && number_len == text.len() {
            1_000_000_000
        } else {
            DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(|| {
                let known = "d, h, m, s, ms, us, ns";
                QuantityError::Unit { what, text: text.to_owned(), unit: unit.to_owned(), known }
            })?
        };
        if factor >= last {
            return Err(malformed());
        }
        last = factor;
        total =
            value.checked_mul(factor).map(|part| part / scale).and_then(|p| total.checked_add(p)).ok_or_else(range)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(malformed());
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| range())
}

/// Writes a duration for people: `1h30m`, `10s`, `250ms`; the two largest units.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut out = String::new();
    let mut parts = 0;
    for (unit, factor) in DURATION_UNITS {
        let count = rest / factor;
        if count > 0 {
            out.push_str(&count.to_string());
            out.push_str(unit);
            rest %= factor;
        }
        if count > 0 || parts > 0 {
            parts += 1;
        }
        if parts == 2 || (parts == 1 && *factor <= 1_000_000_000 && count > 0) {
            break;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// Splits `12.5GiB` into number and unit.
fn split_unit(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at_checked(at)
}

/// Reads `12`, `0.5`; returns the digits as a whole number and the power of ten to divide by. At most 9 decimals.
fn parse_decimal(text: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some((whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction)?, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("12b", 12),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("1Gi", 1 << 30),
            ("1GiB", 1 << 30),
            ("1gb", 1 << 30),
            ("1.5G", 3 << 29),
            ("0.5k", 512),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "M",
            "-1",
            "1 G",
            "1x",
            "1.G",
            ".5",
            "1..5",
            "1e3",
            "1Gib2",
            "9000P",
            "18446744073709551616",
            "1ii",
            "1bb",
            "1i",
            "٣",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1536), "1.5 KiB");
        assert_eq!(format_size(200 << 20), "200 MiB");
        assert_eq!(format_size(u64::MAX), "16383 PiB");
    }

    #[test]
    fn processors() {
        assert_eq!(parse_cpus("1.5").unwrap().quota(100_000), 150_000);
        assert_eq!(parse_cpus("0.01").unwrap().quota(100_000), 1000);
        for bad in ["", "0", "0.001", "-1", "1,5", "65537", "1.5x", "inf", "1e1"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0", 0),
            ("10", 10_000),
            ("10s", 10_000),
            ("1.5s", 1500),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("1.5h", 5_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "1s1h", "1s1s", "1h30", "10 s", "1y", "1e3s", "999999999999d", "1µ"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(format_duration(Duration::from_secs(5400)), "1h30m");
        assert_eq!(format_duration(Duration::from_secs(3600)), "1h");
        assert_eq!(format_duration(Duration::from_millis(10_250)), "10s");
        assert_eq!(format_duration(Duration::from_millis(250)), "250ms");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }
}
