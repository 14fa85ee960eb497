use super::*;
use crate::host::HostDir;
use crate::path::TreePath;
use crate::remember::Remembered;
use crate::select::{Exclude, Source, fill, find};
use crate::tree::{Attributes, TreeError};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const READING: Reading<'_> = Reading { threads: 4, cache: None, owners: false };
const ALL: Rules<'_> = Rules { exclude: None, parents: false, devices: false };

fn put(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn remembered(dir: &Path) -> Remembered {
    Remembered::new(Arc::new(HostDir::open(dir).unwrap()))
}

fn of(tree: &dyn Tree, dir: &str, rules: Rules<'_>) -> Digest {
    directory(tree, &TreePath::new(dir), rules, READING).unwrap()
}

/// Of the content of a host's directory, nothing remembered.
fn fresh(dir: &Path) -> Digest {
    of(&HostDir::open(dir).unwrap(), "", ALL)
}

// spec: BUILD-130
#[test]
fn equal_trees_have_equal_digests_whatever_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..500).map(|at| format!("d{}/e{}/f{at}", at % 7, at % 3)).collect();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for name in &names {
        put(&one, name, name);
    }
    for name in names.iter().rev() {
        put(&two, name, name);
    }
    let whole = fresh(&one);
    assert_eq!(whole, fresh(&two));
    assert_eq!(whole, of(&remembered(&one), "", ALL));
    // A part that was known before, and one that is known afterwards.
    let tree = remembered(&one);
    let part = of(&tree, "d3", ALL);
    assert_eq!((of(&tree, "", ALL), of(&tree, "d3", ALL)), (whole, part));
    assert_eq!((fresh(&one.join("d3")), of(&tree, "d4/e1", ALL)), (part, fresh(&one.join("d4/e1"))));
    let single = Reading { threads: 1, ..READING };
    let alone = directory(&HostDir::open(&one).unwrap(), &TreePath::root(), ALL, single).unwrap();
    assert_eq!(alone, whole);
}

// spec: BUILD-130
#[test]
fn names_that_could_be_taken_for_others_are_not() {
    let trees: &[&[&str]] = &[
        &["ab/c"],
        &["a/bc"],
        &["a/b/c"],
        &["abc"],
        &["a/b", "c"],
        &["a/c", "b"],
        &["a", "b/c"],
        &["a/b", "a/c"],
        &["a-b", "a/b"],
        &["a", "b", "c"],
        &["a\nb", "c"],
        &["a", "b\nc"],
    ];
    let mut seen = Vec::new();
    for names in trees {
        let dir = tempfile::tempdir().unwrap();
        for name in *names {
            put(dir.path(), name, "");
        }
        let digest = fresh(dir.path());
        assert!(!seen.contains(&digest), "{names:?}");
        seen.push(digest);
    }
    // An empty directory, an empty file, a link to nothing, and nothing.
    let makes: [&dyn Fn(&Path); 3] =
        [&|path| fs::create_dir(path).unwrap(), &|path| fs::write(path, "").unwrap(), &|path| {
            symlink("x", path).unwrap();
        }];
    for make in makes {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join("a"));
        seen.push(fresh(dir.path()));
    }
    seen.push(fresh(tempfile::tempdir().unwrap().path()));
    seen.sort_unstable();
    let count = seen.len();
    seen.dedup();
    // The file "a" alone is among none of the trees.
    assert_eq!(seen.len(), count);
}

