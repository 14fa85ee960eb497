//! When a request is made again, and after how long.

use std::time::{Duration, SystemTime};

/// The wait after the first failure; it doubles each time.
const FIRST: Duration = Duration::from_millis(200);
/// No wait of our own choice is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long, and then again.
    For(Duration),
    /// The server asks for more than the caller is willing to wait.
    TooLong(Duration),
}

/// Whether an answer of this status may be another one in a moment (RFC 9110 section 15, RFC 6585 section 4).
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// The wait after failure number `attempt` (from 0): doubling, and half of it by chance, so that many hosts that failed
/// together do not come back together.
pub fn backoff(attempt: u32) -> Wait {
    let whole = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    let chance = ctr_sys::random::bytes::<2>().map_or(0, u16::from_le_bytes);
    Wait::For(whole / 2 + whole / 2 * u32::from(chance) / u32::from(u16::MAX))
}

/// What `Retry-After` says (RFC 9110 section 10.2.3), within `longest`; without it, or where it is neither seconds nor a
/// date, our own wait.
pub fn after(header: Option<&str>, attempt: u32, longest: Duration) -> Wait {
    let Some(wait) = header.and_then(parse) else { return backoff(attempt) };
    match wait {
        _ if wait > longest => Wait::TooLong(wait),
        // A date that has passed, or 0: still no hammering.
        _ if wait < FIRST => backoff(attempt),
        _ => Wait::For(wait),
    }
}

fn parse(header: &str) -> Option<Duration> {
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        assert_eq!(after(Some("3"), 0, MAX), Wait::For(Duration::from_secs(3)));
        assert_eq!(after(Some("1000000000"), 0, MAX), Wait::TooLong(Duration::from_secs(1_000_000_000)));
        assert!(matches!(after(Some("99999999999999999999999"), 0, MAX), Wait::TooLong(_)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
        assert!(matches!(after(Some(&soon), 0, MAX), Wait::For(time) if time > Duration::from_secs(10)));
        for own in [None, Some("Wed, 21 Oct 2015 07:28:00 GMT"), Some("985.86\u{b5}s"), Some("-1"), Some(""), Some("0")]
        {
            assert!(matches!(after(own, 0, MAX), Wait::For(time) if time <= FIRST), "{own:?}");
        }
    }

    #[test]
    fn waits_grow_to_a_limit() {
        for (attempt, least, most) in [(0, 100, 200), (3, 800, 1600), (40, 15_000, 30_000)] {
            let Wait::For(time) = backoff(attempt) else { panic!("it has no limit") };
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(range.contains(&time), "{attempt}: {time:?}");
        }
    }
}
