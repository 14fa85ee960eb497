//! Which files of a tree a COPY or ADD takes, and under which names below its destination.

use crate::digest::doubted;
use crate::glob::{BadPattern, NamePattern, is_pattern};
use crate::path::TreePath;
use crate::resolve::{resolve, resolve_parent};
use crate::tree::{Kind, Meta, Tree, TreeError};

/// Entries that one COPY may take.
pub const ITEMS_MAX: usize = 4 << 20;

/// What is left out below the sources.
pub type Exclude<'a> = &'a (dyn Fn(&[u8]) -> bool + Sync);

/// One source of a COPY, with all that is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that it has where several come to one directory.
    pub name: Vec<u8>,
    /// With `--parents`: where it comes below the destination.
    pub below: Option<TreePath>,
    /// With `--parents`: the directories above it that are kept, topmost first, by where they come below the destination.
    pub above: Vec<(TreePath, Meta)>,
    /// It and, once [`fill`] was called, what is in it; itself first, then sorted, each directory before its content.
    pub items: Vec<Item>,
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is in the tree.
    pub from: TreePath,
    /// Where it is below the source; the root is the source itself.
    pub below: TreePath,
    /// What it is.
    pub meta: Meta,
}

impl Source {
    /// A source that was not found in a tree.
    pub fn of(name: Vec<u8>, item: Item) -> Self {
        Self { name, below: None, above: Vec::new(), items: vec![item] }
    }

    /// The source itself.
    pub fn first(&self) -> Option<&Item> {
        self.items.first()
    }

    /// What the source itself is.
    pub fn kind(&self) -> Option<Kind> {
        self.first().map(|item| item.meta.kind)
    }
}

/// Why files cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Nothing has this name.
    #[error("there is no {0}")]
    Missing(TreePath),
    /// It is no pattern.
    #[error("{0} is no pattern that can be read")]
    Pattern(String, #[source] BadPattern),
    /// A device, which contexts cannot give.
    #[error("{0} is a device")]
    Device(TreePath),
    /// Too many files.
    #[error("there are more than {ITEMS_MAX} files below {0}")]
    TooMany(TreePath),
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// How sources are looked for.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Leaves out what it says yes to, by its path below the source; of sources themselves by their path in the tree.
    pub exclude: Option<Exclude<'a>>,
    /// `--parents`: names keep their directories.
    pub parents: bool,
    /// Devices are taken, as those of an image.
    pub devices: bool,
}

impl Rules<'_> {
    fn excludes(&self, path: &TreePath) -> bool {
        self.exclude.is_some_and(|exclude| exclude(path.as_bytes()))
    }
}

/// Finds the files that `source` means, with all that is below them.
pub fn select(tree: &dyn Tree, source: &str, rules: Rules<'_>) -> Result<Vec<Source>, SelectError> {
    let mut found = find(tree, source, rules)?;
    fill(tree, &mut found, rules)?;
    Ok(found)
}

/// Adds what is below sources that are directories.
pub fn fill(tree: &dyn Tree, sources: &mut [Source], rules: Rules<'_>) -> Result<(), SelectError> {
    for source in sources.iter_mut().filter(|source| source.kind() == Some(Kind::Directory)) {
        source.items.truncate(1);
        if let Some(dir) = source.first().map(|item| item.from.clone()) {
            walk(tree, &dir, &TreePath::root(), rules, &mut source.items)?;
        }
    }
    Ok(())
}

/// Finds the files that `source` means in `tree`: a path, which has to be there, or a pattern for each of its names, which
/// may fit nothing. What is below them is not looked at.
pub fn find(tree: &dyn Tree, source: &str, rules: Rules<'_>) -> Result<Vec<Source>, SelectError> {
    let pivot = if rules.parents { pivot(source) } else { TreePath::root() };
    let mut found = Vec::new();
    if is_pattern(source) {
        let mut matches = Vec::new();
        let names: Vec<&str> = source.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        expand(tree, &TreePath::root(), &names, source, &mut matches)?;
        matches.sort();
        matches.dedup();
        for path in matches {
            if !rules.excludes(&path) {
                found.push(source_at(tree, &path, &pivot, rules)?);
            }
        }
    } else {
        let path = TreePath::new(unescape(source));
        if path.is_root() || !rules.excludes(&path) {
            found.push(source_at(tree, &path, &pivot, rules)?);
        }
    }
    Ok(found)
}

