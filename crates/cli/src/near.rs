//! The name that somebody who mistyped may have meant.

/// The known name that is nearest to `text`, if one is near: at most one change in three letters.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; what is not one is not compared.
    if text.len() > 64 {
        return None;
    }
    let most = text.chars().count().div_ceil(3).min(3);
    let near = known.into_iter().map(|name| (distance(text, name), name)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, letter) in one.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, found) in other.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(letter != *found);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let swapped = column > 0 && previous == Some(*found) && other.get(column - 1) == Some(&letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            next.push(best);
        }
        previous = Some(letter);
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found() {
        let known = ["readonly", "source", "target", "ro", "rw"];
        assert_eq!(nearest("readonyl", known), Some("readonly"));
        assert_eq!(nearest("soruce", known), Some("source"));
        assert_eq!(nearest("rx", known), Some("ro"));
        assert_eq!(nearest("quite-different", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!((distance("abc", "abc"), distance("abc", "acb"), distance("", "ab")), (0, 1, 2));
    }
}
