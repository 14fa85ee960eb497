//! Files of a tree, found through its symbolic links and read up to a greatest size.

use std::io::Read as _;

use ctr_tree::{Kind, Meta, Tree, TreeError, TreePath};

use crate::inventory::{AttestError, FILE_MAX};

/// Symbolic links on the way to one path, as [LIM-12] has it.
const LINKS_FOLLOWED: usize = 40;
/// Components on the way to one path, as [LIM-17] has it.
const STEPS_WALKED: usize = 2_048;

/// What `path` leads to, links followed below the root of the tree.
pub(crate) fn resolve(tree: &dyn Tree, path: &TreePath) -> Result<Option<(TreePath, Meta)>, TreeError> {
    let mut ahead: Vec<Vec<u8>> = path.parts().map(<[u8]>::to_vec).collect();
    ahead.reverse();
    let (mut links, mut steps) = (0, 0);
    let mut at = TreePath::root();
    while let Some(part) = ahead.pop() {
        steps += 1;
        if steps > STEPS_WALKED {
            return Err(TreeError::Loop(path.clone()));
        }
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = at.join(&part);
        let Some(meta) = tree.look(&next)? else { return Ok(None) };
        match meta.kind {
            Kind::Directory => at = next,
            Kind::Symlink => {
                links += 1;
                if links > LINKS_FOLLOWED {
                    return Err(TreeError::Loop(path.clone()));
                }
                let target = tree.read_link(&next)?;
                if target.starts_with(b"/") {
                    at = TreePath::root();
                }
                ahead.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
            }
            _ if ahead.is_empty() => return Ok(Some((next, meta))),
            _ => return Ok(None),
        }
    }
    Ok(tree.look(&at)?.map(|meta| (at, meta)))
}

/// Whether there is something at `path`.
pub(crate) fn is_there(tree: &dyn Tree, path: &str) -> Result<bool, AttestError> {
    Ok(resolve(tree, &TreePath::new(path))?.is_some())
}

/// The regular file that `path` leads to.
pub(crate) fn file(tree: &dyn Tree, path: &TreePath) -> Result<Option<(TreePath, Meta)>, AttestError> {
    Ok(resolve(tree, path)?.filter(|(_, meta)| meta.kind == Kind::File))
}

/// A regular file as text, bytes that are no UTF-8 replaced; `None` if there is none at `path`.
pub(crate) fn text(tree: &dyn Tree, path: &TreePath) -> Result<Option<String>, AttestError> {
    let Some((found, meta)) = file(tree, path)? else { return Ok(None) };
    if meta.size > FILE_MAX {
        return Err(AttestError::TooLarge(found));
    }
    let Some(bytes) = bytes(tree, &found, FILE_MAX)? else { return Err(AttestError::TooLarge(found)) };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The bytes of the regular file at `path`, which no link is on the way to; `None` if there are more than `most`.
pub(crate) fn bytes(tree: &dyn Tree, path: &TreePath, most: u64) -> Result<Option<Vec<u8>>, AttestError> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, since the size told may not be that of the bytes.
    let read = tree.open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| AttestError::Read { path: path.clone(), source })?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Names in a directory, sorted; none if there is no directory at `path`.
pub(crate) fn names(tree: &dyn Tree, path: &TreePath) -> Result<Vec<Vec<u8>>, AttestError> {
    match resolve(tree, path)? {
        Some((found, meta)) if meta.kind == Kind::Directory => {
            Ok(tree.list(&found)?.into_iter().map(|(name, _)| name).collect())
        }
        _ => Ok(Vec::new()),
    }
}
