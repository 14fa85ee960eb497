//! What stands at the lower end of a terminal while a build runs: a pure function of how far it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::text::cut;

/// The most lines of output below a step.
pub(super) const TAIL: usize = 6;

/// How far a build is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) begun: Instant,
    /// Instructions of all stages that are built.
    pub(super) total: usize,
    /// Those that are done.
    pub(super) ended: usize,
    /// Those whose result was there.
    pub(super) cached: usize,
    /// By the number of the stage: a stage has one step at a time.
    pub(super) running: BTreeMap<usize, Running>,
}

/// A step that is being carried out.
#[derive(Debug)]
pub(super) struct Running {
    /// What the stage is called.
    pub(super) label: String,
    pub(super) title: String,
    pub(super) begun: Instant,
    /// The last lines that its command printed, [`TAIL`] of them.
    pub(super) tail: VecDeque<String>,
}

/// Of the terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// The columns that are written to. A terminal that has its last column filled may already be in the next line.
    pub(super) fn width(self) -> usize {
        self.columns.saturating_sub(1)
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Usual,
    /// What is of less interest.
    Dim,
    /// What failed.
    Red,
}

/// The lines, none of which is wider and which are fewer than the terminal has.
pub(super) fn frame(state: &State, size: Size, now: Instant) -> Vec<String> {
    let width = size.width();
    let room = size.rows.saturating_sub(1).max(1);
    // The last one is for the counts.
    let body = room - 1;
    let steps = state.running.len();
    let shown = if steps <= body { steps } else { body.saturating_sub(1) };
    // What is left is for output: as much for each, and where that cannot be, more for the first ones.
    let (each, more) =
        if shown == steps && steps > 0 { ((body - steps) / steps, (body - steps) % steps) } else { (0, 0) };
    let mut lines = Vec::with_capacity(room);
    for (number, running) in state.running.values().take(shown).enumerate() {
        let time = seconds(now.saturating_duration_since(running.begun));
        lines.push(step(&running.label, &running.title, &time, width));
        let first = running.tail.len().saturating_sub((each + usize::from(number < more)).min(TAIL));
        lines.extend(running.tail.iter().skip(first).map(|line| cut(&format!("  | {line}"), width)));
    }
    if shown < steps && body > 0 {
        lines.push(cut(&format!("and {} more", steps - shown), width));
    }
    lines.push(cut(&counts(state, now), width));
    lines
}

/// `[stage] RUN make  1.2 s`: of what is too long the instruction is cut, not the end.
pub(super) fn step(label: &str, title: &str, end: &str, width: usize) -> String {
    let begin = format!("[{label}] {title}");
    if end.is_empty() {
        return cut(&begin, width);
    }
    let begin = cut(&begin, width.saturating_sub(end.len() + 2));
    cut(&format!("{begin}  {end}"), width)
}

/// `1.2 s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn counts(state: &State, now: Instant) -> String {
    // Triggers of a base are known late.
    let total = state.total.max(state.ended);
    let time = seconds(now.saturating_duration_since(state.begun));
    format!("{} of {total} steps, {} cached, {time}", state.ended, state.cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(begun: Instant, stages: usize, printed: usize) -> State {
        let running = (0..stages).map(|stage| {
            let tail = (0..printed).map(|line| format!("line {line} of what it printed")).collect();
            let title = format!("RUN make part-{stage}");
            (stage, Running { label: format!("s{stage}"), title, begun, tail })
        });
        State { begun, total: 12, ended: 3, cached: 2, running: running.collect() }
    }

    fn drawn(stages: usize, printed: usize, columns: usize, rows: usize) -> Vec<String> {
        let begun = Instant::now();
        frame(&state(begun, stages, printed), Size { columns, rows }, begun + Duration::from_millis(4_130))
    }

    // spec: BUILD-119
    #[test]
    fn a_step_its_output_and_the_counts() {
        assert_eq!(
            drawn(2, 2, 80, 24),
            [
                "[s0] RUN make part-0  4.1 s",
                "  | line 0 of what it printed",
                "  | line 1 of what it printed",
                "[s1] RUN make part-1  4.1 s",
                "  | line 0 of what it printed",
                "  | line 1 of what it printed",
                "3 of 12 steps, 2 cached, 4.1 s",
            ]
        );
        assert_eq!(drawn(0, 0, 80, 24), ["3 of 12 steps, 2 cached, 4.1 s"]);
    }

    // spec: BUILD-119
    #[test]
    fn narrow_and_low_terminals_have_less() {
        assert_eq!(
            drawn(1, 2, 21, 24),
            [
                "[s0] RUN ma\u{2026}  4.1 s",
                "  | line 0 of what\u{2026}",
                "  | line 1 of what\u{2026}",
                "3 of 12 steps, 2 c\u{2026}"
            ]
        );
        // The latest lines stay.
        assert_eq!(drawn(2, 6, 80, 8).len(), 7);
        // One line more is the first one's.
        assert_eq!(drawn(2, 6, 80, 9)[4], "[s1] RUN make part-1  4.1 s");
        assert_eq!(drawn(2, 6, 80, 8)[1..3], ["  | line 4 of what it printed", "  | line 5 of what it printed"]);
        assert_eq!(
            drawn(9, 6, 80, 5),
            [
                "[s0] RUN make part-0  4.1 s",
                "[s1] RUN make part-1  4.1 s",
                "and 7 more",
                "3 of 12 steps, 2 cached, 4.1 s"
            ]
        );
        assert_eq!(drawn(9, 6, 80, 3), ["and 9 more", "3 of 12 steps, 2 cached, 4.1 s"]);
        for (columns, rows) in (0..90).flat_map(|columns| (0..40).map(move |rows| (columns, rows))) {
            for stages in [0, 1, 3, 50] {
                let lines = drawn(stages, TAIL, columns, rows);
                assert!(lines.len() <= rows.saturating_sub(1).max(1), "{columns} {rows}: {lines:?}");
                assert!(lines.iter().all(|line| line.chars().count() < columns.max(1)), "{columns} {rows}: {lines:?}");
            }
        }
    }
}
