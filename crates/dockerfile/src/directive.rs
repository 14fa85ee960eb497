//! Directives: comments at the head of a Dockerfile that mean something (`# syntax=`, `# escape=`, `# check=`).

use crate::error::{Error, ErrorKind};
use crate::span::Span;

/// The directives of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=IMAGE`: what other builders would read the rest with. It is never pulled.
    pub syntax: Option<Value>,
    /// `# check=skip=...;error=true`.
    pub check: Option<Value>,
    /// `# escape=`: the character that continues lines and takes the meaning of the next; `\` by default.
    pub escape: char,
    /// The byte behind the last of them.
    pub end: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Without blanks at its ends.
    pub text: String,
    /// Its place.
    pub span: Span,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, check: None, escape: '\\', end: 0 }
    }
}

/// Reads the directives of `text` from `start` on. The first line that is none ends them, a comment too.
pub(crate) fn read(text: &str, start: usize) -> Result<Directives, Error> {
    let mut directives = Directives::default();
    let mut escape_seen = false;
    let mut offset = start;
    for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
        let Some((name, value)) = directive(line, offset) else { break };
        offset += line.len();
        let twice = |seen: bool| {
            let kind = ErrorKind::DirectiveTwice(name.to_ascii_lowercase());
            if seen { Err(Error::new(kind, value.span)) } else { Ok(()) }
        };
        match name.to_ascii_lowercase().as_str() {
            "syntax" => {
                twice(directives.syntax.is_some())?;
                directives.syntax = Some(value);
            }
            "check" => {
                twice(directives.check.is_some())?;
                directives.check = Some(value);
            }
            "escape" => {
                twice(escape_seen)?;
                escape_seen = true;
                directives.escape = match value.text.as_str() {
                    "\\" => '\\',
                    "`" => '`',
                    _ => return Err(Error::new(ErrorKind::Escape(value.text), value.span)),
                };
            }
            _ => break,
        }
        directives.end = offset;
    }
    Ok(directives)
}

/// `# NAME = VALUE`, with blanks wherever they stand.
fn directive(line: &str, offset: usize) -> Option<(&str, Value)> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start();
    let (name, value) = rest.split_once('=')?;
    let name = name.trim_end();
    let first = name.chars().next()?;
    if !first.is_ascii_alphabetic() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = value.trim_start();
    let start = offset + (line.len() - value.len());
    let text = value.trim_end();
    if text.is_empty() {
        return None;
    }
    Some((name, Value { text: text.to_owned(), span: Span { start, end: start + text.len() } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> String {
        match read(text, 0) {
            Ok(found) => {
                let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.text);
                format!("{} {} {}", text(found.syntax), text(found.check), found.escape)
            }
            Err(error) => format!("{}: {error}", error.span().start),
        }
    }

    #[test]
    fn the_head_of_the_file_alone_has_directives() {
        // spec: BUILD-1
        for (text, expected) in [
            ("", "- - \\"),
            ("# syntax=docker/dockerfile:1\nFROM a", "docker/dockerfile:1 - \\"),
            ("#syntax = a b \r\n# ESCAPE=`\n", "a b - `"),
            ("  # check=skip=all;error=true\n", "- skip=all;error=true \\"),
            ("# a comment\n# escape=`\n", "- - \\"),
            ("\n# escape=`\n", "- - \\"),
            ("# unknown=x\n# escape=`\n", "- - \\"),
            ("FROM a\n# escape=`\n", "- - \\"),
            ("# escape=\n# syntax=x\n", "- - \\"),
            ("# 1x=y\n# syntax=x\n", "- - \\"),
        ] {
            assert_eq!(summary(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_directive_stands_once_and_has_a_meaning() {
        // spec: BUILD-1
        assert!(summary("# escape=`\n# escape=`\n").starts_with("20: "));
        assert!(summary("# syntax=a\n# Syntax=b\n").starts_with("20: "));
        assert!(summary("# escape=x\n").starts_with("9: "));
    }
}
