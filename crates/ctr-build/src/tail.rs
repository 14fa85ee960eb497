//! The last lines of a command, for the error when it fails.

use std::collections::VecDeque;

/// How many.
const LINES: usize = 20;

/// The last lines.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<String>);

impl Tail {
    /// One more.
    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// All of them, marked as output.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.iter().map(|line| format!("> {line}")).collect()
    }
}
