//! Lock files of languages, wherever in a tree they are.
//!
//! A lock file names what a program was resolved to need. One that is not as its format says is told of in a note and fails nothing:
//! a tree may have all sorts of files of that name.

mod go;
mod javascript;
mod json;
mod lines;
mod tables;
mod yarn;

use ctr_tree::{Kind, Tree, TreePath};

use crate::inventory::{
    AttestError, Inventory, LOCK_ENTRIES_MAX, LOCK_FILE_MAX, LOCK_FILES_MAX, LOCK_SEPARATORS_MAX, PACKAGES_MAX,
    Package, WALK_MAX,
};
use crate::{purl, read};

/// Directories of the root that the kernel fills.
const KERNEL: &[&[u8]] = &[b"proc", b"sys", b"dev"];
/// Directories that hold what others made: their lock files say what was used to develop that, and not what is there.
const OF_OTHERS: &[&[u8]] = &[b"node_modules", b"site-packages", b"dist-packages", b"vendor", b"gems"];
/// The same with the directory above, of caches of cargo and go.
const OF_OTHERS_WITHIN: &[(&[u8], &[u8])] =
    &[(b".cargo", b"registry"), (b".cargo", b"git"), (b"cargo", b"registry"), (b"cargo", b"git"), (b"pkg", b"mod")];

/// Bytes of a path that is gone through: more have no place in one system call.
const PATH_MAX: usize = 4_000;

/// A package that a lock file names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Locked {
    /// The type of its package URL.
    kind: &'static str,
    /// Its namespace in the package URL.
    namespace: Option<String>,
    /// Its name in the package URL, if that is not `name`.
    purl_name: Option<String>,
    /// As the lock file writes it.
    name: String,
    version: String,
    licence: Option<String>,
    /// Of the package URL, sorted.
    qualifiers: Vec<(&'static str, String)>,
}

/// Why a lock file is not read.
type Why = String;

/// Reads the text of a lock file.
type Parse = fn(&str, &mut Entries) -> Result<(), Why>;

/// What a lock file names, as far as there is room.
#[derive(Default)]
struct Entries {
    all: Vec<Locked>,
    /// There was no room for some.
    more: bool,
}

impl Entries {
    fn push(&mut self, one: Locked) {
        self.more |= self.all.len() >= LOCK_ENTRIES_MAX;
        if !self.more {
            self.all.push(one);
        }
    }

    fn extend(&mut self, several: impl IntoIterator<Item = Locked>) {
        several.into_iter().for_each(|one| self.push(one));
    }
}

/// Names of lock files and what reads them.
const FORMATS: &[(&[u8], Parse)] = &[
    (b"Cargo.lock", tables::cargo),
    (b"poetry.lock", tables::python),
    (b"uv.lock", tables::python),
    (b"Pipfile.lock", json::pipfile),
    (b"requirements.txt", lines::requirements),
    (b"package-lock.json", javascript::package_lock),
    (b"npm-shrinkwrap.json", javascript::package_lock),
    (b"yarn.lock", yarn::yarn),
    (b"go.mod", go::module),
    (b"Gemfile.lock", lines::gemfile),
    (b"composer.lock", json::composer),
];

/// What is gone through, and how much of it there was.
struct Walk<'a> {
    tree: &'a dyn Tree,
    found: &'a mut Inventory,
    visited: usize,
    bytes: u64,
}

/// Packages that the lock files of the tree name, and notes of those that are not read.
pub fn read(tree: &dyn Tree, found: &mut Inventory) -> Result<(), AttestError> {
    let mut walk = Walk { tree, found, visited: 0, bytes: 0 };
    let root = TreePath::root();
    let Some(names) = walk.directory(&root)? else { return Ok(()) };
    // Directories on the way, and the names in them that are to be gone through: paths of all of them would need much more room.
    let mut way = vec![(root, names.into_iter())];
    let mut too_long = 0_usize;
    while let Some((directory, names)) = way.last_mut() {
        let Some(name) = names.next() else {
            way.pop();
            continue;
        };
        let path = directory.join(&name);
        if path.as_bytes().len() > PATH_MAX {
            too_long += 1;
            continue;
        }
        let Some(names) = walk.directory(&path)? else { break };
        way.push((path, names.into_iter()));
    }
    if too_long > 0 {
        walk.found.note(format!("{too_long} directories with too long paths were not searched for lock files."));
    }
    Ok(())
}

