//! Patterns of `${x#p}` and its like: `*` and `?`, everything else is itself.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Is(char),
}

impl Glob {
    /// `escape` takes the meaning of the next character.
    pub(crate) fn new(text: &str, escape: char) -> Self {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match c {
                // Two are as good as one.
                '*' if parts.last() == Some(&Part::Any) => {}
                '*' => parts.push(Part::Any),
                '?' => parts.push(Part::One),
                c if c == escape => parts.extend(characters.next().map(Part::Is)),
                c => parts.push(Part::Is(c)),
            }
        }
        Self(parts)
    }

    /// Lengths in bytes of the beginnings of `text` that fit, the shortest and the longest. One pass over the text with all
    /// places in the pattern at once: never more than their product.
    fn beginnings(&self, text: &str) -> Option<(usize, usize)> {
        let mut states = vec![false; self.0.len() + 1];
        if let Some(first) = states.first_mut() {
            *first = true;
        }
        self.skip(&mut states);
        let mut found = None;
        let mut note = |states: &[bool], at: usize| {
            if states.last() == Some(&true) {
                found = Some(found.map_or((at, at), |(shortest, _)| (shortest, at)));
            }
        };
        note(&states, 0);
        for (at, c) in text.char_indices() {
            let mut next = vec![false; states.len()];
            for (index, part) in self.0.iter().enumerate().filter(|(index, _)| states.get(*index) == Some(&true)) {
                let to = match part {
                    Part::Any => index,
                    Part::One => index + 1,
                    Part::Is(wanted) if *wanted == c => index + 1,
                    Part::Is(_) => continue,
                };
                if let Some(state) = next.get_mut(to) {
                    *state = true;
                }
            }
            self.skip(&mut next);
            if next.iter().all(|state| !state) {
                break;
            }
            note(&next, at + c.len_utf8());
            states = next;
        }
        found
    }

    /// `*` fits nothing, too.
    fn skip(&self, states: &mut [bool]) {
        for (index, part) in self.0.iter().enumerate() {
            if *part == Part::Any
                && states.get(index) == Some(&true)
                && let Some(next) = states.get_mut(index + 1)
            {
                *next = true;
            }
        }
    }

    pub(crate) fn without_beginning(&self, text: &str, longest: bool) -> String {
        let cut = self.beginnings(text).map_or(0, |(shortest, long)| if longest { long } else { shortest });
        text.get(cut..).unwrap_or_default().to_owned()
    }

    pub(crate) fn without_end(&self, text: &str, longest: bool) -> String {
        let reversed = Self(self.0.iter().rev().copied().collect());
        let backwards: String = text.chars().rev().collect();
        let cut = reversed.beginnings(&backwards).map_or(0, |(shortest, long)| if longest { long } else { shortest });
        text.get(..text.len() - cut).unwrap_or_default().to_owned()
    }

    /// Longest fitting parts replaced, from left to right; `None` if the result would have more than `most` bytes.
    pub(crate) fn replaced(&self, text: &str, with: &str, all: bool, most: usize) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            // A part that is empty is none.
            if let Some((_, longest)) = self.beginnings(rest).filter(|(_, longest)| *longest > 0) {
                out.push_str(with);
                rest = rest.get(longest..).unwrap_or_default();
                if !all {
                    break;
                }
            } else {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
            if out.len() > most {
                return None;
            }
        }
        out.push_str(rest);
        (out.len() <= most).then_some(out)
    }
}
