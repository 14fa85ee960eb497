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

use crate::inventory::{AttestError, Inventory, LOCK_FILE_MAX, LOCK_FILES_MAX, Package, WALK_MAX, add};
use crate::{purl, read};

/// Directories of the root that the kernel fills.
const KERNEL: &[&[u8]] = &[b"proc", b"sys", b"dev"];
/// Directories that hold what others made: their lock files say what was used to develop that, and not what is there.
const OF_OTHERS: &[&[u8]] = &[b"node_modules", b"site-packages", b"dist-packages", b"vendor", b"gems"];
/// The same with the directory above, of caches of cargo and go.
const OF_OTHERS_WITHIN: &[(&[u8], &[u8])] =
    &[(b".cargo", b"registry"), (b".cargo", b"git"), (b"cargo", b"registry"), (b"cargo", b"git"), (b"pkg", b"mod")];

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
type Parse = fn(&str, &mut Vec<Locked>) -> Result<(), Why>;

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

/// Packages that the lock files of the tree name, and notes of those that are not read.
pub fn read(tree: &dyn Tree, found: &mut Inventory) -> Result<(), AttestError> {
    let mut ahead = vec![TreePath::root()];
    let (mut visited, mut bytes) = (0_usize, 0_u64);
    while let Some(directory) = ahead.pop() {
        let first = ahead.len();
        for (name, meta) in tree.list(&directory)? {
            visited += 1;
            if visited > WALK_MAX {
                found.note(format!("The image has more than {WALK_MAX} files; not all were searched for lock files."));
                return Ok(());
            }
            match meta.kind {
                Kind::Directory if !is_passed_over(&directory, &name) => ahead.push(directory.join(&name)),
                Kind::File => {
                    let Some((_, parse)) = FORMATS.iter().find(|(of, _)| *of == name.as_slice()) else { continue };
                    let path = directory.join(&name);
                    bytes = bytes.saturating_add(meta.size);
                    if bytes > LOCK_FILES_MAX {
                        found.note(format!("The lock files have more than {LOCK_FILES_MAX} bytes; {path} and those after it are not read."));
                        return Ok(());
                    }
                    if let Err(why) = one(tree, &path, *parse, &mut found.packages)? {
                        found.note(format!("The lock file {path} is not read: {why}; its packages are not listed."));
                    }
                }
                _ => {}
            }
        }
        ahead.get_mut(first..).unwrap_or_default().reverse();
    }
    Ok(())
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
        return Ok(Err(format!("it has more than {LOCK_FILE_MAX} bytes")));
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Err("it is not UTF-8".to_owned())) };
    let mut locked = Vec::new();
    if let Err(why) = parse(text.strip_prefix('\u{feff}').unwrap_or(&text), &mut locked) {
        return Ok(Err(why));
    }
    // A package that several others need is named more than once.
    let mut here: Vec<Package> = locked.into_iter().filter_map(|one| one.package(path)).collect();
    here.sort();
    here.dedup();
    for package in here {
        add(packages, Some(package))?;
    }
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