impl Walk<'_> {
    /// Reads the lock files in a directory. Returns the names of directories in it; `None` if there is to be no more.
    fn directory(&mut self, directory: &TreePath) -> Result<Option<Vec<Vec<u8>>>, AttestError> {
        let mut below = Vec::new();
        for (name, meta) in self.tree.list(directory)? {
            self.visited += 1;
            if self.visited > WALK_MAX {
                self.found.note(format!("There are more than {WALK_MAX} files; not all were searched for lock files."));
                return Ok(None);
            }
            match meta.kind {
                Kind::Directory if !is_passed_over(directory, &name) => below.push(name),
                Kind::File => {
                    let Some((_, parse)) = FORMATS.iter().find(|(of, _)| *of == name.as_slice()) else { continue };
                    let path = directory.join(&name);
                    self.bytes = self.bytes.saturating_add(meta.size);
                    if self.bytes > LOCK_FILES_MAX {
                        self.found.note(format!(
                            "The lock files have more than {LOCK_FILES_MAX} bytes; {path} and those after it are not read."
                        ));
                        return Ok(None);
                    }
                    if let Err(why) = one(self.tree, &path, *parse, &mut self.found.packages)? {
                        self.found
                            .note(format!("The lock file {path} is not read: {why}; its packages are not listed."));
                    }
                }
                _ => {}
            }
        }
        Ok(Some(below))
    }
}

fn is_passed_over(directory: &TreePath, name: &[u8]) -> bool {
    (directory.is_root() && KERNEL.contains(&name))
        || OF_OTHERS.contains(&name)
        || OF_OTHERS_WITHIN.contains(&(directory.name(), name))
}

fn one(
    tree: &dyn Tree,
    path: &TreePath,
    parse: Parse,
    packages: &mut Vec<Package>,
) -> Result<Result<(), Why>, AttestError> {
    let Some(bytes) = read::bytes(tree, path, LOCK_FILE_MAX)? else {
        return Ok(Err(format!("it is too large: more than {LOCK_FILE_MAX} bytes (LIM-120)")));
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Err("it is not UTF-8".to_owned())) };
    // Readers of JSON and TOML keep all of a document: many small values need much more room than their text.
    if text.bytes().filter(|byte| b",=:.[{\n".contains(byte)).count() > LOCK_SEPARATORS_MAX {
        return Ok(Err(format!("it is too large: more than {LOCK_SEPARATORS_MAX} separators (LIM-120)")));
    }
    let mut locked = Entries::default();
    if let Err(why) = parse(text.strip_prefix('\u{feff}').unwrap_or(&text), &mut locked) {
        return Ok(Err(why));
    }
    if locked.more {
        return Ok(Err(format!("it is too large: more than {LOCK_ENTRIES_MAX} packages (LIM-120)")));
    }
    // A package that several others need is named more than once.
    let mut here: Vec<Package> = locked.all.into_iter().filter_map(|one| one.package(path)).collect();
    here.sort();
    here.dedup();
    if packages.len() + here.len() > PACKAGES_MAX {
        return Ok(Err(format!("the image would have more than {PACKAGES_MAX} packages (LIM-99)")));
    }
    packages.append(&mut here);
    Ok(Ok(()))
}

impl Locked {
    fn package(self, path: &TreePath) -> Option<Package> {
        if self.name.is_empty() || self.version.is_empty() {
            return None;
        }
        let name = self.purl_name.as_ref().unwrap_or(&self.name);
        let qualifiers: Vec<_> = self.qualifiers.iter().map(|(key, value)| (*key, Some(value.as_str()))).collect();
        Some(Package {
            purl: purl::write(self.kind, self.namespace.as_deref(), name, &self.version, &qualifiers),
            found_in: path.clone(),
            name: self.name,
            version: self.version,
            arch: None,
            licence: self.licence.filter(|licence| !licence.is_empty()),
        })
    }

    /// A package of Python.
    fn pypi(name: &str, version: &str) -> Self {
        Self {
            kind: "pypi",
            purl_name: Some(purl::pypi_name(name)),
            name: name.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        }
    }

    /// A package of npm, whose scope is the namespace.
    fn npm(name: &str, version: &str) -> Self {
        let (scope, rest) = match name.split_once('/') {
            Some((scope, rest)) if scope.starts_with('@') => (Some(scope.to_ascii_lowercase()), rest),
            _ => (None, name),
        };
        Self {
            kind: "npm",
            namespace: scope,
            purl_name: Some(rest.to_ascii_lowercase()),
            name: name.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
