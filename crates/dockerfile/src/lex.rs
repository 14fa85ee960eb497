//! From physical lines to the lines of the language: continuations joined, comments taken out, heredocs collected.
//!
//! ```text
//! RUN a \        one line "RUN a b", whose characters know where they stood;
//!   # comment    comments in between vanish, and so do empty lines (with a warning)
//!   b
//! COPY <<X /x    the bodies of heredocs belong to the line that opens them
//! text
//! X
//! ```

use crate::error::{Error, ErrorKind};
use crate::heredoc::{self, Opened};
use crate::span::Span;

/// Most bytes of a Dockerfile (spec/limits.md).
pub const MAX_DOCKERFILE: usize = 1 << 20;

/// A line of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From its first character to the end of its last physical line, bodies of heredocs included.
    pub span: Span,
    /// Its text: pieces joined, without line ends and escape characters of continuations.
    pub text: String,
    /// Where the pieces of [`Line::text`] stood: offset in it, offset in the file. Ascending.
    pub pieces: Vec<(usize, usize)>,
    /// Comment lines right before it, without `#`.
    pub comments: Vec<String>,
    /// Empty lines within it.
    pub empty_lines: Vec<Span>,
    /// Its heredocs, in their order.
    pub heredocs: Vec<Body>,
}

/// The body of a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What its word says.
    pub opened: Opened,
    /// Its lines with their ends, without leading tabs if it is a `<<-`.
    pub content: String,
    /// Where the body stands.
    pub span: Span,
}

impl Line {
    /// The place in the file of bytes of [`Line::text`].
    pub fn place(&self, start: usize, end: usize) -> Span {
        let at = |offset: usize| {
            let behind = self.pieces.partition_point(|(in_text, _)| *in_text <= offset);
            let piece = behind.checked_sub(1).and_then(|index| self.pieces.get(index));
            piece.map_or(self.span.start, |(in_text, in_file)| in_file + (offset - in_text))
        };
        // The end is that of the last byte: behind it another piece may begin somewhere else.
        let first = at(start);
        Span { start: first, end: if end > start { at(end - 1) + 1 } else { first } }
    }
}

/// The lines of `text`. `heredocs` says whether a line's first word may open some.
pub fn lines(text: &str, escape: char) -> Result<Vec<Line>, Error> {
    lines_from(text, 0, escape)
}

