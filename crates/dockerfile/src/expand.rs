//! Variables and quotes in words (the reference, "Environment replacement").
//!
//! | form | gives |
//! |---|---|
//! | `$x` `${x}` | its value, nothing if it is not set |
//! | `${x:-w}` `${x-w}` | `w` if it is not set (with `:` or empty) |
//! | `${x:+w}` `${x+w}` | `w` if it is set (with `:` and not empty) |
//! | `${x:?w}` `${x?w}` | an error that says `w` if it is not set (with `:` or empty) |
//! | `${x#p}` `${x##p}` | without the shortest, longest beginning that fits the pattern |
//! | `${x%p}` `${x%%p}` | the same for the end |
//! | `${x/p/r}` `${x//p/r}` | the first, every fitting part replaced |
//!
//! Patterns have `*` and `?`, and the escape character before them. Single quotes keep everything; in double quotes the escape character keeps its meaning only
//! before `"`, `$` and itself.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::glob::Glob;
use crate::lex::is_blank;

/// Most bytes of an expanded word (spec/limits.md): replacements can multiply.
pub const MAX_EXPANDED: usize = 1 << 20;
/// Most `${` within each other (spec/limits.md).
pub const MAX_NESTING: usize = 32;

/// The variables that an instruction sees.
pub trait Scope {
    /// The value of a variable; `None` if it is not set.
    fn get(&self, name: &str) -> Option<String>;

    /// The value that an ARG has whatever its default is; one without a default may have it from more places.
    fn argument(&self, _name: &str, _has_default: bool) -> Option<String> {
        None
    }
}

impl Scope for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote or a brace that is not closed.
    #[error("{0} is not closed")]
    Open(&'static str),
    /// `${...}` with something that is no variable.
    #[error("\"{0}\" is not how a variable is written")]
    Syntax(String),
    /// `${x:?text}` and the variable is not set.
    #[error("the variable {name} {text}")]
    Required {
        /// Its name.
        name: String,
        /// What the Dockerfile says, or that it is not set.
        text: String,
    },
    /// More than is made (spec/limits.md).
    #[error("a word would become longer than {MAX_EXPANDED} bytes")]
    TooLong,
    /// Deeper than is read (spec/limits.md).
    #[error("more than {MAX_NESTING} variables stand within each other")]
    TooDeep,
}

/// Expands words with one escape character.
#[derive(Clone, Copy)]
pub struct Expander<'a> {
    scope: &'a dyn Scope,
    escape: char,
    /// Quotes stay as they are; variables are put in all the same.
    keep_quotes: bool,
}

impl<'a> Expander<'a> {
    /// With the variables of `scope`.
    pub fn new(scope: &'a dyn Scope, escape: char) -> Self {
        Self { scope, escape, keep_quotes: false }
    }

    /// For bodies of heredocs: quotes mean nothing there, and `\\` takes the meaning of the next character and vanishes,
    /// whatever the Dockerfile's escape character is.
    #[must_use]
    pub fn of_heredoc(self) -> Self {
        Self { keep_quotes: true, escape: '\\', ..self }
    }

    /// The one word that `text` is, blanks included.
    pub fn word(&self, text: &str) -> Result<String, ExpandError> {
        let mut reader =
            Reader { expander: *self, rest: text.chars().peekable(), words: Words::default(), depth: 0, raw: false };
        reader.read(None)
    }

    /// The words that `text` is: divided at blanks outside of quotes, and at blanks that come out of variables outside of
    /// quotes too.
    pub fn words(&self, text: &str) -> Result<Vec<String>, ExpandError> {
        let words = Words { divides: true, ..Words::default() };
        let mut reader = Reader { expander: *self, rest: text.chars().peekable(), words, depth: 0, raw: false };
        reader.read(None)?;
        Ok(reader.words.finish())
    }
}

/// Words in the making.
#[derive(Default)]
struct Words {
    divides: bool,
    done: Vec<String>,
    word: String,
    /// There is a word, be it empty: it had quotes.
    begun: bool,
}

impl Words {
    fn push(&mut self, c: char) {
        if is_blank(c) || c == '\n' {
            self.end();
        } else {
            self.quoted(c);
        }
    }

    fn quoted(&mut self, c: char) {
        self.word.push(c);
        self.begun = true;
    }

    fn end(&mut self) {
        if self.begun {
            self.done.push(std::mem::take(&mut self.word));
        }
        self.begun = false;
    }

    fn finish(mut self) -> Vec<String> {
        self.end();
        self.done
    }
}

struct Reader<'a, 't> {
    expander: Expander<'a>,
    rest: Peekable<Chars<'t>>,
    words: Words,
    depth: usize,
    /// In patterns and what replaces them escape characters stay: the pattern needs them.
    raw: bool,
}

impl Reader<'_, '_> {
    /// Reads up to `stop`, which is taken, or to the end.
    fn read(&mut self, stop: Option<char>) -> Result<String, ExpandError> {
        let mut out = String::new();
        let keep = self.expander.keep_quotes;
        loop {
            let Some(&c) = self.rest.peek() else {
                return if stop.is_some() { Err(ExpandError::Open("${")) } else { Ok(out) };
            };
            if stop == Some(c) {
                self.rest.next();
                return Ok(out);
            }
            match c {
                '\'' if !keep => self.single(&mut out)?,
                '"' if !keep => self.double(&mut out)?,
                '$' => {
                    let value = self.variable()?;
                    add(&mut out, &value)?;
                    if self.top() {
                        value.chars().for_each(|c| self.words.push(c));
                    }
                }
                c if c == self.expander.escape => {
                    self.rest.next();
                    if self.raw {
                        out.push(c);
                    }
                    // At the end it stands for nothing.
                    let Some(next) = self.rest.next() else { continue };
                    out.push(next);
                    if self.top() {
                        self.words.quoted(next);
                    }
                }
                c => {
                    self.rest.next();
                    out.push(c);
                    if self.top() {
                        self.words.push(c);
                    }
                }
            }
            if out.len() > MAX_EXPANDED {
                return Err(ExpandError::TooLong);
            }
        }
    }

