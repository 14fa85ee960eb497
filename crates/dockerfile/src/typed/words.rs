//! Words of a line: blanks divide them outside of quotes.

use crate::lex::is_blank;

/// The words, as they are written.
pub(super) fn split(text: &str, escape: char) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote) = (None, None);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if quote.is_none() && is_blank(c) {
            words.extend(start.take().and_then(|start| text.get(start..at)));
            continue;
        }
        start = start.or(Some(at));
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => drop(characters.next()),
            _ => {}
        }
    }
    words.extend(start.and_then(|start| text.get(start..)));
    words
}
