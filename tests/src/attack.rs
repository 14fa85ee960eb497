//! What the attack tests share.
//!
//! Above each of these tests stands `// ATTACK: CLASS: what is tried => result`, where CLASS is a CVE's number or a kind of attack; docs/attacks.md is the list
//! of all of them, written by `CTR_BLESS=1 cargo nextest run -p ctr-tests --test attacks` and held by the test of that name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tree;

/// A directory outside of the root that no attack may change or read.
#[derive(Debug)]
pub struct Sentinel {
    /// Where it is.
    pub dir: PathBuf,
    before: tree::Listing,
}

impl Sentinel {
    /// Makes one at `dir`: files `hosts` and `passwd`, a directory `sub`.
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("sub")).expect("create");
        fs::write(dir.join("hosts"), "untouched").expect("write");
        fs::write(dir.join("passwd"), "evil:x:0:0::/:/bin/sh\n").expect("write");
        Self { before: tree::list(dir), dir: dir.to_owned() }
    }

    /// The same directory as it is now, after a change of the test's own.
    pub fn again(self) -> Self {
        Self { before: tree::list(&self.dir), dir: self.dir }
    }

    /// A path in it, as text.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Asserts that nothing in it has changed.
    #[track_caller]
    pub fn assert_untouched(&self, what: &str) {
        let lines = tree::differences(&self.before, &tree::list(&self.dir));
        assert!(lines.is_empty(), "{what}: {lines:?}");
    }
}
