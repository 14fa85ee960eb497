//! A Dockerfile as a list of instructions whose words are not yet looked at.

use crate::directive::{self, Directives};
use crate::error::{Error, ErrorKind};
use crate::lex::{self, Body, Line, is_blank};
use crate::span::Span;

/// A Dockerfile.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    text: String,
    directives: Directives,
    nodes: Vec<Node>,
}

/// An instruction.
#[derive(Debug, Clone)]
pub struct Node {
    line: Line,
    keyword: Option<Keyword>,
    word: (usize, usize),
    flags: Vec<Flag>,
    /// Where its arguments begin in the line.
    rest: usize,
}

/// `--name=value` before the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// Behind the `=`, quotes taken away; `None` without one.
    pub value: Option<String>,
    /// Its place.
    pub span: Span,
}

macro_rules! keywords {
    ($($name:ident $text:literal),* $(,)?) => {
        /// What an instruction begins with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Keyword { $(#[doc = $text] $name),* }

        impl Keyword {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// In capitals.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

keywords! {
    Add "ADD", Arg "ARG", Cmd "CMD", Copy "COPY", Entrypoint "ENTRYPOINT", Env "ENV", Expose "EXPOSE", From "FROM",
    Healthcheck "HEALTHCHECK", Label "LABEL", Maintainer "MAINTAINER", Onbuild "ONBUILD", Run "RUN", Shell "SHELL",
    Stopsignal "STOPSIGNAL", User "USER", Volume "VOLUME", Workdir "WORKDIR",
}

impl Keyword {
    /// By its name in any case.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|keyword| keyword.name().eq_ignore_ascii_case(text))
    }

    /// Whether flags may come before its arguments.
    fn has_flags(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::From | Self::Healthcheck | Self::Run)
    }
}

/// Reads a Dockerfile. Words, flags and forms are looked at when an instruction is asked for.
pub fn parse(text: &str) -> Result<Dockerfile, Error> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let directives = directive::read(text, start)?;
    let lines = lex::lines(text, directives.escape)?;
    let nodes = lines.into_iter().map(|line| Node::of(line, directives.escape)).collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() {
        return Err(Error::new(ErrorKind::Empty, Span::default()));
    }
    Ok(Dockerfile { text: text.to_owned(), directives, nodes })
}

/// Reads one instruction of a base image's ONBUILD, as its config keeps it.
pub fn parse_trigger(text: &str) -> Result<Node, Error> {
    let mut lines = lex::lines(text, directive::Directives::default().escape)?.into_iter();
    let line = lines.next().ok_or_else(|| Error::new(ErrorKind::Empty, Span::default()))?;
    let node = Node::of(line, directive::Directives::default().escape)?;
    match node.keyword()? {
        keyword @ (Keyword::Onbuild | Keyword::From | Keyword::Maintainer) => {
            Err(Error::new(ErrorKind::Trigger(keyword.name().to_owned()), node.keyword_span()))
        }
        _ => Ok(node),
    }
}

impl Dockerfile {
    /// As it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its directives.
    pub fn directives(&self) -> &Directives {
        &self.directives
    }

    /// Its instructions.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

impl Node {
    fn of(line: Line, escape: char) -> Result<Self, Error> {
        let end = line.text.find(is_blank).unwrap_or(line.text.len());
        let keyword = line.text.get(..end).and_then(Keyword::of);
        let mut node = Self { line, keyword, word: (0, end), flags: Vec::new(), rest: end };
        if keyword.is_some_and(Keyword::has_flags) {
            node.read_flags(escape)?;
        }
        node.rest = node.skip_blanks(node.rest);
        Ok(node)
    }

    fn skip_blanks(&self, at: usize) -> usize {
        let rest = self.line.text.get(at..).unwrap_or_default();
        at + (rest.len() - rest.trim_start_matches(is_blank).len())
    }

    /// Flags end at the first word that is none, or behind a bare `--`.
    fn read_flags(&mut self, escape: char) -> Result<(), Error> {
        loop {
            let start = self.skip_blanks(self.rest);
            let text = self.line.text.get(start..).unwrap_or_default();
            if !text.starts_with("--") {
                return Ok(());
            }
            let (word, length, closed) = flag_word(text, escape);
            let span = self.line.place(start, start + length);
            if !closed {
                return Err(Error::new(ErrorKind::OpenFlag, span));
            }
            self.rest = start + length;
            if word == "--" {
                return Ok(());
            }
            let body = word.get(2..).unwrap_or_default();
            let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
            self.flags.push(Flag { name: name.to_owned(), value: value.map(str::to_owned), span });
        }
    }

