//! A build on a terminal: what is done scrolls away above what is going on, which is redrawn.
//!
//! Between two drawings the cursor stands where the live part begins. So it is always erased from the cursor on, and neither
//! a terminal that breaks its lines anew for another width nor one that does not can leave something of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ctr_sys::erase::EraseOnSignal;
use ctr_sys::tty::{self, WindowSize};

use super::frame::{Running, Size, State, TAIL, Tone, frame, step};

/// Time between two drawings.
const EVERY: Duration = Duration::from_millis(100);

/// The terminal's view of a build.
#[derive(Debug)]
pub(super) struct Live {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    screen: Mutex<Screen>,
    /// The build has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct Screen {
    state: State,
    erase: EraseOnSignal,
    colours: bool,
    /// What stays above, and was not yet written.
    above: Vec<Above>,
    /// The lines that are drawn now, and for which size.
    drawn: (Vec<String>, Option<Size>),
    /// How many have the terminal for themselves.
    paused: usize,
    ended: bool,
}

/// What scrolls away.
#[derive(Debug)]
enum Above {
    Step {
        label: String,
        title: String,
        end: String,
        tone: Tone,
    },
    /// Whole lines with their ends.
    Said(String),
}

/// As long as it lives the terminal is somebody else's.
#[derive(Debug)]
pub(crate) struct Paused<'a>(Option<&'a Live>);

impl Live {
    /// Begins to draw; `None` if there is no thread to be had.
    pub(super) fn new(steps: usize) -> Option<Self> {
        let begun = Instant::now();
        let state = State { begun, total: steps, ended: 0, cached: 0, running: BTreeMap::new() };
        let screen = Screen {
            state,
            erase: EraseOnSignal::new(),
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            above: Vec::new(),
            drawn: (Vec::new(), None),
            paused: 0,
            ended: false,
        };
        let shared = Arc::new(Shared { screen: Mutex::new(screen), ended: Condvar::new() });
        let (drawing, speaking) = (Arc::clone(&shared), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("view".to_owned()).spawn(move || drawing.keep_drawing()).ok()?;
        ctr_cli::speak_through(Some(Arc::new(move |text| speaking.say(text))));
        Some(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// More steps than was known.
    pub(super) fn expect(&self, steps: usize) {
        self.shared.screen().state.total += steps;
    }

    /// A step is being carried out.
    pub(super) fn begin(&self, stage: usize, label: &str, title: String) {
        let running = Running { label: label.to_owned(), title, begun: Instant::now(), tail: VecDeque::new() };
        self.shared.screen().state.running.insert(stage, running);
    }

    /// A line that its command printed.
    pub(super) fn output(&self, stage: usize, line: String) {
        if let Some(running) = self.shared.screen().state.running.get_mut(&stage) {
            if running.tail.len() == TAIL {
                running.tail.pop_front();
            }
            running.tail.push_back(line);
        }
    }

    /// A step is done; `end` says how.
    pub(super) fn end(&self, stage: usize, label: &str, title: String, cached: bool, end: String) {
        let mut screen = self.shared.screen();
        screen.state.running.remove(&stage);
        screen.state.ended += 1;
        screen.state.cached += usize::from(cached);
        let tone = if cached { Tone::Dim } else { Tone::Usual };
        screen.above.push(Above::Step { label: label.to_owned(), title, end, tone });
    }

    /// The stage's step, if one is running, has come to nothing: it failed, or was given up.
    pub(super) fn give_up(&self, stage: usize, failed: bool) {
        let mut screen = self.shared.screen();
        if let Some(Running { label, title, begun, .. }) = screen.state.running.remove(&stage)
            && failed
        {
            let end = format!("(failed, {})", super::frame::seconds(begun.elapsed()));
            screen.above.push(Above::Step { label, title, end, tone: Tone::Red });
        }
    }

    /// Takes the live part away until the result goes.
    pub(super) fn pause(&self) -> Paused<'_> {
        let mut screen = self.shared.screen();
        screen.clear();
        screen.paused += 1;
        Paused(Some(self))
    }

    /// Takes the live part away, for good.
    pub(super) fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        self.shared.screen().ended = true;
        self.shared.ended.notify_all();
        // It has nothing that could fail.
        let _ = thread.join();
        ctr_cli::speak_through(None);
        let mut screen = self.shared.screen();
        screen.clear();
        screen.erase.release();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Paused<'_> {
    /// Where nothing is drawn.
    pub(super) const NOTHING: Self = Self(None);
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.0 {
            live.shared.screen().paused -= 1;
        }
    }
}

impl Shared {
    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: time passes also when nothing happens.
    fn keep_drawing(&self) {
        // A handler that interrupted a drawing would erase half of it: another thread gets the signal.
        let _ = ctr_sys::signal::block_all();
        let mut screen = self.screen();
        loop {
            // A build may end before this thread begins.
            let wait = self.ended.wait_timeout_while(screen, EVERY, |screen| !screen.ended);
            screen = wait.unwrap_or_else(PoisonError::into_inner).0;
            if screen.ended {
                return;
            }
            let (size, now) = (window(), Instant::now());
            // In the background the terminal belongs to another program.
            let lines = if in_foreground() { frame(&screen.state, size, now) } else { Vec::new() };
            screen.draw(&lines, size);
        }
    }

