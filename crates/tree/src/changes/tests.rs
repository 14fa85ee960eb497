//! Changes found as an overlay would have them.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use ctr_core::store::XattrDialect;
use ctr_layer::dialect::is_opaque;

use super::*;
use crate::host::HostDir;

/// A tree with a bit of all.
fn tree(root: &Path) {
    for dir in ["d", "d/sub", "e", "empty"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for file in ["a", "b", "d/f", "d/sub/g", "e/h"] {
        fs::write(root.join(file), file).unwrap();
    }
    symlink("a", root.join("link")).unwrap();
}

/// What is in a layer: paths, with `/` for a directory, `!` for an opaque one, `-` for what is gone.
fn listing(dir: &Path, below: &str, found: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        let facts = entry.path().symlink_metadata().unwrap();
        if facts.is_dir() {
            let fd = File::open(entry.path()).unwrap();
            let opaque = is_opaque(XattrDialect::User, fd.as_fd()).unwrap();
            found.push(format!("{path}{}", if opaque { "!" } else { "/" }));
            listing(&entry.path(), &format!("{path}/"), found);
        } else if facts.file_type().is_char_device() {
            found.push(format!("{path}-"));
        } else {
            found.push(path);
        }
    }
}

/// What the layer has of what `change` does to the tree.
fn changed(places: &Places, change: impl FnOnce(&Path)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let [root, upper, scratch] = ["root", "upper", "scratch"].map(|name| dir.path().join(name));
    for path in [&root, &upper, &scratch] {
        fs::create_dir(path).unwrap();
    }
    tree(&root);
    for made in places.made.iter().chain(&places.at) {
        let _ = fs::create_dir(made.below(&root));
    }
    let [fd, upper_fd, scratch] = [&root, &upper, &scratch].map(|path| File::open(path).unwrap());
    let before = Snapshot::take(fd.as_fd(), places, scratch.as_fd()).unwrap();
    change(&root);
    let layer = Layer { upper: upper_fd.as_fd(), dialect: XattrDialect::User, has_lower: true };
    collect(fd.as_fd(), &before, places, layer).unwrap();
    let mut found = Vec::new();
    listing(&upper, "", &mut found);
    found
}

