//! `.dockerignore`, as moby's patternmatcher reads it: lines of patterns, the last one that fits decides, `!` takes back.

/// Patterns of one file (spec/limits.md).
pub const PATTERNS_MAX: usize = 4096;
/// Bytes of one pattern (spec/limits.md).
pub const PATTERN_BYTES: usize = 4096;

/// Why an ignore file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A pattern is not well-formed.
    #[error("line {line}: \"{pattern}\" is no pattern: {reason}")]
    Pattern {
        /// From 1.
        line: usize,
        /// As it stands.
        pattern: String,
        /// What is wrong.
        reason: BadPattern,
    },
    /// Too many.
    #[error("there are more than {PATTERNS_MAX} patterns")]
    TooMany,
    /// No text.
    #[error("it is not UTF-8 text")]
    Encoding,
}

/// Why a pattern cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// `[` without its end, an empty class, or a `\` at the end.
    #[error("a [ or a \\ is not complete")]
    Syntax,
    /// `!` alone.
    #[error("behind ! there is nothing")]
    Empty,
    /// Longer than is read.
    #[error("it is longer than {PATTERN_BYTES} bytes")]
    TooLong,
}

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    takes_back: bool,
    pattern: Pattern,
}

/// One pattern for paths: names with `*`, `?` and classes, and `**` for any number of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    Is(char),
    /// `?`: one that is no `/`.
    One,
    /// `*`: any that are no `/`.
    Any,
    /// `**`: any.
    All,
    /// `**/`: nothing, or any that end with `/`.
    Dirs,
    /// `[...]`: one within, or outside of, these ranges.
    Class(bool, Vec<(char, char)>),
}

impl Ignore {
    /// Reads a file. A `#` in the first column begins a comment; blanks around a pattern do not count.
    pub fn parse(bytes: &[u8]) -> Result<Self, IgnoreError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IgnoreError::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if rules.len() == PATTERNS_MAX {
                return Err(IgnoreError::TooMany);
            }
            let (takes_back, text) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let wrong = |reason| IgnoreError::Pattern { line: at + 1, pattern: line.to_owned(), reason };
            if text.is_empty() {
                return Err(wrong(BadPattern::Empty));
            }
            let text = clean(text);
            // The root itself is never ignored.
            if text.is_empty() {
                continue;
            }
            rules.push(Rule { takes_back, pattern: Pattern::read(&text).map_err(wrong)? });
        }
        Ok(Self { rules })
    }

    /// Whether the path, relative and without a `/` at its ends, is left out: the last pattern that fits it or a directory
    /// above it decides.
    pub fn is_ignored(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let mut ignored = false;
        for rule in &self.rules {
            // What does not change the answer need not be matched.
            if rule.takes_back == ignored && rule.pattern.fits_or_above(&path) {
                ignored = !rule.takes_back;
            }
        }
        ignored
    }

    /// Whether there is a `!` at all.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_back)
    }

    /// Whether a pattern is for everything: `*`, `**` or `**/*`.
    pub(crate) fn ignores_all(&self) -> bool {
        let is_all = |rule: &Rule| matches!(rule.pattern.parts[..], [Part::Any | Part::All] | [Part::Dirs, Part::Any]);
        self.rules.iter().any(|rule| !rule.takes_back && is_all(rule))
    }

    /// Whether a `!` can take something back that lies below the directory.
    pub fn may_hold_exception(&self, dir: &[u8]) -> bool {
        let dir = String::from_utf8_lossy(dir);
        self.rules
            .iter()
            .any(|rule| rule.takes_back && (rule.pattern.can_fit_below(&dir) || rule.pattern.fits_or_above(&dir)))
    }
}

