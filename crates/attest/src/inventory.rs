//! The packages of a tree.

use ctr_core::digest::Digest;
use ctr_tree::{Tree, TreeError, TreePath};

use crate::packages::{apk, dpkg, locks, os_release, python, rpm};

/// Bytes of one file that is read of a tree, [LIM-99].
pub const FILE_MAX: u64 = 64 << 20;
/// Packages of one tree, [LIM-99].
pub const PACKAGES_MAX: usize = 262_144;
/// Bytes of a database of rpm, of which a page at a time is read, [LIM-99].
pub const RPM_DATABASE_MAX: u64 = 2 << 30;
/// Bytes of one lock file, [LIM-120].
pub const LOCK_FILE_MAX: u64 = 8 << 20;
/// `,`, `=`, `:`, `.`, `[`, `{` and ends of lines in one lock file, [LIM-120]: each value of JSON and TOML has one.
pub const LOCK_SEPARATORS_MAX: usize = 1_048_576;
/// Packages that one lock file names, [LIM-120].
pub const LOCK_ENTRIES_MAX: usize = 65_536;
/// Bytes of all lock files of a tree, [LIM-120].
pub const LOCK_FILES_MAX: u64 = 256 << 20;
/// Entries of directories that are gone through for lock files, [LIM-120].
pub const WALK_MAX: usize = 4_194_304;
/// Notes of one inventory, [LIM-120].
pub const NOTES_MAX: usize = 1_000;

/// A package that a tree has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its package URL, which is what names it for other programs.
    pub purl: String,
    /// The file that tells of it.
    pub found_in: TreePath,
    /// Name, as its manager writes it.
    pub name: String,
    /// Version, as its manager writes it.
    pub version: String,
    /// Architecture, where the manager tells it.
    pub arch: Option<String>,
    /// Licence, where the manager tells it; not always an SPDX expression.
    pub licence: Option<String>,
}

/// All packages of a tree, sorted, each once for every file that tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The packages.
    pub packages: Vec<Package>,
    /// The distribution, `ID-VERSION_ID` of os-release, or `ID` alone.
    pub distribution: Option<String>,
    /// Databases and lock files that are there and are not read, one sentence for each.
    pub notes: Vec<String>,
}

/// The image that a document speaks of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name, for people.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// The moment that the document bears, seconds since 1970: the epoch of the build.
    pub epoch: i64,
}

/// Why the packages of a tree are not known.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file of the tree cannot be read to its end.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any database of packages.
    #[error("{0} has more than {FILE_MAX} bytes, which is the most that is read of a list of packages (LIM-99)")]
    TooLarge(TreePath),
    /// There are more packages than a document can tell of.
    #[error("the image has more than {PACKAGES_MAX} packages (LIM-99)")]
    TooMany,
    /// A document cannot be written.
    #[error("cannot write the document")]
    Write(#[from] serde_json::Error),
}

/// Databases that no reader is for, and what they are. They are named in the document, so that nobody takes it for complete.
const NOT_READ: &[(&str, &str)] = &[("/var/lib/pacman/local", "pacman")];

/// Finds the packages of `tree`.
pub fn scan(tree: &dyn Tree) -> Result<Inventory, AttestError> {
    let release = os_release::read(tree)?;
    let mut found = Inventory { distribution: release.distribution(), ..Inventory::default() };
    dpkg::read(tree, &release, &mut found.packages)?;
    apk::read(tree, &release, &mut found.packages)?;
    rpm::read(tree, &release, &mut found)?;
    python::read(tree, &mut found.packages)?;
    for (path, what) in NOT_READ {
        if crate::read::is_there(tree, path)? {
            found.note(format!("The {what} database in {path} is not read; its packages are not listed."));
        }
    }
    locks::read(tree, &mut found)?;
    found.packages.sort();
    found.packages.dedup();
    Ok(found)
}

impl Inventory {
    /// Keeps a note, as long as there is room; that there was none is the last of them.
    pub(crate) fn note(&mut self, note: String) {
        match self.notes.len() + 1 {
            count if count < NOTES_MAX => self.notes.push(note),
            NOTES_MAX => self.notes.push(format!("There are more notes than {NOTES_MAX} (LIM-120).")),
            _ => {}
        }
    }
}

/// Adds what was found, as long as there is room: a small file can tell of very many packages.
pub(crate) fn add(packages: &mut Vec<Package>, found: Option<Package>) -> Result<(), AttestError> {
    if found.is_some() && packages.len() >= PACKAGES_MAX {
        return Err(AttestError::TooMany);
    }
    packages.extend(found);
    Ok(())
}
