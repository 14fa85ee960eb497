//! Moments and identifiers of documents, made of what is given and never of a clock or of chance.

use ctr_core::digest::Digest;

/// The tool that documents name.
pub(crate) const TOOL: &str = "ctr-build";
/// Its version.
pub(crate) const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ`; the years 1970 to 9999, what lies outside is the nearest of them.
pub(crate) fn rfc3339(epoch: i64) -> String {
    let epoch = epoch.clamp(0, 253_402_300_799);
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Days since 0000-03-01 in eras of 400 years; the year begins in March, so that a leap day is its last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A UUID of version 8 (RFC 9562) for the document of a format about an image.
pub(crate) fn uuid(format: &str, image: &Digest) -> String {
    let hex = Digest::of(format!("{TOOL} {TOOL_VERSION} {format} {}", image.hex()).as_bytes()).hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// A short name for something, of letters and digits, that follows of `parts` alone.
pub(crate) fn short_name(parts: &[&[u8]]) -> String {
    Digest::of(&parts.join(&0)).hex().get(..24).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_date() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-5, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ];
        for (epoch, expected) in cases {
            assert_eq!(rfc3339(epoch), expected);
        }
    }
}
