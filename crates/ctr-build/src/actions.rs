//! What steps gave: one file for each key. A file that cannot be read is as if it were not there.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ctr_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// The largest file that is read, in bytes.
const MAX: usize = 64 << 10;

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Action {
    /// The step's key, in full.
    pub(crate) key: Digest,
    /// The layer; none if nothing changed.
    pub(crate) layer: Option<LayerAction>,
}

/// A layer as a step gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LayerAction {
    /// The blob.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// How it is compressed.
    pub(crate) media_type: String,
    /// Digest of the tar.
    pub(crate) diff_id: Digest,
    /// Digest of the layers up to this one.
    pub(crate) chain_id: Digest,
}

/// The directory of actions of a store's root.
#[derive(Debug, Clone)]
pub(crate) struct Actions(PathBuf);

impl Actions {
    /// Those of `root`.
    pub(crate) fn of(root: &Path) -> Self {
        Self::at(root.join("build/actions"))
    }

    /// Those in this directory.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        let (head, tail) = hex.split_at_checked(2).unwrap_or(("", &hex));
        self.0.join(head).join(tail)
    }

    /// What a step with this key gave.
    pub(crate) fn get(&self, key: &Digest) -> Option<Action> {
        let bytes = ctr_sys::small::read(&self.path(key), MAX).ok().flatten()?;
        serde_json::from_slice::<Action>(&bytes).ok().filter(|action| action.key == *key)
    }

    /// That it was of use again: ctr-gc takes what was not for long.
    pub(crate) fn touch(&self, key: &Digest) {
        if let Ok(file) = fs::File::open(self.path(key)) {
            let _ = file.set_modified(std::time::SystemTime::now());
        }
    }

    /// Keeps what a step gave. What it names is in the store.
    pub(crate) fn put(&self, action: &Action) -> io::Result<()> {
        let path = self.path(&action.key);
        let bytes = serde_json::to_vec(action)?;
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let staged = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&staged);
        ctr_sys::small::write_new(&staged, &bytes, 0o600)?;
        fs::rename(&staged, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-90
    #[test]
    fn what_is_damaged_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let actions = Actions::of(root.path());
        let key = Digest::of(b"key");
        assert_eq!(actions.get(&key), None);
        let action = Action { key, layer: None };
        actions.put(&action).unwrap();
        actions.put(&action).unwrap();
        assert_eq!(actions.get(&key), Some(action));
        let other = Digest::of(b"other");
        fs::create_dir_all(actions.path(&other).parent().unwrap()).unwrap();
        fs::copy(actions.path(&key), actions.path(&other)).unwrap();
        assert_eq!(actions.get(&other), None);
        fs::write(actions.path(&key), "{}").unwrap();
        assert_eq!(actions.get(&key), None);
    }
}
