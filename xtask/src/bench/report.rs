//! The report: one Markdown table per section.

use std::fmt::Write as _;
use std::process::Command;

use crate::bench::contest::{Contestant, Cost};
use crate::shell;

pub(super) struct Report {
    sections: Vec<String>,
}

/// A column: its heading, the figure, how it prints, and whether a ratio to the first row follows it.
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) figure: fn(&Cost) -> f64,
    pub(super) shown: fn(f64) -> String,
}

pub(super) const WALL: Column = Column { heading: "wall", figure: |cost| cost.wall, shown: duration };
pub(super) const CPU: Column = Column { heading: "CPU", figure: |cost| cost.cpu, shown: duration };
pub(super) const PEAK: Column = Column { heading: "peak memory", figure: |cost| cost.peak_kib, shown: memory };

impl Report {
    pub(super) fn new() -> Self {
        Self { sections: Vec::new() }
    }

    /// A table of medians; each figure is followed by its ratio to the first contestant, which is ours.
    pub(super) fn table(&mut self, title: &str, note: &str, contestants: &[Contestant], columns: &[Column]) {
        let mut text = format!("## {title}\n\n{note}\n\n| |");
        for column in columns {
            let _ = write!(text, " {} | × ours |", column.heading);
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|---:|".repeat(columns.len()));
        for contestant in contestants {
            let _ = write!(text, "\n| {} |", contestant.name);
            for column in columns {
                let figure = contestant.median(column.figure);
                let ours = contestants.first().map_or(f64::NAN, |ours| ours.median(column.figure));
                let _ = write!(text, " {} | {} |", (column.shown)(figure), ratio(figure, ours));
            }
        }
        text.push('\n');
        self.section(text);
    }

    /// A section written by its owner.
    pub(super) fn section(&mut self, text: String) {
        eprintln!("{text}");
        self.sections.push(text);
    }

    /// Lines under the last table.
    pub(super) fn lines(&mut self, lines: &[String]) {
        let text: Vec<String> = lines.iter().map(|line| format!("- {line}")).collect();
        self.section(text.join("\n") + "\n");
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\n\
            Written by `cargo xtask bench --write`. Medians of interleaved runs on one machine; the ratios tell more than the times. \
            No test asserts any of these figures.\n\n",
        );
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let _ = writeln!(text, "Machine: {cores} cores, Linux {}. Beside: {}.\n", kernel.trim(), versions());
        text + &self.sections.join("\n")
    }
}

/// The versions of the peers.
fn versions() -> String {
    let first_line = |program: &str| {
        let printed = shell::output(Command::new(program).arg("--version")).ok()?;
        let line = printed.lines().next()?.replace("version ", "");
        Some(if line.starts_with(program) { line } else { format!("{program} {line}") })
    };
    ["runc", "crun", "bwrap", "podman", "umoci"].into_iter().filter_map(first_line).collect::<Vec<_>>().join(", ")
}

fn ratio(figure: f64, ours: f64) -> String {
    if (figure / ours).is_nan() { "-".to_owned() } else { format!("{:.2}", figure / ours) }
}

/// Seconds, in the unit that reads best.
pub(super) fn duration(seconds: f64) -> String {
    if seconds.is_nan() {
        "-".to_owned()
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// KiB, in the unit that reads best.
pub(super) fn memory(kib: f64) -> String {
    if kib < 10_240.0 { format!("{:.2} MiB", kib / 1024.0) } else { format!("{:.0} MiB", kib / 1024.0) }
}
