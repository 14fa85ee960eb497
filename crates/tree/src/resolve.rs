//! Symbolic links, followed below the root of a tree.

use std::collections::VecDeque;

use crate::path::TreePath;
use crate::tree::{Kind, Meta, Tree, TreeError};

/// Symbolic links that one path may go through (`MAXSYMLINKS` of Linux).
pub const LINKS_MAX: usize = 40;

/// Components on the way to one path, those of symbolic links included.
const STEPS_MAX: usize = 4096;

/// Where a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links; what is missing is at its end.
    pub path: TreePath,
    /// What is there.
    pub meta: Option<Meta>,
    /// The paths on the way that are not there, topmost first; `path` itself is the last of them. Empty if it is there.
    pub missing: Vec<TreePath>,
}

/// Follows all symbolic links of `path`. Absolute ones start at the tree's root, and `..` leads no further than that.
pub fn resolve(tree: &dyn Tree, path: &TreePath) -> Result<Resolved, TreeError> {
    // Lookups follow no link: what they find is where it is named, unless it is a link itself.
    if let Some(meta) = tree.look(path)?.filter(|meta| meta.kind != Kind::Symlink) {
        return Ok(Resolved { path: path.clone(), meta: Some(meta), missing: Vec::new() });
    }
    let mut todo: VecDeque<Vec<u8>> = path.parts().map(<[u8]>::to_vec).collect();
    let mut at = TreePath::root();
    let mut meta = tree.look(&at)?;
    let mut missing: Vec<TreePath> = Vec::new();
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = todo.pop_front() {
        steps += 1;
        if steps > STEPS_MAX {
            return Err(TreeError::Loop(path.clone()));
        }
        if meta.as_ref().is_some_and(|meta| meta.kind != Kind::Directory) {
            return Err(TreeError::NotADirectory(at));
        }
        if name == b"." {
            continue;
        }
        if name == b".." {
            missing.pop();
            at = at.parent().unwrap_or_default();
            meta = if missing.is_empty() { tree.look(&at)? } else { None };
            continue;
        }
        let child = at.join(&name);
        if missing.is_empty() {
            meta = tree.look(&child)?;
            if meta.as_ref().is_some_and(|meta| meta.kind == Kind::Symlink) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(TreeError::Loop(path.clone()));
                }
                let target = tree.read_link(&child)?;
                if target.starts_with(b"/") {
                    at = TreePath::root();
                }
                meta = tree.look(&at)?;
                for part in target.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).rev() {
                    todo.push_front(part.to_vec());
                }
                continue;
            }
        }
        at = child;
        if meta.is_none() || !missing.is_empty() {
            meta = None;
            missing.push(at.clone());
        }
    }
    Ok(Resolved { path: at, meta, missing })
}

/// The same, but a symbolic link that is the last component is not followed.
pub fn resolve_parent(tree: &dyn Tree, path: &TreePath) -> Result<Resolved, TreeError> {
    let Some(parent) = path.parent() else { return resolve(tree, path) };
    let mut found = resolve(tree, &parent)?;
    if found.meta.as_ref().is_some_and(|meta| meta.kind != Kind::Directory) {
        return Err(TreeError::NotADirectory(found.path));
    }
    found.path = found.path.join(path.name());
    found.meta = if found.missing.is_empty() { tree.look(&found.path)? } else { None };
    if found.meta.is_none() {
        found.missing.push(found.path.clone());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostDir;
    use std::os::unix::fs::symlink;

    // spec: BUILD-37
    #[test]
    fn links_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("usr/bin")).unwrap();
        std::fs::write(at("usr/bin/sh"), "").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("/usr", at("usr/abs")).unwrap();
        symlink("../../../../usr/bin", at("usr/up")).unwrap();
        symlink("nothing/here", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let tree = HostDir::open(dir.path()).unwrap();
        let go = |path: &str| resolve(&tree, &TreePath::new(path)).map(|r| (r.path.to_string(), r.missing.len()));
        for (path, real, missing) in [
            ("/", "/", 0),
            ("bin/sh", "/usr/bin/sh", 0),
            ("usr/abs/abs/bin/sh", "/usr/bin/sh", 0),
            ("usr/up", "/usr/bin", 0),
            ("bin/x/y", "/usr/bin/x/y", 2),
            ("dangling", "/nothing/here", 2),
            ("dangling/z", "/nothing/here/z", 3),
        ] {
            assert_eq!(go(path).unwrap(), (real.to_owned(), missing), "{path}");
        }
        assert!(matches!(go("loop"), Err(TreeError::Loop(_))));
        assert!(matches!(go("bin/sh/x"), Err(TreeError::NotADirectory(path)) if path.to_string() == "/usr/bin/sh"));
        let last = resolve_parent(&tree, &TreePath::new("usr/abs/abs")).unwrap();
        assert_eq!((last.path.to_string(), last.meta.unwrap().kind), ("/usr/abs".to_owned(), Kind::Symlink));
        assert!(matches!(resolve_parent(&tree, &TreePath::new("bin/sh/x")), Err(TreeError::NotADirectory(_))));
    }

    // spec: LIM-94
    #[test]
    fn forty_links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0"), "").unwrap();
        for link in 1..=LINKS_MAX + 1 {
            symlink((link - 1).to_string(), dir.path().join(link.to_string())).unwrap();
        }
        let tree = HostDir::open(dir.path()).unwrap();
        let go = |name: usize| resolve(&tree, &TreePath::new(name.to_string()));
        assert_eq!(go(LINKS_MAX).unwrap().path, TreePath::new("0"));
        assert!(matches!(go(LINKS_MAX + 1), Err(TreeError::Loop(_))));
    }
}
