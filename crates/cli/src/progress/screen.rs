//! Rows at the lower end of a terminal: one for each piece that is being moved, and the total. What is finished, and
//! whatever else is said, scrolls away above them.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Standing;
use crate::{escape, human};

/// The rows that messages must not be written into. A process has one terminal.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Who writes messages to standard error in this binary's place.
pub type Speaker = Arc<dyn Fn(&str) + Send + Sync>;

/// See [`speak_through`].
static SPEAKER: Mutex<Option<Speaker>> = Mutex::new(None);

/// From now on `speaker` gets what is to be said on standard error, whole lines with their ends: it has drawn something
/// there that messages must not be written into. `None`: no longer.
pub fn speak_through(speaker: Option<Speaker>) {
    *SPEAKER.lock().unwrap_or_else(PoisonError::into_inner) = speaker;
}

/// Writes `text` to standard error, by `write`, above the rows if there are any.
pub(crate) fn above(text: &str, write: impl FnOnce()) {
    let speaker = SPEAKER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(speaker) = speaker {
        return speaker(text);
    }
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(rows) => rows.suspend(write),
        None => write(),
    }
}

/// The terminal's rows.
#[derive(Debug)]
pub(super) struct Screen {
    rows: MultiProgress,
    total: Mutex<Option<Row>>,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn new() -> Self {
        let rows = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows.clone());
        Self { rows, total: Mutex::new(None) }
    }

    fn with_total<T>(&self, act: impl FnOnce(&mut Option<Row>) -> T) -> T {
        act(&mut self.total.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new row above the total.
    pub(super) fn row(&self, label: &str, size: Option<u64>) -> Row {
        self.with_total(|total| {
            let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let bar = match total {
                Some(total) => self.rows.insert_before(&total.bar, bar),
                None => self.rows.add(bar),
            };
            Row::new(bar, &escape::visible(label), size.is_some())
        })
    }

    /// Shows the total below the other rows.
    pub(super) fn show_total(&self, label: String, standing: &Standing) {
        self.with_total(|total| {
            let row = total.get_or_insert_with(|| Row::new(self.rows.add(ProgressBar::new(0)), "", true));
            row.bar.set_prefix(label);
            row.bar.set_length(standing.size.unwrap_or(0));
            row.show(standing);
        });
    }

    pub(super) fn remove(&self, row: &Row) {
        row.bar.finish_and_clear();
        self.rows.remove(&row.bar);
    }

    /// Takes all rows from the terminal.
    pub(super) fn clear(&self) {
        if let Some(total) = self.with_total(Option::take) {
            self.remove(&total);
        }
        // The terminal went away: nothing is left to clear.
        let _ = self.rows.clear();
    }
}

impl Row {
    fn new(bar: ProgressBar, label: &str, sized: bool) -> Self {
        let form = if sized { "{prefix:24!} [{wide_bar}] {msg}" } else { "{prefix:24!} {spinner} {wide_msg}" };
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.to_owned());
        Self { bar }
    }

    pub(super) fn show(&self, standing: &Standing) {
        self.bar.set_message(numbers(standing));
        self.bar.set_position(standing.done);
        self.bar.tick();
    }
}

/// `12.0 MB / 29.1 MB   1.00 MB/s   0:17`, as wide for every row.
fn numbers(standing: &Standing) -> String {
    let done = human::size(standing.done);
    let size = standing.size.map(human::size).unwrap_or_default();
    let rate = match standing.rate {
        None if standing.done == 0 => "waiting".to_owned(),
        None => String::new(),
        Some(rate) => format!("{}/s", human::size(rate)),
    };
    let remaining = standing.remaining.map(human::clock).unwrap_or_default();
    let slash = if size.is_empty() { ' ' } else { '/' };
    format!("{done:>7} {slash} {size:<7} {rate:>9} {remaining:>7}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_through_who_draws() {
        let heard = Arc::new(Mutex::new(String::new()));
        let speaker = Arc::clone(&heard);
        speak_through(Some(Arc::new(move |text| speaker.lock().unwrap().push_str(text))));
        crate::warn("something \x1b is drawn here");
        speak_through(None);
        crate::warn("nothing is drawn there");
        let heard = heard.lock().unwrap();
        assert!(heard.contains("warning: something \\x1b is drawn here\n"), "{heard}");
        assert!(!heard.contains("drawn there"), "{heard}");
    }

    #[test]
    fn numbers_stand_below_each_other() {
        let half = Standing {
            done: 12_000_000,
            size: Some(29_100_000),
            rate: Some(1_000_000),
            remaining: Some(17),
            ..Standing::default()
        };
        assert_eq!(numbers(&half), "12.0 MB / 29.1 MB 1.00 MB/s    0:17");
        assert_eq!(numbers(&Standing { size: Some(5), ..Standing::default() }), "    0 B / 5 B       waiting        ");
        assert_eq!(numbers(&Standing { done: 5, ..Standing::default() }).len(), numbers(&half).len());
    }
}
