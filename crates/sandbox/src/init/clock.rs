//! The time that the program may run (LIFE-105).

use std::time::{Duration, Instant};

use ctr_sys::{process, signal};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    /// How long the program may run.
    pub(crate) time: Duration,
    /// What asks it to end then.
    pub(crate) stop_signal: i32,
    /// How long it has from that to the kill.
    pub(crate) grace: Duration,
}

/// Counts from its making.
pub(super) struct Clock {
    limit: Option<TimeLimit>,
    next: Option<Instant>,
    /// The time is over and the program was asked to end.
    pub(super) struck: bool,
}

impl Clock {
    pub(super) fn start(limit: Option<TimeLimit>) -> Self {
        // A time that the clock cannot hold is for ever.
        Self { limit, next: limit.and_then(|limit| Instant::now().checked_add(limit.time)), struck: false }
    }

    /// Milliseconds to the next stroke, rounded up: rounded down, the last one would be spent spinning.
    pub(super) fn wait_ms(&self) -> Option<i32> {
        let left = self.next?.saturating_duration_since(Instant::now());
        Some(i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX))
    }

    /// Does what is due.
    pub(super) fn strike(&mut self, main: i32) {
        let (Some(limit), Some(next)) = (self.limit, self.next) else { return };
        if Instant::now() < next {
            return;
        }
        if self.struck {
            let _ = process::kill(main, signal::SIGKILL);
            self.next = None;
        } else {
            self.struck = true;
            let _ = process::kill(main, limit.stop_signal);
            self.next = Instant::now().checked_add(limit.grace);
        }
    }
}
