//! What the user sees of a build: a line for each step, and what its command says, on standard error.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It changed what the image says, not what is in it.
    Config,
    /// An earlier result was taken.
    Cached,
    /// It was carried out, in this time.
    Done(Duration),
}

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing but errors.
    Quiet,
    /// A line for each step and each line of output.
    Plain,
    /// An object for each, as JSON.
    Json,
}

/// Shows a build.
#[derive(Debug)]
pub(crate) struct View {
    style: Style,
    begun: Instant,
    /// Of stages by number: how they are called.
    labels: Vec<String>,
    counts: Mutex<Counts>,
}

/// Steps by how they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Taken from earlier builds.
    pub(crate) cached: u64,
    /// Carried out.
    pub(crate) done: u64,
}

impl View {
    /// A view of stages with these labels.
    pub(crate) fn new(style: Style, labels: Vec<String>) -> Self {
        Self { style, begun: Instant::now(), labels, counts: Mutex::default() }
    }

    fn label(&self, stage: usize) -> &str {
        self.labels.get(stage).map_or("", String::as_str)
    }

    /// A step has begun.
    pub(crate) fn begin(&self, stage: usize, title: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Plain => write(&format!("[{}] {}\n", self.label(stage), shorten(title))),
            Style::Json => self.object(stage, "begin", title, None),
        }
    }

    /// A step has ended.
    pub(crate) fn step(&self, stage: usize, title: &str, outcome: Outcome) {
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Outcome::Config => {}
                Outcome::Cached => counts.cached += 1,
                Outcome::Done(_) => counts.done += 1,
            }
        }
        let label = self.label(stage);
        match (self.style, outcome) {
            (Style::Quiet, _) => {}
            (Style::Plain, Outcome::Config) => write(&format!("[{label}] {}\n", shorten(title))),
            (Style::Plain, Outcome::Cached) => write(&format!("[{label}] {}  (cached)\n", shorten(title))),
            (Style::Plain, Outcome::Done(time)) => {
                write(&format!("[{label}] {}  ({:.1} s)\n", shorten(title), time.as_secs_f64()));
            }
            (Style::Json, Outcome::Config) => self.object(stage, "config", title, None),
            (Style::Json, Outcome::Cached) => self.object(stage, "cached", title, None),
            (Style::Json, Outcome::Done(time)) => self.object(stage, "done", title, Some(time)),
        }
    }

    /// A line that a command printed, without its end.
    pub(crate) fn output(&self, stage: usize, line: &[u8]) {
        let text = printable(line);
        match self.style {
            Style::Quiet => {}
            Style::Plain => write(&format!("[{}] | {text}\n", self.label(stage))),
            Style::Json => self.object(stage, "output", &text, None),
        }
    }

    fn object(&self, stage: usize, event: &str, text: &str, time: Option<Duration>) {
        let mut object = serde_json::json!({"stage": self.label(stage), "event": event, "text": text});
        if let (Some(time), Some(members)) = (time, object.as_object_mut()) {
            members.insert("seconds".to_owned(), serde_json::json!(time.as_secs_f64()));
        }
        write(&format!("{object}\n"));
    }

    /// How steps went, and how long all took.
    pub(crate) fn summary(&self) -> (Counts, Duration) {
        (*self.counts.lock().unwrap_or_else(PoisonError::into_inner), self.begun.elapsed())
    }
}

/// One write, so that lines of stages that run at once do not mix. Nobody to read it is no reason to fail.
fn write(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A title in one line of a usual width.
fn shorten(title: &str) -> String {
    const MOST: usize = 120;
    if title.chars().count() <= MOST {
        return title.to_owned();
    }
    let mut text: String = title.chars().take(MOST - 1).collect();
    text.push('\u{2026}');
    text
}

/// A line of a program for a terminal: what could move the cursor or change its title is shown, not done. Of a line that
/// was written over with carriage returns the last state counts.
pub(crate) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let last = text.rsplit('\r').next().unwrap_or_default();
    let mut shown = String::with_capacity(last.len());
    for c in last.chars() {
        if c.is_control() && c != '\t' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-112
    #[test]
    fn programs_do_not_reach_the_terminal() {
        assert_eq!(printable(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(printable(b"\x1b[31mred\x1b[0m\x07"), "\\u{1b}[31mred\\u{1b}[0m\\u{7}");
        assert_eq!(printable(b"a\tb\xff"), "a\tb\u{fffd}");
        assert_eq!(shorten(&"x".repeat(200)).chars().count(), 120);
    }
}
