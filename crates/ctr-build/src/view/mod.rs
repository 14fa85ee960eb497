//! What the user sees of a build, on standard error: a line for each step and what its command says, objects, or on a terminal
//! what is going on now.

mod frame;
mod json;
mod live;
mod text;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ctr_cli::{Failure, OutputFormat};

use crate::args::{Options, Shown};
use live::Live;
pub(crate) use live::Paused;
pub(crate) use text::printable;
use text::shorten;

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
    /// What is done, and below it what is going on.
    Tty,
}

impl Style {
    /// What these options ask for.
    pub(crate) fn of(options: &Options) -> Result<Self, Failure> {
        Ok(match options.progress {
            _ if options.global.quiet || options.second_build => Self::Quiet,
            Shown::None => Self::Quiet,
            Shown::Json => Self::Json,
            Shown::Auto if options.global.format == OutputFormat::Json => Self::Quiet,
            Shown::Auto if is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") => Self::Tty,
            Shown::Auto | Shown::Plain => Self::Plain,
            Shown::Tty if is_terminal() => Self::Tty,
            Shown::Tty => {
                let failure = Failure::usage("--progress=tty needs a terminal").because("standard error is none");
                return Err(failure.hint("--progress=plain writes lines, --progress=auto takes what is there"));
            }
        })
    }
}

fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Shows a build.
#[derive(Debug)]
pub(crate) struct View {
    style: Style,
    begun: Instant,
    /// Of stages by number: how they are called.
    labels: Vec<String>,
    counts: Mutex<Counts>,
    /// Of [`Style::Tty`].
    live: Option<Live>,
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
    /// A view of stages with these labels, which have so many steps.
    pub(crate) fn new(style: Style, labels: Vec<String>, steps: usize) -> Self {
        let live = if style == Style::Tty { Live::new(steps) } else { None };
        // Without a thread nothing can be redrawn.
        let style = if style == Style::Tty && live.is_none() { Style::Plain } else { style };
        Self { style, begun: Instant::now(), labels, counts: Mutex::default(), live }
    }

    fn label(&self, stage: usize) -> &str {
        self.labels.get(stage).map_or("", String::as_str)
    }

    /// There are more steps than was known.
    pub(crate) fn expect(&self, steps: usize) {
        if let Some(live) = &self.live {
            live.expect(steps);
        }
    }

    /// A step works, and may turn out to have its result already. Only told where it can be taken back.
    pub(crate) fn try_out(&self, stage: usize, title: &str) {
        if let Some(live) = &self.live {
            live.begin(stage, self.label(stage), shorten(title));
        }
    }

    /// A step has begun.
    pub(crate) fn begin(&self, stage: usize, title: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Plain => write(&format!("[{}] {}\n", self.label(stage), shorten(title))),
            Style::Json => write(&json::object(self.label(stage), "begin", title, None)),
            Style::Tty => self.try_out(stage, title),
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
        if self.style == Style::Json {
            let (event, time) = match outcome {
                Outcome::Config => ("config", None),
                Outcome::Cached => ("cached", None),
                Outcome::Done(time) => ("done", Some(time)),
            };
            return write(&json::object(label, event, title, time));
        }
        let end = match outcome {
            Outcome::Config => String::new(),
            Outcome::Cached => "(cached)".to_owned(),
            Outcome::Done(time) => format!("({})", frame::seconds(time)),
        };
        match (&self.live, self.style) {
            (Some(live), _) => live.end(stage, label, shorten(title), outcome == Outcome::Cached, end),
            (None, Style::Plain) if end.is_empty() => write(&format!("[{label}] {}\n", shorten(title))),
            (None, Style::Plain) => write(&format!("[{label}] {}  {end}\n", shorten(title))),
            _ => {}
        }
    }

    /// The step that the stage is at has failed, or was given up because another one did.
    pub(crate) fn give_up(&self, stage: usize, failed: bool) {
        if let Some(live) = &self.live {
            live.give_up(stage, failed);
        }
    }

    /// A line that a command printed, without its end.
    pub(crate) fn output(&self, stage: usize, line: &[u8]) {
        match (&self.live, self.style) {
            (Some(live), _) => live.output(stage, printable(line)),
            (None, Style::Plain) => write(&format!("[{}] | {}\n", self.label(stage), printable(line))),
            (None, Style::Json) => write(&json::object(self.label(stage), "output", &printable(line), None)),
            _ => {}
        }
    }

    /// Leaves the terminal to somebody else until the result goes.
    pub(crate) fn pause(&self) -> Paused<'_> {
        self.live.as_ref().map_or(Paused::NOTHING, Live::pause)
    }

    /// Nothing is going on any more.
    pub(crate) fn finish(&self) {
        if let Some(live) = &self.live {
            live.finish();
        }
    }

    /// Whether the user reads it: notes are for people.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.style, Style::Plain | Style::Tty)
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
