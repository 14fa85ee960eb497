//! What has been moved of what: the numbers behind every way to show them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::meter::{self, Meter};
use super::screen::Row;

/// One piece of work. The thread that does it only adds to the counters; whoever shows them looks now and then.
#[derive(Debug)]
pub(super) struct Item {
    /// As it was given: it may hold anything.
    pub(super) label: String,
    /// Bytes in all, if that is known.
    pub(super) size: Option<u64>,
    /// Bytes that were there before.
    kept: AtomicU64,
    /// Bytes that were moved now.
    moved: AtomicU64,
    began: Instant,
    meter: Mutex<Meter>,
    pub(super) row: Option<Row>,
}

/// How far something is, in bytes and whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What was there before and what was moved.
    pub(super) done: u64,
    pub(super) kept: u64,
    pub(super) size: Option<u64>,
    pub(super) rate: Option<u64>,
    pub(super) remaining: Option<u64>,
}

impl Item {
    pub(super) fn new(label: &str, size: Option<u64>, row: Option<Row>, now: Instant) -> Self {
        let (kept, moved) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { label: label.to_owned(), size, kept, moved, began: now, meter: Mutex::new(Meter::new(now)), row }
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn keep(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing of it is done.
    pub(super) fn restart(&self, now: Instant) {
        self.kept.store(0, Ordering::Relaxed);
        self.moved.store(0, Ordering::Relaxed);
        *self.meter() = Meter::new(now);
    }

    /// Whatever of its size was not counted was there before.
    fn complete(&self) {
        if let Some(missing) = self.size.map(|size| size.saturating_sub(self.done())) {
            self.keep(missing);
        }
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn done(&self) -> u64 {
        self.kept.load(Ordering::Relaxed).saturating_add(self.moved())
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let rate = self.meter().rate(now, self.moved());
        self.with_rate(rate)
    }

    /// Of one that has ended: the rate is that of all its time.
    pub(super) fn summary(&self, now: Instant) -> Standing {
        self.with_rate(meter::rate(self.moved(), now.saturating_duration_since(self.began)))
    }

    fn with_rate(&self, rate: Option<u64>) -> Standing {
        let done = self.done();
        let kept = self.kept.load(Ordering::Relaxed);
        let remaining = self.size.and_then(|size| meter::remaining(size.saturating_sub(done), rate));
        Standing { done, kept, size: self.size, rate, remaining }
    }
}

/// All pieces together.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) running: Vec<Arc<Item>>,
    /// Pieces that have come to their end.
    pub(super) finished: usize,
    /// Pieces and bytes that were announced.
    expected: (usize, u64),
    /// Pieces that were begun, and their sizes.
    begun: (usize, u64),
    /// Whether there is a piece whose size nobody knows.
    unknown: bool,
    /// Bytes of those that have ended: all, and the moved ones.
    done: u64,
    moved: u64,
    meter: Meter,
    /// When something was told last.
    pub(super) told: Instant,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            running: Vec::new(),
            finished: 0,
            expected: (0, 0),
            begun: (0, 0),
            unknown: false,
            done: 0,
            moved: 0,
            meter: Meter::new(now),
            told: now,
        }
    }

    /// Counts from the beginning; what runs goes on.
    pub(super) fn reset(&mut self, items: usize, bytes: u64, now: Instant) {
        let running = std::mem::take(&mut self.running);
        *self = Self { running, expected: (items, bytes), ..Self::new(now) };
    }

    pub(super) fn begin(&mut self, item: Arc<Item>) {
        self.begun = (self.begun.0 + 1, self.begun.1.saturating_add(item.size.unwrap_or(0)));
        self.unknown |= item.size.is_none();
        self.running.push(item);
    }

    /// Takes a piece off; `false` if it had been before. What was moved was moved, but only a finished one is done.
    pub(super) fn end(&mut self, item: &Arc<Item>, finished: bool) -> bool {
        let Some(at) = self.running.iter().position(|other| Arc::ptr_eq(other, item)) else { return false };
        self.running.remove(at);
        self.moved = self.moved.saturating_add(item.moved());
        if finished {
            item.complete();
            self.finished += 1;
            self.done = self.done.saturating_add(item.done());
        }
        true
    }

    pub(super) fn items(&self) -> usize {
        self.expected.0.max(self.begun.0)
    }

    pub(super) fn sample(&mut self, now: Instant) {
        for item in &self.running {
            item.meter().sample(now, item.moved());
        }
        let moved = self.moved();
        self.meter.sample(now, moved);
    }

    fn moved(&self) -> u64 {
        self.running.iter().fold(self.moved, |sum, item| sum.saturating_add(item.moved()))
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let done = self.running.iter().fold(self.done, |sum, item| sum.saturating_add(item.done()));
        let size = Some(self.expected.1.max(self.begun.1)).filter(|_| !self.unknown);
        let rate = self.meter.rate(now, self.moved());
        let remaining = size.and_then(|size| meter::remaining(size.saturating_sub(done), rate));
        let kept = done.saturating_sub(self.moved());
        Standing { done, kept, size, rate, remaining }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn begun(tally: &mut Tally, size: Option<u64>, now: Instant) -> Arc<Item> {
        let item = Arc::new(Item::new("x", size, None, now));
        tally.begin(Arc::clone(&item));
        item
    }

    #[test]
    fn what_was_there_is_done_but_makes_no_rate() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let mut tally = Tally::new(start);
        tally.reset(3, 1000, start);
        let first = begun(&mut tally, Some(600), start);
        first.keep(400);
        first.advance(100);
        let second = begun(&mut tally, Some(300), start);
        second.advance(100);
        let standing = Standing { done: 600, kept: 400, size: Some(1000), rate: Some(100), remaining: Some(4) };
        assert_eq!(tally.standing(later), standing);
        assert_eq!(first.standing(later).remaining, Some(2));
        assert!(tally.end(&second, true) && !tally.end(&second, true));
        // 200 bytes that nobody counted were there.
        assert_eq!((tally.finished, tally.items(), tally.standing(later).done), (1, 3, 800));
    }

    #[test]
    fn one_that_failed_is_not_done() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        let item = begun(&mut tally, Some(10), now);
        item.advance(7);
        tally.end(&item, false);
        assert_eq!((tally.finished, tally.standing(now).done, tally.running.len()), (0, 0, 0));
    }

    #[test]
    fn a_size_that_is_not_known_leaves_the_total_open() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        begun(&mut tally, Some(10), now);
        begun(&mut tally, None, now).advance(5);
        let standing = tally.standing(now + Duration::from_secs(1));
        assert_eq!((standing.done, standing.size, standing.remaining), (5, None, None));
    }

    #[test]
    fn one_that_begins_again_has_nothing() {
        let now = Instant::now();
        let item = Item::new("x", Some(10), None, now);
        item.keep(4);
        item.advance(4);
        item.restart(now);
        assert_eq!(item.standing(now), Standing { size: Some(10), ..Standing::default() });
    }
}
