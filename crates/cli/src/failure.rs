//! The error that a binary ends with: what, because of what, what to do, and the exit code.

use std::any::Any;
use std::error::Error;
use std::fmt::Display;

use crate::output::StdoutError;

/// What a binary's `run` returns when it cannot do what was asked.
///
/// Made by `?` from any error (its sources become the causes), by [`Context::context`], or by [`Failure::new`].
/// It is deliberately no [`Error`] itself: it ends the program and is not wrapped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) what: String,
    pub(crate) causes: Vec<String>,
    pub(crate) excerpt: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) kind: Kind,
}

/// Which exit code ends the program, and whether anything is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The binary's code for failures.
    Failure,
    /// The binary's code for usage errors.
    Usage,
    /// This code.
    Code(u8),
    /// The reader of our output went away: end without a word.
    BrokenPipe,
}

impl Failure {
    /// A failure that reads `what`: a clause without a full stop, `cannot stop web: it is not running`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), causes: Vec::new(), excerpt: Vec::new(), hint: None, kind: Kind::Failure }
    }

    /// A command line that cannot be understood, found after parsing (two options that exclude each other).
    pub fn usage(what: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what) }
    }

    /// Adds a cause, below those that are there.
    #[must_use]
    pub fn because(mut self, cause: impl Display) -> Self {
        self.add_cause(cause.to_string());
        self
    }

    /// Adds `error` and its sources as causes, outermost first.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.add_cause(error.to_string());
            next = error.source();
        }
        self
    }

    /// What the user can do about it: `run ctr-fetch IMAGE first`. The last hint given wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the program with `code` (see [`crate::exit`]) in place of the binary's usual one.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.kind = Kind::Code(code);
        self
    }

    /// From `error`, with the hint that `hint` finds for it, if any.
    pub fn hinted<E: Error + 'static>(error: E, hint: impl FnOnce(&E) -> Option<String>) -> Self {
        let found = hint(&error);
        let mut failure = Self::from(error);
        if let Some(found) = found {
            failure.hint = Some(found);
        }
        failure
    }

    /// The same failure as part of something larger: `what` could not be done because of it. Hint and code stay.
    #[must_use]
    pub fn within(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.what, what.into());
        self.causes.insert(0, inner);
        self
    }

    /// Lines that show what it is about, as they stand: of a file, or what a program said last. They come before those that
    /// are there.
    #[must_use]
    pub fn excerpt(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.excerpt.splice(..0, lines);
        self
    }

    /// The same failure with the place in front: `FILE:LINE: WHAT`.
    #[must_use]
    pub fn at(mut self, place: impl Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// What could not be done.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, outermost first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// All of it but the hint in one line: `WHAT: CAUSE: CAUSE`.
    pub fn one_line(&self) -> String {
        std::iter::once(self.what.as_str()).chain(self.causes.iter().map(String::as_str)).collect::<Vec<_>>().join(": ")
    }

    /// Many errors end in the text of their source; a cause that was just said is not said again.
    fn add_cause(&mut self, cause: String) {
        if !self.causes.last().unwrap_or(&self.what).ends_with(&cause) {
            self.causes.push(cause);
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        if let Some(output) = (&error as &dyn Any).downcast_ref::<std::io::Error>().and_then(StdoutError::of) {
            return output.failure();
        }
        let failure = Self::new(error.to_string());
        match error.source() {
            Some(source) => failure.caused_by(source),
            None => failure,
        }
    }
}

/// Says what was being done when an error came up.
pub trait Context<T> {
    /// The failure reads `what()`; the error and its sources are its causes.
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what()).caused_by(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);
    impl fmt::Display for Layered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Layered {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|inner| inner.as_ref() as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Layered {
        let (first, rest) = texts.split_first().unwrap();
        Layered(first, if rest.is_empty() { None } else { Some(Box::new(chain(rest))) })
    }

    #[test]
    fn a_failure_within_another_keeps_its_hint() {
        let inner = Failure::new("disk full").because("ENOSPC").hint("make room").code(3);
        let outer = inner.within("cannot bring in layer 1");
        assert_eq!(
            (outer.what(), outer.causes()),
            ("cannot bring in layer 1", &["disk full".to_owned(), "ENOSPC".to_owned()][..])
        );
        assert_eq!((outer.hint.as_deref(), outer.kind), (Some("make room"), Kind::Code(3)));
    }

    #[test]
    fn sources_become_causes() {
        let failure = Failure::from(chain(&["cannot start", "no such layer", "ENOENT"]));
        assert_eq!(failure.what(), "cannot start");
        assert_eq!(failure.causes(), ["no such layer", "ENOENT"]);
    }

    #[test]
    fn one_line_has_all_of_it() {
        assert_eq!(
            Failure::from(chain(&["cannot start", "no such layer", "ENOENT"])).hint("x").one_line(),
            "cannot start: no such layer: ENOENT"
        );
    }

    #[test]
    fn a_cause_that_the_text_says_already_is_left_out() {
        let failure = Failure::from(chain(&["cannot start: ENOENT", "ENOENT", "deeper"]));
        assert_eq!(failure.causes(), ["deeper"]);
    }

    #[test]
    fn context_puts_the_error_below() {
        let failed: Result<(), _> = Err(chain(&["open", "ENOENT"]));
        let failure = failed.context(|| "cannot read the log").unwrap_err();
        assert_eq!((failure.what(), failure.causes()), ("cannot read the log", &["open".into(), "ENOENT".into()][..]));
    }

    #[test]
    fn hints_come_from_the_error() {
        let failure = Failure::hinted(chain(&["a"]), |error| (error.0 == "a").then(|| "do b".into()));
        assert_eq!(failure.hint.as_deref(), Some("do b"));
        assert_eq!(Failure::hinted(chain(&["c"]), |_| None).hint, None);
    }
}