/// The lines behind the directives, which end at `start`.
pub(crate) fn lines_from(text: &str, start: usize, escape: char) -> Result<Vec<Line>, Error> {
    if text.len() > MAX_DOCKERFILE {
        let kind = ErrorKind::TooLarge { found: text.len(), limit: MAX_DOCKERFILE };
        return Err(Error::new(kind, Span::default()));
    }
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let start = start.max(mark);
    let mut physical = Physical { text, at: start };
    let (mut lines, mut comments) = (Vec::new(), Vec::new());
    while let Some((start, line)) = physical.next() {
        if let Some(comment) = comment(line) {
            // An empty one divides those above from the instruction, as an empty line does.
            if comment.is_empty() {
                comments.clear();
            } else {
                comments.push(comment.to_owned());
            }
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let body = line.get(indent..).unwrap_or_default();
        if body.is_empty() {
            comments.clear();
            continue;
        }
        let mut joined = Line {
            span: Span { start: start + indent, end: start + line.len() },
            text: String::new(),
            pieces: Vec::new(),
            comments: std::mem::take(&mut comments),
            empty_lines: Vec::new(),
            heredocs: Vec::new(),
        };
        let mut goes_on = joined.append(body, start + indent, escape);
        if goes_on && joined.text.is_empty() {
            // Nothing but an escape character: as if it were not there.
            continue;
        }
        while goes_on {
            let Some((start, line)) = physical.next() else { break };
            if comment(line).is_some() {
                continue;
            }
            if line.trim().is_empty() {
                joined.span.end = start + line.len();
                joined.empty_lines.push(Span { start, end: start + line.len() });
                continue;
            }
            goes_on = joined.append(line, start, escape);
            joined.span.end = start + line.len();
        }
        for opened in heredoc::opened(&joined.text, escape) {
            let body = body_of(&mut physical, opened, &joined)?;
            joined.span.end = body.1;
            joined.heredocs.push(body.0);
        }
        lines.push(joined);
    }
    Ok(lines)
}

impl Line {
    /// Appends a physical line; whether the next one belongs to it too.
    fn append(&mut self, line: &str, at: usize, escape: char) -> bool {
        let (kept, goes_on) = continued(line, escape);
        if !kept.is_empty() {
            self.pieces.push((self.text.len(), at));
            self.text.push_str(kept);
        }
        goes_on
    }
}

/// The line without the escape character that continues it, if one does: `([^\\])\\[ \t]*$|^\\[ \t]*$`.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let end = line.trim_end_matches([' ', '\t']);
    match end.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

/// Reads up to the word that ends the heredoc. Also the end of what was read.
fn body_of(physical: &mut Physical<'_>, opened: Opened, line: &Line) -> Result<(Body, usize), Error> {
    let start = physical.at;
    let mut content = String::new();
    loop {
        let before = physical.at;
        let Some((at, text)) = physical.next() else {
            return Err(Error::new(ErrorKind::UnendedHeredoc(opened.name), line.place(0, line.text.len())));
        };
        let shown = if opened.chomp { text.trim_start_matches('\t') } else { text };
        if shown == opened.name {
            return Ok((Body { opened, content, span: Span { start, end: before } }, at + text.len()));
        }
        content.push_str(shown);
        // The line's own end: a body of CRLF lines stays one.
        let ends = physical.text.get(at + text.len()..physical.at).unwrap_or_default();
        content.push_str(ends);
    }
}

/// What a comment says, if the line is one.
fn comment(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('#').map(str::trim)
}

/// What divides words; at the ends of lines every white space counts as a blank.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// Physical lines without their ends, and where they begin.
struct Physical<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Physical<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest);
        let start = self.at;
        self.at += length;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((start, line.trim_end_matches('\r')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        lines(text, '\\').unwrap().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_joined() {
        // spec: BUILD-2
        for (text, expected) in [
            ("", &[][..]),
            ("FROM a", &["FROM a"]),
            ("\u{feff}FROM a\r\nRUN b\r\n", &["FROM a", "RUN b"]),
            ("  FROM a\n\n\t\nRUN b", &["FROM a", "RUN b"]),
            ("RUN a \\\n  b", &["RUN a   b"]),
            ("RUN a \\ \t\nb", &["RUN a b"]),
            ("RUN a \\\n# c\nb", &["RUN a b"]),
            ("RUN a \\\n\n\nb", &["RUN a b"]),
            ("RUN a \\\\\nRUN b", &["RUN a \\\\", "RUN b"]),
            ("RUN a \\", &["RUN a "]),
            ("\\\nRUN a", &["RUN a"]),
            ("# c\nFROM a # no comment", &["FROM a # no comment"]),
            ("RUN a\\\r\nb\r\n", &["RUN ab"]),
            ("RUN a \\\n\\\nb", &["RUN a b"]),
            ("RUN a \\\n \u{a0}# c\n\u{a0}\nb", &["RUN a b"]),
            ("\u{a0}FROM a\r\r\n", &["FROM a"]),
            ("RUN a \\\n# c \\\n", &["RUN a "]),
            ("RUN a \\x\nRUN b \\\u{b}\nRUN c", &["RUN a \\x", "RUN b \\\u{b}", "RUN c"]),
        ] {
            assert_eq!(texts(text), expected, "{text:?}");
        }
        assert_eq!(lines("RUN a `\nb \\\nRUN c", '`').unwrap().len(), 2);
    }

    #[test]
    fn characters_know_their_place() {
        let text = "# c\nRUN one \\\n  # c\n  two three\n";
        let line = lines(text, '\\').unwrap().remove(0);
        let place = |word: &str| {
            let start = line.text.find(word).unwrap();
            let span = line.place(start, start + word.len());
            (text.get(span.start..span.end).unwrap().to_owned(), span.position(text).line)
        };
        assert_eq!(place("one"), ("one".to_owned(), 2));
        assert_eq!(place("three"), ("three".to_owned(), 4));
        assert_eq!(line.comments, ["c"]);
    }

    #[test]
    fn heredocs_belong_to_their_line() {
        // spec: BUILD-3
        let text = "RUN <<A cat <<-\"B\"\none\nA\n\ttwo\n\tB\nFROM x";
        let found = lines(text, '\\').unwrap();
        assert_eq!(found.len(), 2);
        let bodies: Vec<_> = found[0].heredocs.iter().map(|b| (b.opened.name.as_str(), b.content.as_str())).collect();
        assert_eq!(bodies, [("A", "one\n"), ("B", "two\n")]);
        let error = lines("FROM a\nRUN <<A\none\n", '\\').unwrap_err();
        assert_eq!(error.span().position("FROM a\nRUN <<A\none\n").line, 2);
        // Other instructions have none.
        assert_eq!(texts("CMD <<A\nRUN b"), ["CMD <<A", "RUN b"]);
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        // spec: BUILD-2
        assert!(lines(&" ".repeat(MAX_DOCKERFILE), '\\').is_ok());
        assert!(lines(&" ".repeat(MAX_DOCKERFILE + 1), '\\').is_err());
    }
}