// spec: BUILD-146
#[test]
fn each_change_is_found_and_nothing_else() {
    type Change = (&'static str, fn(&Path), &'static [&'static str]);
    let changes: &[Change] = &[
        ("nothing", |_| {}, &[]),
        ("reading", |root| drop(fs::read(root.join("d/f")).unwrap()), &[]),
        ("a new file", |root| fs::write(root.join("d/new"), "").unwrap(), &["d/", "d/new"]),
        ("the same bytes", |root| fs::write(root.join("d/f"), "d/f").unwrap(), &["d/", "d/f"]),
        ("a mode", |root| fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap(), &["a"]),
        ("a file gone", |root| fs::remove_file(root.join("d/f")).unwrap(), &["d/", "d/f-"]),
        ("a directory gone", |root| fs::remove_dir_all(root.join("d")).unwrap(), &["d-"]),
        ("another name", |root| fs::rename(root.join("a"), root.join("z")).unwrap(), &["a-", "z"]),
        ("another one of its name", |root| fs::rename(root.join("a"), root.join("b")).unwrap(), &["a-", "b"]),
        (
            "a directory's name",
            |root| fs::rename(root.join("d"), root.join("z")).unwrap(),
            &["d-", "z/", "z/f", "z/sub/", "z/sub/g"],
        ),
        (
            "a link instead",
            |root| {
                fs::remove_file(root.join("a")).unwrap();
                symlink("b", root.join("a")).unwrap();
            },
            &["a"],
        ),
        (
            "a file for a directory",
            |root| {
                fs::remove_dir_all(root.join("e")).unwrap();
                fs::write(root.join("e"), "").unwrap();
            },
            &["e"],
        ),
        (
            "a directory for a file",
            |root| {
                fs::remove_file(root.join("a")).unwrap();
                fs::create_dir(root.join("a")).unwrap();
            },
            &["a!"],
        ),
        (
            "a file that came and went",
            |root| {
                fs::write(root.join("d/t"), "").unwrap();
                fs::remove_file(root.join("d/t")).unwrap();
            },
            &["d/"],
        ),
        (
            "another name of a file",
            |root| fs::hard_link(root.join("d/f"), root.join("e/f")).unwrap(),
            &["d/", "d/f", "e/", "e/f"],
        ),
        (
            "a directory's mode",
            |root| fs::set_permissions(root.join("e"), fs::Permissions::from_mode(0o700)).unwrap(),
            &["e/"],
        ),
    ];
    for (what, change, expected) in changes {
        assert_eq!(changed(&Places::default(), change), *expected, "{what}");
    }
}

// spec: BUILD-146
#[test]
fn a_directory_that_was_made_again_hides_what_was_in_it() {
    // Many times: the inode of the old one is given to the new one, sooner or later.
    for _ in 0..50 {
        let found = changed(&Places::default(), |root| {
            fs::remove_dir_all(root.join("d/sub")).unwrap();
            fs::create_dir(root.join("d/sub")).unwrap();
        });
        assert_eq!(found, ["d/", "d/sub!"]);
    }
}

// spec: BUILD-56 BUILD-147
#[test]
fn places_are_no_change() {
    let mut places = Places::default();
    let path = |text: &str| TreePath::new(text);
    places.add(&path("m/n/place"), &[path("m"), path("m/n"), path("m/n/place")]);
    places.add(&path("d/place"), &[path("d/place")]);
    assert_eq!(changed(&places, |_| {}), [""; 0]);
    let used = |root: &Path| {
        fs::write(root.join("m/n/place/x"), "").unwrap();
        fs::remove_dir(root.join("d/place")).unwrap();
    };
    assert_eq!(changed(&places, used), [""; 0]);
    assert_eq!(changed(&places, |root| fs::remove_dir_all(root.join("m")).unwrap()), [""; 0]);
    let beside = |root: &Path| {
        fs::write(root.join("m/beside"), "").unwrap();
        fs::remove_file(root.join("d/f")).unwrap();
    };
    assert_eq!(changed(&places, beside), ["d/", "d/f-", "m/", "m/beside"]);
    let mode = |root: &Path| fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    assert_eq!(changed(&places, mode), ["d/"]);
}

// spec: BUILD-146
#[test]
fn a_copy_is_like_what_it_was_made_of_and_has_no_second_names() {
    let dir = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    tree(&from);
    fs::hard_link(from.join("a"), from.join("second")).unwrap();
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o2751)).unwrap();
    File::open(from.join("b")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let source = HostDir::open(&from).unwrap();
    fill(&source, &TreePath::root(), File::open(&to).unwrap().as_fd()).unwrap();
    for name in ["", "a", "b", "second", "link", "d", "d/f", "d/sub", "empty"] {
        let [one, other] = [&from, &to].map(|root| root.join(name).symlink_metadata().unwrap());
        let seen = |facts: &fs::Metadata| (facts.mode(), facts.uid(), facts.gid(), facts.mtime(), facts.mtime_nsec());
        assert_eq!(seen(&one), seen(&other), "{name}");
        assert!(one.is_dir() || other.nlink() == 1, "{name}");
    }
    assert_eq!(fs::read(to.join("second")).unwrap(), b"a");
    copy(&source, &TreePath::new("d"), File::open(&to).unwrap().as_fd(), b"again").unwrap();
    assert_eq!(fs::read(to.join("again/sub/g")).unwrap(), b"d/sub/g");
    assert!(copy(&source, &TreePath::new("none"), File::open(&to).unwrap().as_fd(), b"x").is_err());
}
