//! `ctr-fetch`, `ctr-image` and `ctr-gc` as an ordinary user, with and without subordinate ids.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ctr_tests::scratch::{Root, names};
use ctr_tests::users::{self, Ordinary};
use ctr_tests::{images, need, store_check};

fn fetch(user: &Ordinary, root: &Root, layout: &std::path::Path) -> String {
    let source = users::readable(root, layout, "layout");
    let line = user.ctr(root, "fetch").args(["-q", &format!("oci:{}:latest", source.display()), "--name", "x"]).ok();
    line.split_whitespace().last().unwrap().to_owned()
}

fn life(user: &Ordinary) {
    let root = user.root();
    let digest = fetch(user, &root, &images::umoci_layers());
    // The machine's root looks with own eyes: it can read everything.
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    assert_eq!(fs::metadata(root.path()).unwrap().uid(), user.uid);
    let format = fs::read_to_string(root.store().join("format.json")).unwrap();
    assert!(format.contains("\"user\""), "the dialect of users: {format}");
    assert_eq!(user.ctr(&root, "image").args(["verify", "x"]).run().code, 0);
    assert!(user.ctr(&root, "image").arg("list").ok().contains('x'));
    user.ctr(&root, "image").args(["tag", "x", "y"]).ok();
    let out = root.file("out.aci");
    user.ctr(&root, "image").args(["export", "x"]).arg(&out).ok();
    let other = user.root();
    let line = user.ctr(&other, "fetch").args(["-q"]).arg(&out).args(["--name", "again"]).ok();
    assert!(line.ends_with(&digest), "{line}");
    user.ctr(&root, "gc").args(["--grace", "0"]).ok();
    assert_eq!(user.ctr(&root, "image").args(["verify", "y"]).run().code, 0);
    user.ctr(&root, "image").args(["rm", "x", "y"]).ok();
    user.ctr(&root, "gc").args(["--grace", "0"]).ok();
    assert_eq!(store_check::remains(&root.path()), Vec::<String>::new());
    assert_eq!(names(&root.store().join("layers")), Vec::<String>::new());
}

#[test]
fn a_user_with_a_range() {
    need!(root, "setpriv", "useradd", "newuidmap", "umoci");
    life(&users::with_range());
}

#[test]
fn a_user_without_a_range() {
    // spec: LAY-41
    need!(root, "setpriv", "useradd", "umoci");
    life(&users::without_range());
}

/// With a range, owners are kept: uid 12 of the image is the twelfth of the range on the disk.
#[test]
fn owners_are_kept_through_the_range() {
    // spec: LAY-40
    need!(root, "setpriv", "useradd", "newuidmap", "umoci");
    let user = users::with_range();
    let root = user.root();
    let digest = fetch(&user, &root, &images::umoci_layers());
    let trees = store_check::layer_trees(&root.store(), &digest);
    let meta = fs::symlink_metadata(trees[1].join("setuid")).unwrap();
    let first: u32 = fs::read_to_string("/etc/subuid")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{}:", user.name))?.split(':').next()?.parse().ok())
        .unwrap();
    assert_eq!(
        (meta.uid(), meta.gid()),
        (first + 11, first + 33),
        "12:34 by a map of 0 to the user and 1.. to the range"
    );
    assert_eq!(fs::symlink_metadata(trees[0].join("bin/busybox")).unwrap().uid(), user.uid);
}

#[test]
fn the_store_of_one_user_is_closed_to_another() {
    // spec: STORE-1
    need!(root, "setpriv", "useradd", "umoci");
    let (owner, other) = (users::without_range(), users::with_range());
    let root = owner.root();
    fetch(&owner, &root, &images::umoci_layers());
    let done = other.ctr(&root, "image").arg("list").run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stderr.contains("ermission"), "{done}");
}

#[test]
fn a_store_of_the_other_dialect_is_refused() {
    // spec: STORE-12
    need!(root, "setpriv", "useradd");
    let user = users::without_range();
    let root = user.root();
    root.fetch(&images::tiny(), "x");
    ctr_tests::scratch::Cmd::new("chown").args(["-R", &format!("{}:{}", user.uid, user.gid)]).arg(root.path()).ok();
    let done = user.ctr(&root, "fetch").args(["-q", &images::tiny(), "--name", "z"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stderr.contains("trusted") && done.stderr.contains("user"), "names both: {done}");
}