    /// Which instruction it is; an error with the nearest one if there is none of that name.
    pub fn keyword(&self) -> Result<Keyword, Error> {
        let word = || self.line.text.get(self.word.0..self.word.1).unwrap_or_default().to_owned();
        self.keyword.ok_or_else(|| Error::new(ErrorKind::Unknown(word()), self.keyword_span()))
    }

    /// The keyword as it is written.
    pub fn keyword_text(&self) -> &str {
        self.line.text.get(self.word.0..self.word.1).unwrap_or_default()
    }

    /// Where the keyword stands.
    pub fn keyword_span(&self) -> Span {
        self.line.place(self.word.0, self.word.1)
    }

    /// All of it, heredocs included.
    pub fn span(&self) -> Span {
        self.line.span
    }

    /// Its first line, as far as it is one: for errors of the instruction as a whole.
    pub(crate) fn span_of_line(&self) -> Span {
        self.line.place(0, self.original().len())
    }

    /// Its flags, in their order.
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// Its arguments, as they are written on one line.
    pub fn arguments(&self) -> &str {
        self.line.text.get(self.rest..).unwrap_or_default().trim_end_matches(is_blank)
    }

    /// The place of bytes of [`Node::arguments`].
    pub fn place(&self, start: usize, end: usize) -> Span {
        self.line.place(self.rest + start, self.rest + end)
    }

    /// The whole instruction on one line, as a history shows it.
    pub fn original(&self) -> &str {
        self.line.text.trim_end_matches(is_blank)
    }

    /// Bodies of its heredocs.
    pub fn heredocs(&self) -> &[Body] {
        &self.line.heredocs
    }

    /// Comment lines right before it.
    pub fn comments(&self) -> &[String] {
        &self.line.comments
    }

    /// Empty lines within it.
    pub fn empty_lines(&self) -> &[Span] {
        &self.line.empty_lines
    }
}

/// The first word, quotes and escape characters taken away; how long it is; whether its quotes are closed.
fn flag_word(text: &str, escape: char) -> (String, usize, bool) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match quote {
            None if is_blank(c) => return (word, at, true),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(characters.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, text.len(), quote.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let file = match parse(text) {
            Ok(file) => file,
            Err(error) => return format!("error {}: {error}", error.span().position(text).line),
        };
        let flag =
            |flag: &Flag| format!("[{}{}]", flag.name, flag.value.as_ref().map_or(String::new(), |v| format!("={v}")));
        let node = |node: &Node| {
            let keyword = node.keyword().map_or_else(|error| error.to_string(), |keyword| keyword.name().to_owned());
            format!("{keyword}{}({})", node.flags().iter().map(flag).collect::<String>(), node.arguments())
        };
        file.nodes().iter().map(node).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn instructions_have_flags_and_arguments() {
        // spec: BUILD-4
        for (text, expected) in [
            ("FROM a", "FROM(a)"),
            ("from  --platform=x  a as b ", "FROM[platform=x](a as b)"),
            ("COPY --from=x --chown=\"a b\" --link a b", "COPY[from=x][chown=a b][link](a b)"),
            ("COPY -- --a b", "COPY(--a b)"),
            (
                "RUN --mount=type=tmpfs,target=/x \\\n  --network=none \\\n  true",
                "RUN[mount=type=tmpfs,target=/x][network=none](true)",
            ),
            ("RUN true --flag", "RUN(true --flag)"),
            ("RUN --mount=a\\ b x", "RUN[mount=a b](x)"),
            ("CMD --x", "CMD(--x)"),
            ("RUN", "RUN()"),
            ("HEALTHCHECK --interval=1s CMD x", "HEALTHCHECK[interval=1s](CMD x)"),
            ("COPY --from='x a b", "error 1: a quote of this option is not closed"),
            ("# only comments\n\n", "error 1: the Dockerfile has no instruction"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert!(shown("FROM a\nCOPPY a b").contains("COPPY"));
    }

    #[test]
    fn places_are_those_of_the_file() {
        // spec: BUILD-8
        let text = "FROM a\nCOPY --from=b \\\n   one two\n";
        let file = parse(text).unwrap();
        let node = &file.nodes()[1];
        let at = node.arguments().find("two").unwrap();
        let span = node.place(at, at + 3);
        assert_eq!((span.position(text).line, span.position(text).column), (3, 8));
        assert_eq!(text.get(span.start..span.end), Some("two"));
        let flag = node.flags()[0].span;
        assert_eq!(text.get(flag.start..flag.end), Some("--from=b"));
        assert_eq!(node.original(), "COPY --from=b    one two");
    }
}
