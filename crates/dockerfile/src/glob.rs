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
        let mut states = Vec::new();
        self.reach(0, &mut states);
        let mut found = None;
        let mut note = |states: &[usize], at: usize| {
            if states.last() == Some(&self.0.len()) {
                found = Some(found.map_or((at, at), |(shortest, _)| (shortest, at)));
            }
        };
        note(&states, 0);
        let mut next = Vec::new();
        for (at, c) in text.char_indices() {
            for &state in &states {
                match self.0.get(state) {
                    Some(Part::Any) => self.reach(state, &mut next),
                    Some(Part::One) => self.reach(state + 1, &mut next),
                    Some(Part::Is(wanted)) if *wanted == c => self.reach(state + 1, &mut next),
                    _ => {}
                }
            }
            if next.is_empty() {
                break;
            }
            note(&next, at + c.len_utf8());
            std::mem::swap(&mut states, &mut next);
            next.clear();
        }
        found
    }

    /// Adds a place in the pattern, and the one behind it if it is a `*`, which fits nothing, too. Places come in ascending order.
    fn reach(&self, place: usize, states: &mut Vec<usize>) {
        let ends = if self.0.get(place) == Some(&Part::Any) { place + 1 } else { place };
        for place in place..=ends {
            if states.last().is_none_or(|last| *last < place) {
                states.push(place);
            }
        }
    }

    /// Whether what stands before the first `*` fits: if all of the pattern does not fit here, it fits nowhere behind this place
    /// either.
    fn fits_up_to_star(&self, text: &str) -> bool {
        let Some(star) = self.0.iter().position(|part| *part == Part::Any) else { return false };
        let mut characters = text.chars();
        self.0.iter().take(star).all(|part| match (part, characters.next()) {
            (Part::Is(wanted), Some(c)) => *wanted == c,
            (Part::One, Some(_)) => true,
            _ => false,
        })
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
        // A part that is empty counts too, but not right behind another one.
        let mut behind = false;
        loop {
            let part = self.beginnings(rest).map(|(_, longest)| longest).filter(|longest| *longest > 0 || !behind);
            if part.is_some() {
                out.push_str(with);
            } else if !behind && self.fits_up_to_star(rest) {
                break;
            }
            behind = part.is_some_and(|length| length > 0);
            if let Some(length) = part.filter(|length| *length > 0) {
                rest = rest.get(length..).unwrap_or_default();
            } else if all || part.is_none() {
                let Some(c) = rest.chars().next() else { break };
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
            if part.is_some() && !all {
                break;
            }
            if out.len() > most {
                return None;
            }
        }
        out.push_str(rest);
        (out.len() <= most).then_some(out)
    }
}