/// As Go's filepath.Clean, where `..` leads no further than to the beginning.
pub(crate) fn clean_path(text: &str) -> String {
    match (text.starts_with('/'), clean(text)) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

/// As Go's filepath.Clean, and without the `/` in front: `a/./b//c/../d/` is `a/b/d`.
fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Pattern {
    /// Reads a pattern, which is cleaned as a path is.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = clean(text.trim());
        if text.is_empty() { Err(BadPattern::Empty) } else { Self::read(&text) }
    }

    fn read(text: &str) -> Result<Self, BadPattern> {
        if text.len() > PATTERN_BYTES {
            return Err(BadPattern::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' if rest.peek() == Some(&'*') => {
                    while rest.next_if_eq(&'*').is_some() {}
                    if rest.next_if_eq(&'/').is_some() { Part::Dirs } else { Part::All }
                }
                '*' => Part::Any,
                '?' => Part::One,
                '[' => class(&mut rest)?,
                '\\' => Part::Is(rest.next().ok_or(BadPattern::Syntax)?),
                c => Part::Is(c),
            });
        }
        // Two that stand for any number are as good as one.
        parts.dedup_by(|next, part| part == next && matches!(part, Part::Any | Part::All | Part::Dirs));
        Ok(Self { parts })
    }

    /// Whether the path fits, or a directory above it.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.fits_or_above(&String::from_utf8_lossy(path))
    }

    fn fits_or_above(&self, path: &str) -> bool {
        let mut states = self.start();
        for c in path.chars() {
            if c == '/' && states.last() == Some(&true) {
                return true;
            }
            states = self.step(&states, c);
        }
        states.last() == Some(&true)
    }

    /// Whether something below the directory can fit: the pattern is not at an end there.
    fn can_fit_below(&self, dir: &str) -> bool {
        let mut states = self.start();
        for c in dir.chars().chain(['/']) {
            states = self.step(&states, c);
        }
        states.contains(&true)
    }

    /// All places of the pattern at once: never more steps than the product of both lengths.
    fn start(&self) -> Vec<bool> {
        let mut states = vec![false; self.parts.len() + 1];
        if let Some(first) = states.first_mut() {
            *first = true;
        }
        self.skip(&mut states);
        states
    }

    fn step(&self, states: &[bool], c: char) -> Vec<bool> {
        let mut next = vec![false; states.len()];
        let mut set = |at: usize| {
            if let Some(state) = next.get_mut(at) {
                *state = true;
            }
        };
        for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| states.get(*at) == Some(&true)) {
            match part {
                Part::Is(wanted) if *wanted == c => set(at + 1),
                Part::One if c != '/' => set(at + 1),
                Part::Any if c != '/' => set(at),
                Part::All => set(at),
                Part::Dirs => {
                    set(at);
                    if c == '/' {
                        set(at + 1);
                    }
                }
                Part::Class(negated, ranges)
                    if c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated =>
                {
                    set(at + 1);
                }
                _ => {}
            }
        }
        // Behind `**/` the next name begins only at a `/`, which is why that place is not reached by skipping here.
        self.skip_any(&mut next);
        next
    }

    /// `*` and `**` can stand for nothing, anywhere; `**/` only where a name begins.
    fn skip(&self, states: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if states.get(at) == Some(&true)
                && matches!(part, Part::Any | Part::All | Part::Dirs)
                && let Some(next) = states.get_mut(at + 1)
            {
                *next = true;
            }
        }
    }

    fn skip_any(&self, states: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            let nothing = match part {
                Part::Any | Part::All => true,
                // It follows a `/` of the pattern, which has just been read, or another that stands for any number.
                Part::Dirs => at > 0 && matches!(self.parts.get(at - 1), Some(Part::Is('/'))),
                _ => false,
            };
            if nothing
                && states.get(at) == Some(&true)
                && let Some(next) = states.get_mut(at + 1)
            {
                *next = true;
            }
        }
    }
}

/// Behind a `[`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, BadPattern> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let one = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
        Some('\\') => rest.next().ok_or(BadPattern::Syntax),
        None => Err(BadPattern::Syntax),
        Some(c) => Ok(c),
    };
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Ok(Part::Class(negated, ranges));
        }
        let low = one(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { one(rest)? } else { low };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-25
    #[test]
    fn patterns_fit() {
        for (pattern, path, fits) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/file", "file", true),
            ("**/file", "dir/dir/file", true),
            ("**/file", "dir/afile", false),
            ("dir/**", "dir/file", true),
            ("dir/**", "dirs", false),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "dir/file", true),
            ("**/**/*.txt", "a/b/x.txt", true),
            ("a**/*.txt", "abc/x.txt", true),
            ("a/*/b", "a/x/b", true),
            ("a/*/b", "a/x/y/b", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "aze", true),
            ("a[^b-d]e", "a/e", false),
            ("a\\*b", "a*b", true),
            ("abc.def", "abcZdef", false),
            ("abc?def", "abcZdef", true),
            ("a\\\\", "a\\", true),
            ("dir", "dir/below/it", true),
            ("dir", "director", false),
            ("*", "a/b", true),
            ("/a/./b/../c/", "a/c", true),
            ("x/**/y", "x/y", true),
            ("x/**/y", "x/a/b/y", true),
            ("x/**/y", "xy", false),
        ] {
            let pattern_read = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern_read.matches(path.as_bytes()), fits, "{pattern} {path}");
        }
        for bad in ["[", "[^", "a[b", "[]", "\\", "a\\", "", "/", &"x".repeat(5000)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    // spec: BUILD-26
    #[test]
    fn the_last_pattern_decides() {
        let text = "\u{feff}# comment\n *.md \n!README.md\nREADME-secret*\n\nnode_modules\n!node_modules/kept/*.js\n#x\n/root/only\n";
        let ignore = Ignore::parse(text.as_bytes()).unwrap();
        for (path, ignored) in [
            ("a.md", true),
            ("README.md", false),
            ("README-secret.md", true),
            ("d/a.md", false),
            ("node_modules/x/y", true),
            ("node_modules/kept/a.js", false),
            ("node_modules/kept/a.ts", true),
            ("root/only/x", true),
            ("x/root/only", false),
        ] {
            assert_eq!(ignore.is_ignored(path.as_bytes()), ignored, "{path}");
        }
        assert!(ignore.may_hold_exception(b"node_modules") && ignore.may_hold_exception(b"node_modules/kept"));
        assert!(!ignore.may_hold_exception(b"node_modules/other") && !ignore.may_hold_exception(b"root"));
        assert!(matches!(
            Ignore::parse(b"a\n!\n"),
            Err(IgnoreError::Pattern { line: 2, reason: BadPattern::Empty, .. })
        ));
        assert_eq!(Ignore::parse(&[0xff]), Err(IgnoreError::Encoding));
    }

    // spec: LIM-93
    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::parse(&"**/a*".repeat(600)).unwrap();
        assert!(!pattern.matches("b/".repeat(1000).as_bytes()));
        let many = "x\n".repeat(PATTERNS_MAX + 1);
        assert_eq!(Ignore::parse(many.as_bytes()), Err(IgnoreError::TooMany));
    }
}