// spec: BUILD-47 BUILD-130
#[test]
fn every_attribute_deep_below_counts_and_times_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    put(&deep, "f", "1");
    symlink("x", deep.join("l")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&deep, 0o755);
    mode(&deep.join("f"), 0o644);
    let first = fresh(dir.path());
    let later = File::open(deep.join("f")).unwrap();
    later.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(fresh(dir.path()), first);
    let attribute = |path: &Path| {
        let file = File::open(path).unwrap();
        ctr_sys::xattr::set_open(std::os::fd::AsFd::as_fd(&file), b"user.ctr-test", b"1").unwrap();
    };
    let changes: [(&str, &dyn Fn()); 9] = [
        ("content", &|| put(&deep, "f", "2")),
        ("mode of a file", &|| mode(&deep.join("f"), 0o600)),
        ("mode of a directory", &|| mode(&deep, 0o700)),
        ("name", &|| fs::rename(deep.join("f"), deep.join("g")).unwrap()),
        ("name of a directory", &|| fs::rename(&deep, dir.path().join("a/b/d")).unwrap()),
        ("back", &|| fs::rename(dir.path().join("a/b/d"), &deep).unwrap()),
        ("link", &|| fs::remove_file(deep.join("l")).and_then(|()| symlink("y", deep.join("l"))).unwrap()),
        ("attribute of a file", &|| attribute(&deep.join("g"))),
        ("attribute of a directory", &|| attribute(&deep)),
    ];
    let mut last = first;
    for (name, change) in changes {
        change();
        let now = fresh(dir.path());
        assert_ne!(now, last, "{name}");
        last = now;
    }
    // Owners count where they are asked for: of a stage, not of a context.
    let owners = Reading { owners: true, ..READING };
    let tree = HostDir::open(dir.path()).unwrap();
    let mine = directory(&tree, &TreePath::root(), ALL, owners).unwrap();
    let root = ctr_sys::ids::effective_uid() == 0;
    if root {
        std::os::unix::fs::chown(deep.join("g"), Some(7), None).unwrap();
        assert_eq!(fresh(dir.path()), last);
        assert_ne!(directory(&tree, &TreePath::root(), ALL, owners).unwrap(), mine);
    }
    assert_eq!(mine == last, root, "root's files are 0:0 anyway");
}

// spec: BUILD-133
#[test]
fn what_is_left_out_does_not_count_and_no_digest_of_the_whole_is_taken_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["d/keep", "d/drop", "d/e/keep", "d/e/drop", "only/drop"] {
        put(dir.path(), name, name);
    }
    let dropping = |path: &[u8]| path.ends_with(b"drop") || path == b"only";
    let rules = Rules { exclude: Some(&dropping as Exclude<'_>), ..ALL };
    let tree = remembered(dir.path());
    let whole = of(&tree, "", ALL);
    let rest = of(&tree, "", rules);
    assert_ne!(rest, whole);
    assert_eq!(of(&tree, "", ALL), whole);
    put(dir.path(), "d/e/drop", "another");
    put(dir.path(), "only/drop", "another");
    let tree = remembered(dir.path());
    assert_eq!(of(&tree, "", rules), rest);
    assert_ne!(of(&tree, "", ALL), whole);
    // It is the digest of what is left.
    for name in ["d/drop", "d/e/drop", "only/drop"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::remove_dir(dir.path().join("only")).unwrap();
    assert_eq!(fresh(dir.path()), rest);
    put(dir.path(), "d/e/keep", "another");
    assert_ne!(of(&remembered(dir.path()), "", rules), rest);
}

// spec: BUILD-132
#[test]
fn modes_of_parents_that_are_kept_count() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "p/q/f", "1");
    put(dir.path(), "p/other", "1");
    let digest = |parents| {
        let tree = HostDir::open(dir.path()).unwrap();
        let rules = Rules { parents, ..ALL };
        let sources = find(&tree, "p/q/f", rules).unwrap();
        crate::digest::digest(&tree, &sources, rules, READING).unwrap()
    };
    let (kept, plain) = (digest(true), digest(false));
    put(dir.path(), "p/other", "2");
    assert_eq!((digest(true), digest(false)), (kept, plain));
    fs::set_permissions(dir.path().join("p"), fs::Permissions::from_mode(0o711)).unwrap();
    assert_eq!(digest(false), plain);
    assert_ne!(digest(true), kept);
}

