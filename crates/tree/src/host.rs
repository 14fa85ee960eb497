//! A directory of the host: a build context.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::beneath::{Beneath, entries, meta};
use crate::path::TreePath;
use crate::tree::{Attributes, Meta, Tree, TreeError};

/// A directory of the host as a tree. Whoever writes to it meanwhile cannot lead a lookup out of it.
#[derive(Debug)]
pub struct HostDir(Beneath);

impl HostDir {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Beneath::open(path).map(Self)
    }
}

impl Tree for HostDir {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        Ok(self.0.look(path)?.map(|(_, stat)| meta(&stat)))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        let dir = self.0.directory(path)?;
        let mut found: Vec<_> =
            entries(dir.as_fd(), path)?.into_iter().map(|(name, stat)| (name, meta(&stat))).collect();
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        self.0.link(path)
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        self.0.file(path)
    }

    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        self.0.attributes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Kind;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    // spec: BUILD-35
    #[test]
    fn what_is_there_is_seen_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/file"), "content").unwrap();
        symlink("d", dir.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let tree = HostDir::open(dir.path()).unwrap();
        let kinds: Vec<_> = tree.list(&TreePath::root()).unwrap().into_iter().map(|(name, m)| (name, m.kind)).collect();
        let name = |text: &str| text.as_bytes().to_vec();
        let expected = [(name("d"), Kind::Directory), (name("link"), Kind::Symlink), (name("socket"), Kind::Socket)];
        assert_eq!(kinds, expected);
        assert_eq!(std::io::read_to_string(tree.open(&TreePath::new("d/file")).unwrap()).unwrap(), "content");
        assert_eq!(tree.look(&TreePath::new("d/file")).unwrap().unwrap().size, 7);
        assert_eq!(tree.read_link(&TreePath::new("link")).unwrap(), b"d");
        for path in ["link/file", "d/file/x", "missing", "nul\0", &"n".repeat(300)] {
            assert_eq!(tree.look(&TreePath::new(path)).unwrap(), None, "{path:?}");
        }
        for path in ["socket", "link", "d", "link/file"] {
            assert!(matches!(tree.open(&TreePath::new(path)), Err(TreeError::Changed(_))), "{path}");
        }
        assert!(matches!(tree.list(&TreePath::new("link")), Err(TreeError::NotADirectory(_))));
        let deep = vec!["n".repeat(200); 21].join("/");
        assert_eq!(tree.look(&TreePath::new(deep)).unwrap(), None);
    }

    // spec: BUILD-35
    #[test]
    fn a_directory_swapped_for_a_link_never_leads_out() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("file"), "secret").unwrap();
        let (at, aside, link) = (dir.path().join("d"), dir.path().join("aside"), dir.path().join("l"));
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join("file"), "inside").unwrap();
        let tree = HostDir::open(dir.path()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    symlink(outside.path(), &link).unwrap();
                    std::fs::rename(&at, &aside).unwrap();
                    std::fs::rename(&link, &at).unwrap();
                    std::fs::remove_file(&at).unwrap();
                    std::fs::rename(&aside, &at).unwrap();
                }
            });
            for _ in 0..3000 {
                if let Ok(file) = tree.open(&TreePath::new("d/file")) {
                    assert_eq!(std::io::read_to_string(file).unwrap(), "inside");
                }
                for (_, meta) in tree.list(&TreePath::new("d")).unwrap_or_default() {
                    assert_eq!(meta.size, 6);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
