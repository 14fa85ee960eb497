//! `ctr-image`: list, inspect, tag, rm, export, pack, verify.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ctr_tests::scratch::{Cmd, Root, names};
use ctr_tests::tree;
use ctr_tests::{images, need, oci, store_check};
use serde_json::Value;

fn image(root: &Root, args: &[&str]) -> String {
    root.ctr("image").args(args.iter().copied()).ok()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn list_and_inspect() {
    need!(root);
    let root = Root::with_busybox();
    let digest = store_check::refs(&root.store())["docker.io/library/busybox:latest"].clone();
    image(&root, &["tag", "busybox", "other:2"]);
    let listed = parsed(&image(&root, &["list", "--format", "json"]));
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert!(listed.as_array().unwrap().iter().all(|one| one["digest"] == digest.as_str()), "{listed}");
    let table = image(&root, &["list"]);
    assert!(table.contains("busybox:latest") && table.contains("other:2"), "{table}");
    let one = image(&root, &["inspect", "busybox", "--format", "json"]);
    for word in [digest.as_str(), "FROM_IMAGE=yes", "linux"] {
        assert!(one.contains(word), "{word} in {one}");
    }
    let raw = root.ctr("image").args(["inspect", "busybox", "--raw", "manifest"]).run();
    assert_eq!(oci::digest(raw.stdout.as_bytes()), digest, "byte by byte: {raw}");
    // By digest, and by the beginning of one.
    image(&root, &["inspect", &digest]);
    image(&root, &["inspect", &digest[7..19]]);
    root.ctr("image").args(["inspect", "absent"]).fails(1).says("absent");
    root.ctr("image").arg("no-such-verb").fails(2);
}

#[test]
fn tag_moves_a_name_and_rm_takes_it() {
    // spec: CLI-71
    need!(root);
    let root = Root::with_busybox();
    let tiny = root.fetch(&images::tiny(), "tiny");
    image(&root, &["tag", "busybox", "name:1", "name:2"]);
    image(&root, &["tag", "tiny", "name:1"]);
    let refs = store_check::refs(&root.store());
    assert_eq!(refs["docker.io/library/name:1"], tiny);
    assert_ne!(refs["docker.io/library/name:2"], tiny);
    image(&root, &["rm", "name:1"]);
    assert!(!store_check::refs(&root.store()).contains_key("docker.io/library/name:1"));
    root.ctr("image").args(["rm", "name:1"]).fails(1);
    root.ctr("image").args(["tag", "absent", "x"]).fails(1);
    root.ctr("image").args(["tag", "tiny", "Not A Name"]).run();
    // A digest with two names is not taken away by accident.
    root.ctr("image").args(["rm", &refs["docker.io/library/name:2"]]).fails(1);
    image(&root, &["rm", "--all-names", &refs["docker.io/library/name:2"]]);
    assert_eq!(store_check::refs(&root.store()).len(), 1);
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}

/// What is exported and fetched again is the same image, byte by byte.
#[test]
fn every_export_comes_back() {
    // spec: CLI-72, ACI-8
    need!(root);
    let root = Root::new();
    let digest = root.fetch(&format!("oci:{}:latest", images::umoci_layers().display()), "m");
    let at = |name: &str| root.file(name).display().to_string();
    for (destination, source) in [
        (at("m.aci"), at("m.aci")),
        (format!("oci-archive:{}", at("m.tar")), at("m.tar")),
        (format!("oci:{}:latest", at("m-dir")), format!("oci:{}:latest", at("m-dir"))),
    ] {
        image(&root, &["export", "m", &destination]);
        let fresh = Root::new();
        assert_eq!(fresh.fetch(&source, "m"), digest, "{destination}");
        assert_eq!(store_check::complaints(&fresh.store()), Vec::<String>::new());
    }
    // A docker-archive has no manifest of its own: the layers are the same.
    image(&root, &["export", "m", &format!("docker-archive:{}", at("docker.tar"))]);
    let fresh = Root::new();
    fresh.fetch(&at("docker.tar"), "m");
    assert_eq!(names(&fresh.store().join("layers")), names(&root.store().join("layers")));
}

#[test]
fn other_tools_read_what_is_exported() {
    // spec: CLI-72, ACI-3
    need!(root, "skopeo", "umoci");
    let root = Root::new();
    root.fetch(&format!("oci:{}:latest", images::umoci_layers().display()), "m");
    let at = |name: &str| root.file(name).display().to_string();
    image(&root, &["export", "m", &at("m.aci")]);
    image(&root, &["export", "m", &format!("docker-archive:{}", at("docker.tar"))]);
    image(&root, &["export", "m", &format!("oci:{}:latest", at("dir"))]);
    Cmd::new("skopeo").args(["inspect", &format!("oci-archive:{}", at("m.aci"))]).ok();
    images::skopeo_copy(&[], &format!("oci-archive:{}", at("m.aci")), &format!("dir:{}", at("copied")));
    images::skopeo_copy(&[], &format!("docker-archive:{}", at("docker.tar")), &format!("dir:{}", at("copied-2")));
    Cmd::new("umoci").args(["unpack", "--image", &format!("{}:latest", at("dir")), &at("ours")]).ok();
    let theirs = format!("{}:latest", images::umoci_layers().display());
    Cmd::new("umoci").args(["unpack", "--image", &theirs, &at("theirs")]).ok();
    tree::assert_same(&tree::list(&root.file("theirs/rootfs")), &tree::list(&root.file("ours/rootfs")));
}

#[test]
fn podman_loads_what_is_exported() {
    need!(root, "podman");
    let root = Root::with_busybox();
    let at = |name: &str| root.file(name).display().to_string();
    let storage = at("podman");
    image(&root, &["export", "busybox", &at("b.aci")]);
    image(&root, &["export", "busybox", &format!("docker-archive:{}", at("b.tar"))]);
    for file in ["b.aci", "b.tar"] {
        let args = [
            "--root",
            &storage,
            "--runroot",
            &format!("{storage}-run"),
            "--storage-driver=vfs",
            "load",
            "-q",
            "-i",
            &at(file),
        ];
        let loaded = Cmd::new("podman").args(args).ok();
        assert!(loaded.contains("Loaded image"), "{file}: {loaded}");
    }
}

fn packable(root: &Root) -> PathBuf {
    let dir = root.file("tree");
    fs::create_dir_all(dir.join("bin")).unwrap();
    fs::create_dir_all(dir.join("etc/empty")).unwrap();
    fs::copy("/bin/busybox", dir.join("bin/busybox")).unwrap();
    symlink("busybox", dir.join("bin/sh")).unwrap();
    symlink("busybox", dir.join("bin/echo")).unwrap();
    fs::write(dir.join("etc/config"), "config").unwrap();
    fs::hard_link(dir.join("etc/config"), dir.join("etc/linked")).unwrap();
    Cmd::new("chown").args(["-R", "7:8"]).arg(dir.join("etc")).ok();
    Cmd::new("chmod").arg("4711").arg(dir.join("etc/config")).ok();
    dir
}

fn pack(root: &Root, dir: &Path, out: &Path) {
    let pack = root.ctr("image").args(["pack"]).arg(dir).args([
        "--entrypoint",
        "/bin/echo",
        "--cmd",
        "packed",
        "--env",
        "A=b",
    ]);
    pack.args(["--workdir", "/etc", "--label", "k=v", "--keep-owner", "--name", "packed:1", "-o"]).arg(out).ok();
}

#[test]
fn pack_is_deterministic_and_runs() {
    // spec: CLI-73, CFG-41, LAY-50
    need!(root);
    let root = Root::new();
    let dir = packable(&root);
    let (first, second) = (root.file("first.aci"), root.file("second.aci"));
    pack(&root, &dir, &first);
    // Another directory with the same content in another order of making.
    let copy = root.file("copy");
    Cmd::new("cp").arg("-a").arg(&dir).arg(&copy).ok();
    fs::rename(copy.join("bin/sh"), copy.join("bin/x")).unwrap();
    fs::rename(copy.join("bin/x"), copy.join("bin/sh")).unwrap();
    Cmd::new("touch").args(["-hr"]).arg(dir.join("bin")).arg(copy.join("bin")).ok();
    pack(&root, &copy, &second);
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap(), "same tree, same bytes");
    root.ctr("fetch").arg("-q").arg(&first).ok();
    assert!(store_check::refs(&root.store()).contains_key("docker.io/library/packed:1"));
    assert_eq!(root.ctr("run").args(["--wait", "--rm", "--log=inherit", "packed:1"]).ok(), "packed");
    let script = ["--entrypoint", "/bin/sh", "packed:1", "-c", "pwd; echo $A"];
    assert_eq!(root.ctr("run").args(["--wait", "--rm", "--log=inherit"]).args(script).ok(), "/etc\nb");
    let digest = store_check::refs(&root.store())["docker.io/library/packed:1"].clone();
    let tree = &store_check::layer_trees(&root.store(), &digest)[0];
    let (mut wanted, mut found) = (tree::list(&dir), tree::list(tree));
    // Times are whole seconds in the archive's plain headers or finer: not compared here; the layers' tests do.
    for listing in [&mut wanted, &mut found] {
        listing.values_mut().for_each(|line| {
            let links = line.split(" links=").nth(1).unwrap_or_default().to_owned();
            *line = format!("{} {links}", line.split(" mtime=").next().unwrap());
        });
    }
    tree::assert_same(&wanted, &found);
}

