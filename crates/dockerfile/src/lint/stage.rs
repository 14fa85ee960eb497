//! What is known of a stage while its instructions are read.

use std::collections::BTreeSet;

use super::vars::Values;
use crate::ast::Keyword;
use crate::span::Span;

/// A stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub(super) name: Option<String>,
    /// Variables that have a value.
    pub(super) values: Values,
    /// It has more variables than are copied from stage to stage.
    pub(super) open: bool,
    /// Arguments that it declares, be it without a value.
    pub(super) args: BTreeSet<String>,
    /// It had a WORKDIR: one finding is enough.
    pub(super) workdir: bool,
    pub(super) shell: bool,
    /// The last CMD, ENTRYPOINT, HEALTHCHECK.
    pub(super) last: Vec<(Keyword, Span)>,
}

impl Stage {
    /// A stage that begins with what this one has, arguments too. `room` is for how many variables there is room, and gets less:
    /// a long chain of stages must not take memory by the square of its length.
    pub(super) fn child(&self, name: Option<String>, room: &mut usize) -> Self {
        let needed = self.values.len() + self.args.len();
        let Some(left) = room.checked_sub(needed) else {
            return Self { name, open: true, workdir: self.workdir, shell: self.shell, ..Self::default() };
        };
        *room = left;
        Self { name, last: Vec::new(), ..self.clone() }
    }
}