    fn read_raw(&mut self, stop: char) -> Result<String, ExpandError> {
        let before = std::mem::replace(&mut self.raw, true);
        let text = self.read(Some(stop));
        self.raw = before;
        text
    }

    /// Words are divided outside of `${...}` alone.
    fn top(&self) -> bool {
        self.words.divides && self.depth == 0
    }

    fn single(&mut self, out: &mut String) -> Result<(), ExpandError> {
        self.rest.next();
        self.begin();
        loop {
            match self.rest.next() {
                None => return Err(ExpandError::Open("a single quote")),
                Some('\'') => return Ok(()),
                Some(c) => self.quoted(out, c),
            }
        }
    }

    fn double(&mut self, out: &mut String) -> Result<(), ExpandError> {
        self.rest.next();
        self.begin();
        loop {
            match self.rest.peek().copied() {
                None => return Err(ExpandError::Open("a double quote")),
                Some('"') => {
                    self.rest.next();
                    return Ok(());
                }
                Some('$') => {
                    let value = self.variable()?;
                    add(out, &value)?;
                    if self.top() {
                        value.chars().for_each(|c| self.words.quoted(c));
                    }
                }
                Some(c) if c == self.expander.escape => {
                    self.rest.next();
                    let Some(next) = self.rest.next() else { return Err(ExpandError::Open("a double quote")) };
                    if self.raw || (next != '"' && next != '$' && next != self.expander.escape) {
                        self.quoted(out, c);
                    }
                    self.quoted(out, next);
                }
                Some(c) => {
                    self.rest.next();
                    self.quoted(out, c);
                }
            }
        }
    }

    fn begin(&mut self) {
        if self.top() {
            self.words.begun = true;
        }
    }

    fn quoted(&mut self, out: &mut String, c: char) {
        out.push(c);
        if self.top() {
            self.words.quoted(c);
        }
    }

    /// `$...`, the dollar sign being next.
    fn variable(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            // A dollar sign before anything else is one.
            return Ok(if name.is_empty() { "$".to_owned() } else { self.get(&name).unwrap_or_default() });
        }
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ExpandError::TooDeep);
        }
        let value = self.braced();
        self.depth -= 1;
        value
    }

    fn get(&self, name: &str) -> Option<String> {
        self.expander.scope.get(name)
    }

    /// A name; digits and the special names of a shell (`$1`, `$@`) too, which are never set.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || "@*#?-$!".contains(*c)) {
            name.push(c);
            while c.is_ascii_digit() {
                let Some(digit) = self.rest.next_if(char::is_ascii_digit) else { break };
                name.push(digit);
            }
            return name;
        }
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    /// What stands behind `${`.
    fn braced(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        if name.is_empty() {
            let rest: String = self.rest.clone().take_while(|c| *c != '}').take(40).collect();
            return Err(ExpandError::Syntax(format!("${{{rest}}}")));
        }
        let value = self.get(&name);
        let syntax = |what: &str| ExpandError::Syntax(format!("${{{name}{what}"));
        match self.rest.next() {
            None => Err(ExpandError::Open("${")),
            Some('}') => Ok(value.unwrap_or_default()),
            Some(':') => {
                let set = value.filter(|value| !value.is_empty());
                match self.rest.next() {
                    Some(c @ ('-' | '+' | '?')) => self.alternative(c, &name, set),
                    Some(c) => Err(syntax(&format!(":{c}"))),
                    None => Err(ExpandError::Open("${")),
                }
            }
            Some(c @ ('-' | '+' | '?')) => self.alternative(c, &name, value),
            Some(c @ ('#' | '%')) => {
                let longest = self.rest.next_if_eq(&c).is_some();
                let pattern = Glob::new(&self.read_raw('}')?, self.expander.escape);
                let value = value.unwrap_or_default();
                Ok(if c == '#' {
                    pattern.without_beginning(&value, longest)
                } else {
                    pattern.without_end(&value, longest)
                })
            }
            Some('/') => {
                let all = self.rest.next_if_eq(&'/').is_some();
                let pattern = Glob::new(&self.read_raw('/')?, self.expander.escape);
                let with = self.read_raw('}')?;
                pattern.replaced(&value.unwrap_or_default(), &with, all, MAX_EXPANDED).ok_or(ExpandError::TooLong)
            }
            Some(c) => Err(syntax(&c.to_string())),
        }
    }

    /// `-`, `+` and `?`. The word is expanded in any case: what is wrong in it is wrong.
    fn alternative(&mut self, operator: char, name: &str, value: Option<String>) -> Result<String, ExpandError> {
        let word = self.read(Some('}'))?;
        match (operator, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', value) => Ok(value.map(|_| word).unwrap_or_default()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let text = if word.is_empty() { "is not set".to_owned() } else { format!("is required: {word}") };
                Err(ExpandError::Required { name: name.to_owned(), text })
            }
        }
    }
}

fn add(out: &mut String, value: &str) -> Result<(), ExpandError> {
    out.push_str(value);
    if out.len() > MAX_EXPANDED { Err(ExpandError::TooLong) } else { Ok(()) }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