#[test]
fn pack_makes_what_others_read() {
    need!(root, "skopeo", "umoci");
    let root = Root::new();
    let out = root.file("p.aci");
    pack(&root, &packable(&root), &out);
    let inspected = Cmd::new("skopeo").args(["inspect", "--config", &format!("oci-archive:{}", out.display())]).ok();
    assert!(inspected.contains("/bin/echo") && inspected.contains("A=b"), "{inspected}");
    // An uncompressed tar that begins with `oci-layout` and `index.json` (spec/02-image-file.md).
    let head = fs::read(&out).unwrap();
    assert!(head.starts_with(b"oci-layout\0") && &head[257..262] == b"ustar");
    let listed = Cmd::new("tar").arg("-tf").arg(&out).ok();
    assert_eq!(listed.lines().take(2).collect::<Vec<_>>(), ["oci-layout", "index.json"]);
}

#[test]
fn verify_finds_every_kind_of_damage() {
    // spec: CLI-74
    need!(root);
    let root = Root::new();
    root.fetch(&format!("oci:{}:latest", images::umoci_layers().display()), "m");
    image(&root, &["verify", "m"]);
    image(&root, &["verify"]);
    let digest = store_check::refs(&root.store())["docker.io/library/m:latest"].clone();
    let tree = store_check::layer_trees(&root.store(), &digest)[0].clone();
    let damages: [(&str, &str); 7] = [
        ("content", "echo no > etc/one"),
        ("mode", "chmod 777 etc/one"),
        ("owner", "chown 3:4 etc/one"),
        ("missing", "rm etc/one"),
        ("added", "echo x > etc/added"),
        ("link", "ln -sfn elsewhere bin/sh"),
        ("time", "touch -d @1 etc/one"),
    ];
    for (what, script) in damages {
        Cmd::new("sh").args(["-euc", script]).dir(&tree).ok();
        let done = root.ctr("image").args(["verify", "m"]).run();
        assert_eq!(done.code, 1, "{what}: {done}");
        root.ctr("image").args(["verify", "--repair", "m"]).run();
        let done = root.ctr("image").args(["verify", "m"]).run();
        assert_eq!(done.code, 0, "{what} is repaired: {done}");
    }
    let blobs = root.store().join("blobs/sha256");
    for name in names(&blobs) {
        let copy = root.copy();
        let path = copy.store().join("blobs/sha256").join(&name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let done = copy.ctr("image").args(["verify", "m"]).run();
        assert_eq!(done.code, 1, "blob {name}: {done}");
    }
    image(&root, &["verify", "m"]);
}
