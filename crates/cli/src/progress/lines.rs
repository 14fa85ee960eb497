//! Progress as lines: for people who read a log, and for programs.

use std::time::Duration;

use serde::Serialize;

use super::tally::Standing;
use crate::output::to_json;
use crate::{escape, human};

/// `layer 1 0123: downloaded (29.1 MB, 9.70 MB/s)`.
pub(super) fn finished(label: &str, outcome: &str, standing: &Standing) -> String {
    let mut text = human::size(standing.done);
    // Of one that was there as a whole the outcome says so.
    if standing.kept > 0 && standing.kept < standing.done {
        text = format!("{text}, of which {} were there", human::size(standing.kept));
    }
    if let Some(rate) = standing.rate.filter(|rate| *rate > 0) {
        text = format!("{text}, {}/s", human::size(rate));
    }
    format!("{}: {} ({text})\n", escape::visible(label), escape::visible(outcome))
}

/// `layer 1 0123: 12.0 MB of 29.1 MB, 9.70 MB/s, 2 seconds left`.
pub(super) fn running(label: &str, standing: &Standing) -> String {
    let mut text = format!("{}: {}", escape::visible(label), human::size(standing.done));
    if let Some(size) = standing.size {
        text = format!("{text} of {}", human::size(size));
    }
    if let Some(rate) = standing.rate {
        text = format!("{text}, {}/s", human::size(rate));
    }
    if let Some(seconds) = standing.remaining {
        text = format!("{text}, {} left", human::rough(Duration::from_secs(seconds)));
    }
    text.push('\n');
    text
}

/// A piece of work under `--progress=json` (spec/schemas/progress.json).
#[derive(Debug, Serialize)]
struct ItemLine<'a> {
    progress: &'static str,
    program: &'a str,
    item: &'a str,
    state: State,
    outcome: Option<&'a str>,
    bytes: u64,
    kept: u64,
    size: Option<u64>,
    rate: Option<u64>,
    remaining: Option<u64>,
}

/// All pieces under `--progress=json` (spec/schemas/progress.json).
#[derive(Debug, Serialize)]
struct TotalLine<'a> {
    progress: &'static str,
    program: &'a str,
    items: usize,
    finished: usize,
    bytes: u64,
    kept: u64,
    size: Option<u64>,
    rate: Option<u64>,
    remaining: Option<u64>,
}

/// What has become of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Running,
    Done,
    Failed,
}

pub(super) fn item(program: &str, item: &str, state: State, outcome: Option<&str>, standing: &Standing) -> String {
    let Standing { done: bytes, kept, size, rate, remaining } = *standing;
    line(&ItemLine { progress: "item", program, item, state, outcome, bytes, kept, size, rate, remaining })
}

pub(super) fn total(program: &str, items: usize, finished: usize, standing: &Standing) -> String {
    let Standing { done: bytes, kept, size, rate, remaining } = *standing;
    line(&TotalLine { progress: "total", program, items, finished, bytes, kept, size, rate, remaining })
}

/// Strings and numbers always serialize.
fn line(value: &impl Serialize) -> String {
    to_json(value, false).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Standing = Standing {
        done: 12_000_000,
        kept: 2_000_000,
        size: Some(29_000_000),
        rate: Some(1_000_000),
        remaining: Some(17),
    };

    #[test]
    fn lines_for_people() {
        assert_eq!(running("a\x1b", &HALF), "a\\x1b: 12.0 MB of 29.0 MB, 1.00 MB/s, 17 seconds left\n");
        assert_eq!(running("a", &Standing { done: 5, ..Standing::default() }), "a: 5 B\n");
        let all = Standing { done: 29_000_000, ..HALF };
        assert_eq!(finished("a", "stored", &all), "a: stored (29.0 MB, of which 2.00 MB were there, 1.00 MB/s)\n");
        let there = Standing { kept: 9, done: 9, size: Some(9), ..Standing::default() };
        assert_eq!(finished("a", "already there", &there), "a: already there (9 B)\n");
    }

    #[test]
    fn lines_for_programs() {
        let parsed = |line: String| serde_json::from_str::<serde_json::Value>(line.trim_end()).unwrap();
        assert_eq!(
            parsed(item("ctr-x", "a\nb", State::Done, Some("stored"), &HALF)),
            serde_json::json!({"progress": "item", "program": "ctr-x", "item": "a\nb", "state": "done",
                "outcome": "stored", "bytes": 12_000_000, "kept": 2_000_000, "size": 29_000_000, "rate": 1_000_000,
                "remaining": 17})
        );
        assert_eq!(
            parsed(total("ctr-x", 3, 1, &Standing::default())),
            serde_json::json!({"progress": "total", "program": "ctr-x", "items": 3, "finished": 1, "bytes": 0,
                "kept": 0, "size": null, "rate": null, "remaining": null})
        );
    }
}