/// What comes before `/./`, which `--parents` does not keep.
fn pivot(source: &str) -> TreePath {
    source.split_once("/./").map(|(before, _)| TreePath::new(unescape(before))).unwrap_or_default()
}

/// A path without the backslashes that keep characters from being a pattern.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.extend(characters.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// Goes down name by name. `**` stands for any number of directories, but only where it is a name of its own.
fn expand(
    tree: &dyn Tree,
    dir: &TreePath,
    names: &[&str],
    whole: &str,
    matches: &mut Vec<TreePath>,
) -> Result<(), SelectError> {
    if matches.len() > ITEMS_MAX {
        return Err(SelectError::TooMany(dir.clone()));
    }
    let Some((name, rest)) = names.split_first() else {
        matches.push(dir.clone());
        return Ok(());
    };
    if *name == ".." {
        return expand(tree, &dir.parent().unwrap_or_default(), rest, whole, matches);
    }
    let at = resolve(tree, dir)?;
    if at.meta.is_none_or(|meta| meta.kind != Kind::Directory) {
        return Ok(());
    }
    if !is_pattern(name) {
        let path = at.path.join(unescape(name));
        let there = tree.look(&path)?.is_some();
        return if there { expand(tree, &path, rest, whole, matches) } else { Ok(()) };
    }
    let any_depth = *name == "**";
    let pattern = NamePattern::new(name).map_err(|error| SelectError::Pattern(whole.to_owned(), error))?;
    if any_depth && !rest.is_empty() {
        expand(tree, &at.path, rest, whole, matches)?;
    }
    for (entry, meta) in tree.list(&at.path)? {
        if !pattern.matches(&entry) {
            continue;
        }
        let path = at.path.join(&entry);
        if any_depth && !rest.is_empty() {
            if meta.kind == Kind::Directory {
                expand(tree, &path, names, whole, matches)?;
            }
        } else {
            expand(tree, &path, rest, whole, matches)?;
        }
    }
    Ok(())
}

fn source_at(tree: &dyn Tree, path: &TreePath, pivot: &TreePath, rules: Rules<'_>) -> Result<Source, SelectError> {
    // A link that is named is followed; those below are copied. With --parents the name itself is kept.
    let found = if rules.parents { resolve_parent(tree, path)? } else { resolve(tree, path)? };
    let meta = doubted(tree, found.meta.ok_or_else(|| SelectError::Missing(path.clone())))?;
    check(&meta, &found.path, rules)?;
    let below = rules.parents.then(|| strip(path, pivot));
    let above = match &below {
        Some(below) => kept_parents(tree, &found.path, below)?,
        None => Vec::new(),
    };
    let items = vec![Item { from: found.path, below: TreePath::root(), meta }];
    Ok(Source { name: path.name().to_vec(), below, above, items })
}

/// The directories in which it lies, as many as are kept. They look as in the source.
fn kept_parents(tree: &dyn Tree, from: &TreePath, below: &TreePath) -> Result<Vec<(TreePath, Meta)>, SelectError> {
    let mut above = Vec::new();
    let (mut kept, mut real) = (below.parent(), from.parent());
    while let (Some(path), Some(from)) = (kept.filter(|path| !path.is_root()), real) {
        (kept, real) = (path.parent(), from.parent());
        if let Some(meta) = tree.look(&from)?.filter(|meta| meta.kind == Kind::Directory) {
            above.push((path, meta));
        }
    }
    above.reverse();
    Ok(above)
}

fn strip(path: &TreePath, pivot: &TreePath) -> TreePath {
    if !path.is_within(pivot) {
        return path.clone();
    }
    TreePath::new(path.as_bytes().get(pivot.as_bytes().len()..).unwrap_or_default())
}

