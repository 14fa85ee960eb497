//! How fast bytes come, and how long the rest will take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is older does not count: a rate tells of now.
const WINDOW: Duration = Duration::from_secs(10);

/// Least time between two samples.
const STEP: Duration = Duration::from_millis(500);

/// A rate over less than this is chance.
const SETTLED: Duration = Duration::from_secs(1);

/// The counts of the last seconds, oldest first.
#[derive(Debug)]
pub(super) struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Nothing has come at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { samples: VecDeque::from([(now, 0)]) }
    }

    /// At `now` so many `bytes` have come in all.
    pub(super) fn sample(&mut self, now: Instant, bytes: u64) {
        if self.samples.back().is_some_and(|(last, _)| now.saturating_duration_since(*last) < STEP) {
            return;
        }
        self.samples.push_back((now, bytes));
        while self.samples.get(1).is_some_and(|(next, _)| now.saturating_duration_since(*next) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Bytes per second, when that can be said.
    pub(super) fn rate(&self, now: Instant, bytes: u64) -> Option<u64> {
        let (since, before) = *self.samples.front()?;
        rate(bytes.saturating_sub(before), now.saturating_duration_since(since))
    }
}

/// Bytes per second of `bytes` in `time`, unless that is too short to tell.
pub(super) fn rate(bytes: u64, time: Duration) -> Option<u64> {
    if time < SETTLED {
        return None;
    }
    u64::try_from(u128::from(bytes) * 1000 / time.as_millis()).ok()
}

/// Whole seconds that `left` bytes will take.
pub(super) fn remaining(left: u64, rate: Option<u64>) -> Option<u64> {
    rate.filter(|rate| *rate > 0).map(|rate| left.div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn a_rate_tells_of_the_last_seconds() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut meter = Meter::new(start);
        assert_eq!(meter.rate(at(900), MB), None);
        // One megabyte each second, looked at five times a second.
        for step in 1..=100 {
            meter.sample(at(step * 200), step * MB / 5);
        }
        assert_eq!(meter.rate(at(20_000), 20 * MB), Some(MB));
        // Then nothing: the rate falls, and is 0 when the window has passed.
        meter.sample(at(25_000), 20 * MB);
        assert!(meter.rate(at(25_000), 20 * MB).is_some_and(|rate| rate < MB));
        for step in 0..=12 {
            meter.sample(at(26_000 + step * 1000), 20 * MB);
        }
        assert_eq!(meter.rate(at(38_000), 20 * MB), Some(0));
        assert!(meter.samples.len() < 25);
    }

    #[test]
    fn the_rest_takes_whole_seconds() {
        assert_eq!(remaining(10 * MB, Some(MB)), Some(10));
        assert_eq!(remaining(1, Some(MB)), Some(1));
        assert_eq!(remaining(0, Some(MB)), Some(0));
        assert_eq!(remaining(MB, Some(0)), None);
        assert_eq!(remaining(MB, None), None);
    }

    #[test]
    fn numbers_at_their_ends() {
        assert_eq!(rate(u64::MAX, SETTLED), Some(u64::MAX));
        assert_eq!(rate(MB, Duration::from_millis(10)), None);
        assert_eq!(remaining(u64::MAX, Some(1)), Some(u64::MAX));
    }
}
