//! Progress on standard error: bars on a terminal, one line per finished piece elsewhere, nothing when quiet.

use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape;
use crate::global::OutputFormat;
use crate::human;
use crate::report;

/// The progress of one run of a binary. Cheap to clone; used from several threads.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    lines: bool,
}

/// One piece of work, counted in bytes.
#[derive(Debug, Clone)]
pub struct Bar {
    inner: ProgressBar,
    label: String,
    lines: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// As the options of this process have it (`--quiet`, `--format json`: nothing) and standard error allows.
    pub fn new() -> Self {
        let voice = report::voice();
        let silent = voice.quiet || voice.format == OutputFormat::Json;
        let bars = !silent && std::io::stderr().is_terminal();
        let target = if bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), lines: !silent && !bars }
    }

    /// A new bar below the others; `total` in bytes if it is known.
    pub fn bar(&self, label: &str, total: Option<u64>) -> Bar {
        let label = escape::visible(label).into_owned();
        let form = match total {
            Some(_) => "{msg:24!} [{wide_bar}] {decimal_bytes:>10} / {decimal_total_bytes} {decimal_bytes_per_sec:>12}",
            None => "{msg:24!} {spinner} {decimal_bytes:>10} {decimal_bytes_per_sec:>12}",
        };
        let bar = self.bars.add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(label.clone());
        Bar { inner: bar, label, lines: self.lines }
    }

    /// Takes all bars from the terminal, before results or an error are printed.
    pub fn clear(&self) {
        // The terminal went away: nothing is left to clear.
        let _ = self.bars.clear();
    }
}

impl Bar {
    /// `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        self.inner.inc(bytes);
    }

    /// All is done; off a terminal this prints `label: outcome (size)`.
    pub fn finish(&self, outcome: &str) {
        self.inner.finish_and_clear();
        if self.lines {
            let size = human::size(self.inner.position());
            report::say(&format!("{}: {} ({size})\n", self.label, escape::visible(outcome)));
        }
    }

    /// A reader that counts on this bar what is read from `inner`.
    pub fn reading<R: std::io::Read>(&self, inner: R) -> impl std::io::Read + use<R> {
        self.inner.wrap_read(inner)
    }
}
