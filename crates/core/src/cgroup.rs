//! The name of our part of every control group hierarchy.

use std::path::Path;

use crate::digest::Digest;

/// `ctr/ROOTHASH`: below it each container of the store in `root` has a group of its own, so that two stores never touch
/// each other's (spec/06-lifecycle.md, LIFE-80). `root` counts as it is really called, whatever links lead to it.
pub fn parent(root: &Path) -> String {
    let real = std::fs::canonicalize(root).or_else(|_| std::path::absolute(root)).unwrap_or_else(|_| root.to_owned());
    let hash = Digest::of(real.as_os_str().as_encoded_bytes()).hex();
    format!("ctr/{}", hash.get(..16).unwrap_or(&hash))
}
