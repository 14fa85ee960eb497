//! Progress on standard error: rows on a terminal, plain lines elsewhere, JSON for programs, nothing when quiet.
//!
//! Whoever moves bytes only counts them. One thread of its own looks at the counters a few times a second and shows
//! them, so that a transfer that stands still is seen to.

mod args;
mod lines;
mod meter;
mod screen;
mod tally;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use args::{ProgressArgs, ProgressMode};
pub(crate) use screen::above;
pub use screen::{Speaker, speak_through};

use crate::report;
use args::Show;
use lines::State;
use screen::Screen;
use tally::{Item, Tally};

/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);

/// Time between plain lines while nothing is finished.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Time between JSON objects of a piece that is being moved.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// The progress of one run of a binary. Cheap to clone; used from several threads.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    show: Show,
    program: String,
    screen: Option<Screen>,
    tally: Mutex<Tally>,
    /// Whether the thread that looks was started.
    looked_at: AtomicBool,
}

/// One piece of work, counted in bytes. Dropped before [`Bar::finish`], it has failed.
#[derive(Debug, Clone)]
pub struct Bar {
    piece: Arc<Piece>,
}

#[derive(Debug)]
struct Piece {
    shared: Arc<Shared>,
    item: Arc<Item>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// As `--progress=auto` has it, for a binary without that option.
    pub fn new() -> Self {
        ProgressArgs::default().progress().unwrap_or_else(|_| Self::shown(Show::Nothing))
    }

    fn shown(show: Show) -> Self {
        let screen = (show == Show::Bars).then(Screen::new);
        let (tally, looked_at) = (Mutex::new(Tally::new(Instant::now())), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { show, program: report::voice().program, screen, tally, looked_at }) }
    }

    /// So many pieces with so many bytes in all are to come: what the total is counted towards, from the beginning.
    pub fn expect(&self, items: usize, bytes: u64) {
        self.shared.tally().reset(items, bytes, Instant::now());
    }

    /// A new piece; `size` in bytes if it is known.
    pub fn bar(&self, label: &str, size: Option<u64>) -> Bar {
        let shared = &self.shared;
        let row = shared.screen.as_ref().map(|screen| screen.row(label, size));
        let item = Arc::new(Item::new(label, size, row, Instant::now()));
        if shared.show != Show::Nothing {
            shared.begin(&item);
        }
        Bar { piece: Arc::new(Piece { shared: Arc::clone(shared), item }) }
    }

    /// Takes all rows from the terminal, before results are printed. The total begins again.
    pub fn clear(&self) {
        self.expect(0, 0);
        if let Some(screen) = &self.shared.screen {
            screen.clear();
        }
    }
}

impl Bar {
    /// `bytes` more were moved.
    pub fn advance(&self, bytes: u64) {
        self.piece.item.advance(bytes);
    }

    /// `bytes` of it were there before: they are done, but say nothing of the speed.
    pub fn keep(&self, bytes: u64) {
        self.piece.item.keep(bytes);
    }

    /// All that was done of it is to be done again.
    pub fn restart(&self) {
        self.piece.item.restart(Instant::now());
    }

    /// All is done; this prints `label: outcome (size)`. Bytes that were not counted are taken for kept ones.
    pub fn finish(&self, outcome: &str) {
        self.piece.shared.end(&self.piece.item, Some(outcome));
    }

    /// A reader that counts on this bar what is read from `inner`.
    pub fn reading<R: Read>(&self, inner: R) -> impl Read + use<R> {
        Counting { inner, bar: self.clone() }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.shared.end(&self.item, None);
    }
}

struct Counting<R> {
    inner: R,
    bar: Bar,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.advance(count as u64);
        Ok(count)
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, item: &Arc<Item>) {
        let now = Instant::now();
        // What is said of a piece is said under the lock: nothing follows its last line.
        let mut tally = self.tally();
        tally.begin(Arc::clone(item));
        if self.show == Show::Json {
            self.tell(item, State::Running, None, now);
        }
        drop(tally);
        if !self.looked_at.swap(true, Ordering::Relaxed) {
            let weak = Arc::downgrade(self);
            // Without the thread only ends are told.
            let _ = std::thread::Builder::new().name("progress".into()).spawn(move || look(&weak));
        }
    }

    fn end(&self, item: &Arc<Item>, outcome: Option<&str>) {
        let now = Instant::now();
        let mut tally = self.tally();
        if !tally.end(item, outcome.is_some()) {
            return;
        }
        if let (Some(screen), Some(row)) = (&self.screen, &item.row) {
            screen.remove(row);
        }
        match (self.show, outcome) {
            (Show::Bars | Show::Lines, Some(outcome)) => {
                report::say(&lines::finished(&item.label, outcome, &item.summary(now)));
                tally.told = now;
            }
            (Show::Json, _) => {
                self.tell(item, outcome.map_or(State::Failed, |_| State::Done), outcome, now);
                self.tell_total(&tally, now);
            }
            _ => {}
        }
    }

    /// Shows how far all is.
    fn look(&self, now: Instant) {
        let mut tally = self.tally();
        tally.sample(now);
        if tally.running.is_empty() {
            return;
        }
        let passed = now.saturating_duration_since(tally.told);
        match self.show {
            Show::Bars => self.draw(&tally, now),
            Show::Lines if passed >= PLAIN_EVERY => {
                report::say(&plain(&tally, now));
                tally.told = now;
            }
            Show::Json if passed >= JSON_EVERY => {
                for item in &tally.running {
                    self.tell(item, State::Running, None, now);
                }
                self.tell_total(&tally, now);
                tally.told = now;
            }
            _ => {}
        }
    }

    fn draw(&self, tally: &Tally, now: Instant) {
        for item in &tally.running {
            if let Some(row) = &item.row {
                row.show(&item.standing(now));
            }
        }
        if let Some(screen) = self.screen.as_ref().filter(|_| tally.items() > 1) {
            screen.show_total(total_label(tally), &tally.standing(now));
        }
    }

    fn tell(&self, item: &Item, state: State, outcome: Option<&str>, now: Instant) {
        let standing = if state == State::Running { item.standing(now) } else { item.summary(now) };
        report::say(&lines::item(&self.program, &item.label, state, outcome, &standing));
    }

    fn tell_total(&self, tally: &Tally, now: Instant) {
        report::say(&lines::total(&self.program, tally.items(), tally.finished, &tally.standing(now)));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(screen) = &self.screen {
            screen.clear();
        }
    }
}

fn total_label(tally: &Tally) -> String {
    format!("total, {} of {} done", tally.finished, tally.items())
}

/// One line of what is being moved: the total where there is more than one piece.
fn plain(tally: &Tally, now: Instant) -> String {
    match tally.running.first() {
        Some(only) if tally.items() < 2 => lines::running(&only.label, &only.standing(now)),
        _ => lines::running(&total_label(tally), &tally.standing(now)),
    }
}

/// The thread that looks at the counters, for as long as somebody has them.
fn look(weak: &Weak<Shared>) {
    loop {
        std::thread::sleep(LOOK);
        let Some(shared) = weak.upgrade() else { return };
        shared.look(Instant::now());
    }
}
