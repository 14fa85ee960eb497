//! Paths of entries, made harmless: relative, without `.`, `..`, empty components or NUL.

use crate::error::EntryFault;
use crate::limits::{LimitError, Limits, NAME_BYTES};

/// Why a path was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    Fault(EntryFault),
    Limit(LimitError),
}

/// `raw` as a path below the layer's root; empty for the root itself. A leading `/` is taken off, as every unpacker
/// does; `..` is refused even where it would stay below the root, because no honest writer of layers has it.
pub(crate) fn clean(raw: &[u8], limits: &Limits) -> Result<Vec<u8>, PathError> {
    if raw.contains(&0) {
        return Err(PathError::Fault(EntryFault::Nul));
    }
    let mut path = Vec::with_capacity(raw.len());
    let mut depth = 0;
    for component in components(raw) {
        match component {
            b"." => continue,
            b".." => return Err(PathError::Fault(EntryFault::DotDot)),
            _ if component.len() > NAME_BYTES => return Err(PathError::Limit(LimitError::NameBytes(component.len()))),
            _ => {}
        }
        if depth > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(component);
        depth += 1;
    }
    if path.len() > limits.path_bytes {
        return Err(PathError::Limit(LimitError::PathBytes { limit: limits.path_bytes, found: path.len() }));
    }
    if depth > limits.path_depth {
        return Err(PathError::Limit(LimitError::PathDepth { limit: limits.path_depth, found: depth }));
    }
    Ok(path)
}

/// The components of `path`, empty ones left out.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

/// A clean path's parent and last component: `a/b/c` gives `a/b` and `c`.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// `name` below the clean path `parent`.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Is `path` the directory `above` or below it?
pub(crate) fn is_within(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        let limits = Limits::default();
        for (raw, clean_path) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"./a//b/", b"a/b"),
            (b"/etc/passwd", b"etc/passwd"),
            (b"//x", b"x"),
            (b"./", b""),
            (b"/", b""),
            (b"a/./b", b"a/b"),
            (b"\xff/\x80", b"\xff/\x80"),
            (b"...", b"..."),
        ] {
            assert_eq!(clean(raw, &limits).unwrap(), clean_path, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        let limits = Limits { path_bytes: 300, path_depth: 3, ..Limits::default() };
        for raw in [&b".."[..], b"a/../b", b"../../etc", b"a/..", b"/.."] {
            assert_eq!(clean(raw, &limits), Err(PathError::Fault(EntryFault::DotDot)));
        }
        assert_eq!(clean(b"a\0b", &limits), Err(PathError::Fault(EntryFault::Nul)));
        assert!(matches!(clean(&[b'a'; 256], &limits), Err(PathError::Limit(LimitError::NameBytes(256)))));
        assert!(matches!(clean(b"a/b/c/d", &limits), Err(PathError::Limit(LimitError::PathDepth { found: 4, .. }))));
        let long = [&[b'a'; 200][..], b"/", &[b'b'; 200]].concat();
        assert!(matches!(clean(&long, &limits), Err(PathError::Limit(LimitError::PathBytes { found: 401, .. }))));
    }

    #[test]
    fn within() {
        assert!(is_within(b"a/b", b"a"));
        assert!(is_within(b"a", b"a"));
        assert!(is_within(b"a", b""));
        assert!(!is_within(b"ab", b"a"));
    }
}