fn walk(
    tree: &dyn Tree,
    dir: &TreePath,
    below: &TreePath,
    rules: Rules<'_>,
    items: &mut Vec<Item>,
) -> Result<(), SelectError> {
    for (name, meta) in tree.list(dir)? {
        let (from, below) = (dir.join(&name), below.join(&name));
        // Archives cannot have sockets.
        if meta.kind == Kind::Socket {
            continue;
        }
        let excluded = rules.excludes(&below);
        if meta.kind != Kind::Directory {
            if !excluded {
                check(&meta, &from, rules)?;
                items.push(Item { from, below, meta });
            }
            continue;
        }
        if items.len() > ITEMS_MAX {
            return Err(SelectError::TooMany(dir.clone()));
        }
        let at = items.len();
        items.push(Item { from: from.clone(), below: below.clone(), meta });
        walk(tree, &from, &below, rules, items)?;
        // An excluded directory is there for what is not excluded within.
        if excluded && items.len() == at + 1 {
            items.truncate(at);
        }
    }
    Ok(())
}

pub(crate) fn check(meta: &Meta, from: &TreePath, rules: Rules<'_>) -> Result<(), SelectError> {
    match meta.kind {
        Kind::Character | Kind::Block | Kind::Socket if !rules.devices => Err(SelectError::Device(from.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostDir;
    use std::os::unix::fs::symlink;

    fn context() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.txt", "b.md", "x/y/f", "x/z/g", "x/y.txt", "d1/f.txt", "d2/g.txt"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        symlink("x/y", dir.path().join("link")).unwrap();
        symlink("../../../etc", dir.path().join("out")).unwrap();
        symlink("/a.txt", dir.path().join("x/abs")).unwrap();
        dir
    }

    fn found(
        source: &str,
        parents: bool,
        exclude: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<Vec<String>, SelectError> {
        let dir = context();
        let tree = HostDir::open(dir.path()).unwrap();
        let sources = select(&tree, source, Rules { exclude: Some(exclude), parents, devices: false })?;
        let shown = sources.iter().flat_map(|source| {
            let name = source.below.as_ref().map_or_else(
                || String::from_utf8(source.name.clone()).unwrap(),
                |below| below.to_string().trim_start_matches('/').to_owned(),
            );
            source.items.iter().map(move |item| format!("{name}:{}", item.below))
        });
        Ok(shown.collect())
    }

    // spec: BUILD-40 BUILD-41 BUILD-42
    #[test]
    fn sources_are_found() {
        let all = |source: &str| found(source, false, &|_| false).unwrap().join(" ");
        assert_eq!(all("a.txt"), "a.txt:/");
        assert_eq!(all("/../a.txt"), "a.txt:/");
        assert_eq!(all("x"), "x:/ x:/abs x:/y x:/y/f x:/y.txt x:/z x:/z/g");
        assert_eq!(all("link"), "link:/ link:/f");
        assert_eq!(all("x/abs"), "abs:/");
        assert_eq!(all("*.*"), "a.txt:/ b.md:/");
        assert_eq!(all("d[12]/*.txt"), "f.txt:/ g.txt:/");
        assert_eq!(all("**/g.txt"), "g.txt:/");
        assert_eq!(all("li*/f"), "f:/");
        let parents = |source: &str| found(source, true, &|_| false).unwrap().join(" ");
        assert_eq!(parents("x/y/f"), "x/y/f:/");
        assert_eq!(parents("x/./y/f"), "y/f:/");
        assert_eq!(parents("./x/*/g"), "x/z/g:/");
        let without = found("x", false, &|path| path.starts_with(b"y")).unwrap().join(" ");
        assert_eq!(without, "x:/ x:/abs x:/z x:/z/g");
    }

    // spec: BUILD-40
    #[test]
    fn what_is_not_there_is_told() {
        let wrong = |source: &str| found(source, false, &|_| false).unwrap_err().to_string();
        assert_eq!(wrong("nothing"), "there is no /nothing");
        assert_eq!(wrong("a.txt/x"), "/a.txt is not a directory");
        assert_eq!(found("*.zip", false, &|_| false).unwrap(), Vec::<String>::new());
        assert_eq!(wrong("out/passwd"), "there is no /out/passwd");
        assert!(wrong("[").contains("no pattern"));
    }
}