/// Counts what is asked of a tree.
struct Counting(HostDir, AtomicUsize, AtomicUsize);

impl Tree for Counting {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        self.0.look(path)
    }
    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.list(path)
    }
    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        self.0.read_link(path)
    }
    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        self.2.fetch_add(1, Ordering::Relaxed);
        self.0.open(path)
    }
    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        self.0.attributes(path)
    }
}

// spec: BUILD-130
#[test]
fn threads_that_want_the_same_or_parts_of_it_look_once() {
    let dir = tempfile::tempdir().unwrap();
    for at in 0..400 {
        put(dir.path(), &format!("a/b{}/f{at}", at % 20), "content");
    }
    let counting = Arc::new(Counting(HostDir::open(dir.path()).unwrap(), AtomicUsize::new(0), AtomicUsize::new(0)));
    let tree = Remembered::new(Arc::<Counting>::clone(&counting));
    let wanted = ["", "a", "a/b3", "", "a/b7", "a"];
    let found: Vec<Digest> = std::thread::scope(|scope| {
        let tree = &tree;
        let threads: Vec<_> = wanted.iter().map(|dir| scope.spawn(move || of(tree, dir, ALL))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (dir_name, digest) in wanted.iter().zip(&found) {
        assert_eq!(*digest, fresh(&dir.path().join(dir_name)), "{dir_name}");
    }
    // The root, `a`, and what is in it.
    assert_eq!((counting.1.load(Ordering::Relaxed), counting.2.load(Ordering::Relaxed)), (22, 400));
    // What is written is what was seen.
    let mut sources = find(&tree, "a", ALL).unwrap();
    fill(&tree, &mut sources, ALL).unwrap();
    assert_eq!(sources.iter().flat_map(|source: &Source| &source.items).count(), 1 + 20 + 400);
    assert_eq!(counting.1.load(Ordering::Relaxed), 22);
}

// spec: BUILD-131
#[test]
fn a_file_that_changed_since_it_was_hashed_is_not_written() {
    use crate::copy::{CopyError, Placing, Taken, write};
    let dir = tempfile::tempdir().unwrap();
    let written = |change: &dyn Fn()| {
        put(dir.path(), "d/f", "1");
        let tree = remembered(dir.path());
        let mut sources = find(&tree, "d", ALL).unwrap();
        crate::digest::digest(&tree, &sources, ALL, READING).unwrap();
        // Longer than times are coarse.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change();
        fill(&tree, &mut sources, ALL).unwrap();
        let taken = [Taken { tree: &tree, sources: &sources, anonymous: true }];
        let destination = TreePath::new("x");
        let base = &crate::layers::Empty;
        let placing = Placing { base, destination: &destination, directory: false, owner: None, mode: None, epoch: 0 };
        let done = write(&taken, &[], placing, &mut ctr_layer::tar::TarWriter::new(Vec::new()));
        assert_eq!(done.is_err(), tree.is_doubtful());
        done
    };
    assert_eq!(written(&|| ()).unwrap(), 2);
    let same_size = || put(dir.path(), "d/f", "2");
    assert!(matches!(written(&same_size), Err(CopyError::Tree(TreeError::Changed(_)))));
    let shorter = || put(dir.path(), "d/f", "");
    assert!(matches!(written(&shorter), Err(CopyError::Tree(TreeError::Changed(_)))));
    let mode = || fs::set_permissions(dir.path().join("d/f"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(written(&mode), Err(CopyError::Tree(TreeError::Changed(_)))));
    let gone = || fs::remove_file(dir.path().join("d/f")).unwrap();
    assert!(matches!(written(&gone), Err(CopyError::Tree(TreeError::Io { .. }))));
    // What is new was not seen, and is in no layer.
    let new = || put(dir.path(), "d/g", "new");
    assert_eq!(written(&new).unwrap(), 2);
}
