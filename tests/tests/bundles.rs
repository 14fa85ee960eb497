//! Offline bundles: many images in one file, written by `ctr-image export` and taken in by `ctr-fetch --all`.

use std::fs;

use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{images, need, schema, store_check};
use serde_json::Value;

/// A root with two images, and a second name of the first.
fn root() -> Root {
    let root = Root::with_busybox();
    root.fetch(&images::tiny(), "example.com/tiny:1");
    root.ctr("image").args(["tag", "busybox", "example.com/box:1"]).ok();
    root
}

const NAMES: [&str; 3] = ["docker.io/library/busybox:latest", "example.com/box:1", "example.com/tiny:1"];

fn refs(root: &Root) -> Vec<(String, String)> {
    store_check::refs(&root.store()).into_iter().collect()
}

#[test]
fn a_bundle_goes_out_and_comes_in_as_it_was() {
    // spec: REG-58, REG-59, CLI-72
    need!(root);
    let from = root();
    for form in ["oci-archive", "docker-archive", "oci"] {
        let file = format!("{form}:{}", from.file(form).display());
        let text = from.ctr("image").args(["export", "--format", "json"]).args(NAMES).arg(&file).ok();
        schema::check_text("image-exported.json", &text);
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["images"].as_array().unwrap().len(), 3, "{text}");
        let to = Root::new();
        let lines = to.ctr("fetch").args(["--all", &file]).ok();
        // A docker-archive has an image once, with all its names; the first two names are of one.
        let images = if form == "docker-archive" { 2 } else { 3 };
        assert_eq!(lines.lines().count(), images, "{lines}");
        let (came, were) = (refs(&to), refs(&from));
        assert_eq!(came.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), NAMES, "{form}");
        if form != "docker-archive" {
            assert_eq!(came, were, "the bytes are the same");
        }
        assert_eq!(store_check::complaints(&to.store()), Vec::<String>::new());
        assert_eq!(to.ctr("run").args(["--wait", "--rm", "example.com/box:1", "echo", "hello"]).ok(), "hello");
        // Without --all the choices are listed, and one can be chosen.
        let done = to.ctr("fetch").arg(&file).fails(1);
        assert!(NAMES.iter().all(|name| done.stderr.contains(name)), "{done}");
        let one = Root::new();
        one.ctr("fetch").arg(format!("{file}:example.com/tiny:1")).ok();
        assert_eq!(refs(&one).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [NAMES[2]], "{form}");
    }
    // Blobs that images share stand once.
    let list = Cmd::new("tar").arg("tf").arg(from.file("oci-archive")).ok();
    let mut blobs: Vec<&str> = list.lines().collect();
    let all = blobs.len();
    blobs.sort_unstable();
    blobs.dedup();
    assert_eq!(blobs.len(), all, "{list}");
}

#[test]
fn skopeo_reads_each_image_of_a_bundle() {
    // spec: REG-58
    need!(root, "skopeo");
    let root = root();
    let file = root.file("bundle.tar").display().to_string();
    root.ctr("image").args(["export", "-o", &format!("oci-archive:{file}")]).args(NAMES).ok();
    let index: Value = serde_json::from_str(&Cmd::new("tar").args(["xOf", &file, "index.json"]).ok()).unwrap();
    for (name, digest) in refs(&root) {
        let out = format!("oci:{}:x", root.file("out").display());
        images::skopeo_copy(&["--preserve-digests"], &format!("oci-archive:{file}:{name}"), &out);
        let copied: Value = serde_json::from_slice(&fs::read(root.file("out/index.json")).unwrap()).unwrap();
        assert_eq!(copied["manifests"][0]["digest"], digest.as_str(), "{name} of {index}");
        fs::remove_dir_all(root.file("out")).unwrap();
    }
}

#[test]
fn images_without_a_name_are_told_apart() {
    // spec: REG-59
    need!(root);
    let root = root();
    let dir = root.file("layout");
    root.ctr("image").args(["export", "-o", &format!("oci:{}", dir.display())]).args([NAMES[0], NAMES[2]]).ok();
    let path = dir.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut names = Vec::new();
    for entry in index["manifests"].as_array_mut().unwrap() {
        let entry = entry.as_object_mut().unwrap();
        entry.remove("annotations");
        names.push(format!("localhost/layout:{}", &entry["digest"].as_str().unwrap()[7..19]));
    }
    names.sort();
    fs::write(&path, index.to_string()).unwrap();
    let to = Root::new();
    to.ctr("fetch").arg("--all").arg(&dir).ok();
    assert_eq!(refs(&to).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
}

#[test]
fn one_that_fails_does_not_keep_the_others() {
    // spec: REG-59, CLI-10
    need!(root);
    let root = root();
    let dir = root.file("layout");
    root.ctr("image").args(["export", "-o", &format!("oci:{}", dir.display())]).args(NAMES).ok();
    let digest = &refs(&root)[2].1;
    fs::remove_file(dir.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let to = Root::new();
    let done = to.ctr("fetch").arg("--all").arg(&dir).fails(1);
    assert!(done.stderr.contains(digest), "{done}");
    assert_eq!(refs(&to).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), NAMES[..2]);
}

#[test]
fn what_makes_no_bundle_is_refused() {
    need!(root);
    let root = root();
    let at = |name: &str| root.file(name).display().to_string();
    let export = |args: &[&str]| root.ctr("image").arg("export").args(args.iter().copied()).fails(2);
    export(&["busybox", NAMES[2], &at("x.aci")]).says("one image");
    export(&["busybox", NAMES[2], &format!("oci-archive:{}:tag", at("x"))]);
    export(&["busybox"]);
    let fetch = |args: &[&str]| root.ctr("fetch").arg("--all").args(args.iter().copied()).fails(2);
    fetch(&["busybox"]);
    fetch(&[&format!("oci-archive:{}:tag", at("x"))]);
    fetch(&["--name", "x", &at("x")]);
    root.ctr("fetch").args(["--all", &at("x")]).fails(1);
}