    fn say(&self, text: &str) {
        let mut screen = self.screen();
        screen.above.push(Above::Said(text.to_owned()));
        // It may be the last word before a long time.
        screen.clear();
    }
}

impl Screen {
    /// Writes what stays above, and leaves nothing below it.
    fn clear(&mut self) {
        self.draw(&[], window());
    }

    /// Erases what is drawn, writes what stays above, and draws these lines: all in one write.
    fn draw(&mut self, lines: &[String], size: Size) {
        let is_drawn = self.erase.is_drawn();
        let same = self.drawn.0 == lines && self.drawn.1 == Some(size) && is_drawn;
        let nothing = lines.is_empty() && !is_drawn;
        if self.paused > 0 || (self.above.is_empty() && (same || nothing)) {
            return;
        }
        let mut text = String::new();
        if is_drawn {
            text.push_str("\r\x1b[J");
        }
        for above in std::mem::take(&mut self.above) {
            above.write(&mut text, self.colours, size);
        }
        text.push_str(&lines.join("\r\n"));
        match lines.len() {
            0 => {}
            1 => text.push('\r'),
            // Writing to a String cannot fail.
            lines => drop(write!(text, "\r\x1b[{}A", lines - 1)),
        }
        if !lines.is_empty() {
            self.erase.set_drawn(true);
        }
        // Nobody to read it is no reason to fail.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        if lines.is_empty() {
            self.erase.set_drawn(false);
        }
        self.drawn = (lines.to_vec(), Some(size));
    }
}

impl Above {
    fn write(&self, text: &mut String, colours: bool, size: Size) {
        match self {
            Self::Said(said) => text.push_str(said),
            Self::Step { label, title, end, tone } => {
                let line = step(label, title, end, size.width());
                // Writing to a String cannot fail.
                let _ = match tone {
                    Tone::Dim if colours => writeln!(text, "\x1b[2m{line}\x1b[0m"),
                    Tone::Red if colours => writeln!(text, "\x1b[31m{line}\x1b[0m"),
                    _ => writeln!(text, "{line}"),
                };
            }
        }
    }
}

/// The terminal's size now.
fn window() -> Size {
    let size = tty::window_size(std::io::stderr().as_fd()).ok().filter(|size| size.rows > 0 && size.columns > 0);
    let WindowSize { rows, columns } = size.unwrap_or(WindowSize::DEFAULT);
    Size { columns: columns.into(), rows: rows.into() }
}

fn in_foreground() -> bool {
    tty::in_foreground(std::io::stderr().as_fd())
}
