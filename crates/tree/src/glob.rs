//! Patterns of COPY and ADD for one name, as Go's `path/filepath.Match` reads them: `*`, `?`, `[a-z]`, `[^a]` and `\`.

/// Parts of one pattern; more are refused.
const PARTS_MAX: usize = 4096;

/// A pattern for one name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any number of characters.
    Any,
    /// One character.
    One,
    /// This character.
    Is(char),
    /// One character within, or with `true` outside of, these ranges.
    Class(bool, Vec<(char, char)>),
}

/// The pattern is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pattern ends within a [...] or behind a \\, or is too long")]
pub struct BadPattern;

/// Whether a text has characters that make it a pattern.
pub fn is_pattern(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    false
}

impl NamePattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' if parts.last() == Some(&Part::Any) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '[' => class(&mut rest)?,
                '\\' => Part::Is(rest.next().ok_or(BadPattern)?),
                c => Part::Is(c),
            });
            if parts.len() > PARTS_MAX {
                return Err(BadPattern);
            }
        }
        Ok(Self(parts))
    }

    /// Whether the name fits. Steps are at most the product of both lengths: only the last `*` is ever tried again.
    pub fn matches(&self, name: &[u8]) -> bool {
        let text: Vec<char> = String::from_utf8_lossy(name).chars().collect();
        let (mut part, mut at) = (0, 0);
        let mut again: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(part), text.get(at)) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    again = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(one), Some(c)) if one.fits(*c) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            let Some((next, from)) = again.filter(|(_, from)| *from < text.len()) else { return false };
            again = Some((next, from + 1));
            (part, at) = (next, from + 1);
        }
    }
}

impl Part {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Is(wanted) => *wanted == c,
            Self::Class(negated, ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

/// Behind a `[`.
fn class(rest: &mut std::str::Chars<'_>) -> Result<Part, BadPattern> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    let one = |rest: &mut std::str::Chars<'_>| match rest.next() {
        Some('\\') => rest.next().ok_or(BadPattern),
        Some('-' | ']') | None => Err(BadPattern),
        Some(c) => Ok(c),
    };
    loop {
        if rest.as_str().starts_with(']') && !ranges.is_empty() {
            rest.next();
            return Ok(Part::Class(negated, ranges));
        }
        let low = one(rest)?;
        let high = if rest.as_str().starts_with('-') {
            rest.next();
            one(rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-41
    #[test]
    fn names_fit_as_filepath_match_has_it() {
        for (pattern, name, fits) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a\u{263a}b", true),
            ("a[^a]b", "a\u{263a}b", true),
            ("[a-\u{3b6}]*", "\u{3b1}", true),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("[x\\-]", "z", false),
            ("[[]x", "[x", true),
            ("*a*a*a*a*a*a*a*b", &"a".repeat(2000), false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(NamePattern::new(pattern).unwrap().matches(name.as_bytes()), fits, "{pattern} {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "\\", "[a-b-c]"] {
            assert_eq!(NamePattern::new(bad), Err(BadPattern), "{bad}");
        }
        assert!(is_pattern("a*") && is_pattern("[a") && !is_pattern("a\\*") && !is_pattern("a]"));
    }
}
