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
    pub(crate) keyword: Option<Keyword>,
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
}

/// Reads a Dockerfile. Words, flags and forms are looked at when an instruction is asked for.
pub fn parse(text: &str) -> Result<Dockerfile, Error> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let directives = directive::read(text, start)?;
    let lines = lex::lines_from(text, directives.end, directives.escape)?;
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
    if let Some(second) = lines.next() {
        return Err(Error::new(ErrorKind::SeveralTriggers, second.span));
    }
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
        let head = Head::read(&line.text, escape);
        if let Some((start, end)) = head.open {
            return Err(Error::new(ErrorKind::OpenFlag, line.place(start, end)));
        }
        let flag = |(word, start, end): (String, usize, usize)| {
            let body = word.get(2..).unwrap_or_default();
            let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
            Flag { name: name.to_owned(), value: value.map(str::to_owned), span: line.place(start, end) }
        };
        let flags = head.flags.into_iter().map(flag).collect();
        Ok(Self { keyword: head.keyword, word: (0, head.word), flags, rest: head.rest, line })
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
        self.line.text.get(self.rest..).unwrap_or_default().trim_end()
    }

    /// The place of bytes of [`Node::arguments`].
    pub fn place(&self, start: usize, end: usize) -> Span {
        self.line.place(self.rest + start, self.rest + end)
    }

    /// The whole instruction on one line, as a history shows it.
    pub fn original(&self) -> &str {
        self.line.text.trim_end()
    }

    /// Bodies of its heredocs.
    pub fn heredocs(&self) -> &[Body] {
        &self.line.heredocs
    }

    /// Comment lines right before it.
    pub fn comments(&self) -> &[String] {
        &self.line.comments
    }

    /// The end of its last physical line, without its heredocs.
    pub(crate) fn last_line(&self) -> Span {
        let text = self.line.text.len();
        let last = self.line.text.chars().next_back().map_or(0, char::len_utf8);
        let piece = self.line.place(text - last, text);
        let last = self.empty_lines().last().copied().filter(|empty| empty.start > piece.start);
        last.unwrap_or(piece)
    }

    /// Empty lines within it.
    pub fn empty_lines(&self) -> &[Span] {
        &self.line.empty_lines
    }
}

/// What a line begins with, up to its arguments.
pub(crate) struct Head {
    /// Which instruction it is, if it is one.
    pub(crate) keyword: Option<Keyword>,
    /// Where its first word ends.
    word: usize,
    /// Words of options, quotes and escape characters taken away, with their beginnings and ends.
    flags: Vec<(String, usize, usize)>,
    /// Where its arguments begin.
    pub(crate) rest: usize,
    /// The option whose quote is not closed.
    open: Option<(usize, usize)>,
}

impl Head {
    /// Options end at the first word that is none, or behind a bare `--`.
    pub(crate) fn read(text: &str, escape: char) -> Self {
        let word = text.find(is_blank).unwrap_or(text.len());
        let keyword = text.get(..word).and_then(Keyword::of);
        let mut head = Self { keyword, word, flags: Vec::new(), rest: word, open: None };
        while keyword.is_some() {
            let behind = text.get(head.rest..).unwrap_or_default();
            let start = text.len() - behind.trim_start_matches(is_blank).len();
            let behind = text.get(start..).unwrap_or_default();
            if !behind.starts_with("--") {
                break;
            }
            let (flag, length, closed) = flag_word(behind, escape);
            head.rest = start + length;
            if !closed {
                head.open = Some((start, head.rest));
            }
            if flag == "--" {
                break;
            }
            head.flags.push((flag, start, head.rest));
        }
        head.rest = text.len() - text.get(head.rest..).unwrap_or_default().trim_start().len();
        head
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
            ("CMD --x y", "CMD[x](y)"),
            ("COPY -- --a \u{a0}b\u{a0}", "COPY(--a \u{a0}b)"),
            ("ONBUILD RUN --network=none x", "ONBUILD(RUN --network=none x)"),
            ("WHAT --x y", "there is no instruction \"WHAT\"(--x y)"),
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
