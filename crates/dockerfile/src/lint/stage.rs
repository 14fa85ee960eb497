//! What is known of a stage while its instructions are read.

use std::collections::BTreeSet;

use crate::ast::Keyword;
use crate::span::Span;

/// A stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub(super) name: Option<String>,
    /// Variables that it hands on.
    pub(super) env: BTreeSet<String>,
    /// Its own arguments.
    pub(super) args: BTreeSet<String>,
    pub(super) absolute: bool,
    pub(super) shell: bool,
    /// The last CMD, ENTRYPOINT, HEALTHCHECK.
    pub(super) last: Vec<(Keyword, Span)>,
}

impl Stage {
    /// A stage that begins with what this one has.
    pub(super) fn child(&self, name: Option<String>) -> Self {
        // Arguments are handed on, too, as the reference has it for stages of stages.
        Self { name, last: Vec::new(), ..self.clone() }
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.env.contains(name) || self.args.contains(name)
    }
}
