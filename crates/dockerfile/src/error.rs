//! What is wrong with a Dockerfile, and where.

use crate::span::{Position, Span};

/// An error with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: ErrorKind,
    span: Span,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// A directive was given before.
    #[error("the directive \"{0}\" stands here for the second time")]
    DirectiveTwice(String),
    /// `# escape=` with something else.
    #[error("the escape character is \\ or `, not \"{0}\"")]
    Escape(String),
    /// A heredoc that has no end.
    #[error("the heredoc {0} is not ended by a line \"{0}\"")]
    UnendedHeredoc(String),
    /// No instruction at all.
    #[error("the Dockerfile has no instruction")]
    Empty,
    /// An instruction that there is not.
    #[error("there is no instruction \"{0}\"")]
    Unknown(String),
    /// An option with a quote that has no end.
    #[error("a quote of this option is not closed")]
    OpenFlag,
    /// A variable or a quote.
    #[error(transparent)]
    Expand(#[from] crate::expand::ExpandError),
    /// Too few words, or too many.
    #[error("{keyword} takes {needs}")]
    Arguments {
        /// The instruction.
        keyword: String,
        /// What it takes.
        needs: &'static str,
    },
    /// An option that the instruction does not have.
    #[error("there is no option --{option} here ({})", known_options(known))]
    Option {
        /// Its name.
        option: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// An option that may stand once.
    #[error("the option --{0} stands twice")]
    OptionTwice(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value that an option does not take.
    #[error("{option} takes {takes}, not \"{value}\"")]
    Value {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// What it takes.
        takes: String,
    },
    /// A `--mount` that is no comma-separated values.
    #[error("--mount takes KEY=VALUE,...; this one {0}")]
    MountQuote(&'static str),
    /// A key that mounts do not have.
    #[error("--mount has no key \"{0}\"")]
    MountKey(String),
    /// A key that mounts of this type do not have.
    #[error("a mount of type {kind} has no {key}")]
    MountKeyOfOther {
        /// The key.
        key: &'static str,
        /// The type.
        kind: String,
    },
    /// A secret that says not which.
    #[error("a mount of type secret needs its id, or a target whose name it is")]
    NoId,
    /// A stage whose name is none.
    #[error("\"{0}\" is no name of a stage: it begins with a letter and has letters, digits, -, _ and .")]
    StageName(String),
    /// FROM with nothing.
    #[error("the name of the base image is empty")]
    EmptyBase,
    /// `KEY=value` is missing.
    #[error("\"{0}\" is not KEY=VALUE")]
    Pair(String),
    /// A name that is empty.
    #[error("a name is empty")]
    EmptyKey,
    /// An instruction that cannot be a trigger.
    #[error("{0} cannot be an ONBUILD trigger")]
    Trigger(String),
    /// A trigger that is more than one.
    #[error("an ONBUILD trigger is one instruction; here stands a second one")]
    SeveralTriggers,
    /// COPY of heredocs from somewhere.
    #[error("a heredoc is of the Dockerfile: it cannot be copied --from elsewhere")]
    HeredocFrom,
    /// A heredoc where a path has to be.
    #[error("a heredoc cannot be the destination")]
    HeredocDestination,
    /// A JSON list with something else in it.
    #[error("a list in JSON has texts in quotes alone here")]
    NotTexts,
    /// SHELL in the form of a text.
    #[error("SHELL takes a JSON list, as [\"/bin/bash\", \"-c\"]")]
    ShellForm,
    /// More than is read (spec/limits.md).
    #[error("it has {found} bytes, {limit} are read")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// How many are read.
        limit: usize,
    },
}

fn known_options(known: &[&str]) -> String {
    if known.is_empty() { "the instruction has none".to_owned() } else { format!("known: --{}", known.join(", --")) }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Where.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where, from 1: line and column.
    pub fn position(&self, text: &str) -> Position {
        self.span.position(text)
    }

    /// The line, with a mark below the place.
    pub fn excerpt(&self, text: &str) -> Vec<String> {
        let at = self.span.position(text);
        let Some(line) = text.lines().nth(at.line - 1) else { return Vec::new() };
        let width = text
            .get(self.span.start..self.span.end)
            .map_or(1, |part| part.lines().next().map_or(1, |l| l.chars().count()));
        let number = at.line.to_string();
        // Tabs stay tabs below each other, so that the mark is below its place.
        let indent: String = line.chars().take(at.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let (margin, mark) = (" ".repeat(number.len()), "^".repeat(width.max(1)));
        vec![format!("{number} | {line}"), format!("{margin} | {indent}{mark}")]
    }

    /// What and where, with [`Error::excerpt`].
    pub fn render(&self, name: &str, text: &str) -> String {
        let at = self.position(text);
        let head = format!("{name}:{}:{}: {self}", at.line, at.column);
        std::iter::once(head).chain(self.excerpt(text)).collect::<Vec<_>>().join("\n")
    }
}
