//! `ctr-image` beside other tools: what is packed and exported is read by them and by us, and verify finds damage.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ctr_tests::oci;
use ctr_tests::scratch::{Cmd, Root, names, until};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, need, store_check};
use serde_json::{Value, json};

/// The image that `ctr-image inspect` finds.
fn inspect(root: &Root, image: &str) -> Value {
    let text = root.ctr("image").args(["inspect", image, "--format", "json"]).ok();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// A tree with what a layer can hold, without owners.
fn tree(root: &Root) -> PathBuf {
    let tree = root.file("tree");
    fs::create_dir_all(tree.join("dir/below")).unwrap();
    fs::write(tree.join("dir/file"), "content").unwrap();
    fs::hard_link(tree.join("dir/file"), tree.join("hard")).unwrap();
    std::os::unix::fs::symlink("dir/file", tree.join("link")).unwrap();
    fs::write(tree.join("setuid"), "x").unwrap();
    fs::set_permissions(tree.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    tree
}

fn pack(root: &Root, tree: &Path, args: &[&str]) -> (PathBuf, String) {
    let file = root.file("packed.aci");
    let digest = root.ctr("image").arg("pack").arg(tree).args(args.iter().copied()).arg("-o").arg(&file).ok();
    (file, digest)
}

#[test]
fn the_same_tree_packs_to_the_same_bytes() {
    // spec: CFG-41
    let root = Root::new();
    let tree = tree(&root);
    let args = ["--entrypoint", "/setuid", "--env", "A=b", "--label", "k=v", "--name", "app:1"];
    let (file, digest) = pack(&root, &tree, &args);
    let first = fs::read(&file).unwrap();
    // Another directory, made in another order.
    let copy = root.file("copy");
    Cmd::new("cp").arg("-a").arg(&tree).arg(&copy).ok();
    fs::remove_file(copy.join("dir/file")).unwrap();
    fs::hard_link(copy.join("hard"), copy.join("dir/file")).unwrap();
    Cmd::new("touch").args(["-r"]).arg(tree.join("dir")).arg(copy.join("dir")).ok();
    assert_eq!(pack(&root, &copy, &args).1, digest);
    assert_eq!(fs::read(&file).unwrap(), first);
    assert_ne!(pack(&root, &tree, &args[2..]).1, digest);
}

#[test]
fn a_packed_image_has_what_was_asked_for() {
    need!(root);
    let root = Root::new();
    let (file, digest) = pack(
        &root,
        &tree(&root),
        &[
            "--entrypoint",
            r#"["/bin/app","-x"]"#,
            "--cmd",
            "a b",
            "--cmd",
            "c",
            "--env",
            "A=b=c",
            "--workdir",
            "/srv",
            "--user",
            "7:8",
            "--label",
            "k=v",
            "--volume",
            "/data",
            "--port",
            "80",
            "--port",
            "53/udp",
            "--stop-signal",
            "SIGINT",
            "--name",
            "example.com/app:2",
        ],
    );
    let printed = root.ctr("fetch").arg(&file).ok();
    assert_eq!(printed, format!("example.com/app:2 {digest}"));
    let config = &inspect(&root, "example.com/app:2")["config"]["config"];
    let expected = serde_json::json!({
        "User": "7:8", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["A=b=c"], "Entrypoint": ["/bin/app", "-x"],
        "Cmd": ["a b", "c"], "Volumes": {"/data": {}}, "WorkingDir": "/srv", "Labels": {"k": "v"}, "StopSignal": "SIGINT",
    });
    assert_eq!(*config, expected);
    let trees = store_check::layer_trees(&root.store(), &digest);
    let mode = fs::metadata(trees[0].join("setuid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o4755);
}

#[test]
fn nonsense_is_a_usage_error_and_leaves_nothing() {
    let root = Root::new();
    let tree = tree(&root);
    for args in [
        &["--env", "A"][..],
        &["--workdir", "srv"],
        &["--port", "0"],
        &["--label", "=v"],
        &["--name", "Upper"],
        &["--platform", "a/b/c/d"],
    ] {
        let out = root.file("none.aci");
        root.ctr("image").arg("pack").arg(&tree).args(args.iter().copied()).arg("-o").arg(&out).fails(2);
        assert!(!out.exists(), "{args:?}");
    }
    // The file would be packed into itself.
    root.ctr("image").arg("pack").arg(&tree).arg("-o").arg(tree.join("app.aci")).fails(2);
    root.ctr("image").arg("pack").arg(root.file("missing")).arg("-o").arg(root.file("x.aci")).fails(1);
    assert!(!names(&tree).iter().chain(&names(&root.path())).any(|name| name.contains(".aci")));
}

#[test]
fn an_export_keeps_the_image() {
    // spec: CLI-72
    need!(root);
    let root = Root::new();
    let digest = root.fetch(&images::tiny(), "example.com/app:1");
    let at = |name: &str| root.file(name).display().to_string();
    for (destination, source) in [
        (at("a.aci"), at("a.aci")),
        (format!("oci-archive:{}", at("b.tar")), format!("oci-archive:{}", at("b.tar"))),
        (format!("oci:{}", at("dir")), format!("oci:{}", at("dir"))),
        (format!("oci:{}:two", at("dir")), format!("oci:{}:two", at("dir"))),
    ] {
        root.ctr("image").args(["export", "example.com/app:1", &destination]).ok();
        let fresh = Root::new();
        if source.ends_with("two") {
            // Two images are there now: one has to be chosen.
            fresh.ctr("fetch").arg(format!("oci:{}", at("dir"))).fails(1);
        }
        let printed = fresh.ctr("fetch").arg(&source).ok();
        let tag = if source.ends_with("two") { "two" } else { "1" };
        assert_eq!(printed, format!("example.com/app:{tag} {digest}"), "{source}");
    }
    // docker-archives have no manifest: another digest, the same trees.
    root.ctr("image").args(["export", "example.com/app:1", &format!("docker-archive:{}", at("d.tar"))]).ok();
    let fresh = Root::new();
    let printed = fresh.ctr("fetch").arg(at("d.tar")).ok();
    assert!(printed.starts_with("example.com/app:1 sha256:"), "{printed}");
    fresh.ctr("image").args(["verify", "example.com/app:1"]).ok();
    let (own, theirs) = (inspect(&root, "example.com/app:1"), inspect(&fresh, "example.com/app:1"));
    assert_eq!(own["config"], theirs["config"]);
}

#[test]
fn other_tools_read_what_is_exported() {
    need!(root, "skopeo", "umoci", "podman");
    let root = Root::new();
    let at = |name: &str| root.file(name).display().to_string();
    root.fetch(&images::busybox(), "example.com/box:1");
    let export = |to: &str| root.ctr("image").args(["export", "example.com/box:1", to]).ok();
    export(&at("box.aci"));
    export(&format!("docker-archive:{}", at("docker.tar")));
    export(&format!("oci:{}", at("layout")));
    for (number, from) in [
        format!("oci-archive:{}", at("box.aci")),
        format!("docker-archive:{}", at("docker.tar")),
        format!("oci:{}:1", at("layout")),
    ]
    .iter()
    .enumerate()
    {
        Cmd::new("skopeo").args(["inspect", from]).ok();
        Cmd::new("skopeo").args(["copy", "-q", from, &format!("dir:{}", at(&format!("copied{number}")))]).ok();
    }
    Cmd::new("umoci").args(["unpack", "--image", &format!("{}:1", at("layout")), &at("bundle")]).ok();
    assert!(root.file("bundle/rootfs/bin/busybox").is_file());
    let storage = at("podman");
    for file in ["box.aci", "docker.tar"] {
        let loaded = Cmd::new("podman")
            .args([
                "--root",
                &storage,
                "--runroot",
                &format!("{storage}-run"),
                "--storage-driver=vfs",
                "load",
                "-q",
                "-i",
            ])
            .arg(root.file(file))
            .ok();
        assert!(loaded.contains("example.com/box:1"), "{file}: {loaded}");
    }
}

#[test]
fn names_come_and_go() {
    need!(root);
    let root = Root::new();
    let digest = root.fetch(&images::tiny(), "one");
    let short = &digest["sha256:".len()..][..12];
    root.ctr("image").args(["tag", "one", "two:1", "example.com/three"]).ok();
    let listed = root.ctr("image").arg("list").ok();
    for name in ["one:latest", "two:1", "example.com/three:latest"] {
        assert!(listed.lines().any(|line| line.starts_with(name) && line.contains(short)), "{listed}");
    }
    root.ctr("image").args(["rm", short]).fails(1).says("3 names");
    root.ctr("image").args(["tag", "one", &format!("x@{digest}")]).fails(2);
    root.ctr("image").args(["rm", "one", "two:1"]).ok();
    root.ctr("image").args(["rm", "one"]).fails(1);
    root.ctr("image").args(["rm", short]).run().ok();
    root.ctr("image").args(["rm", short]).fails(1).says("no name");
    assert_eq!(store_check::refs(&root.store()).len(), 0);
}

#[test]
fn damage_is_found_and_mended() {
    // spec: STORE-90, STORE-91, CLI-74
    need!(root, "umoci");
    let root = Root::new();
    let digest = root.fetch(&images::umoci_layers().display().to_string(), "x");
    let verify = |args: &[&str]| root.ctr("image").args(["verify", "x"]).args(args.iter().copied());
    assert!(verify(&[]).ok().ends_with("ok"));

    // The same length: no count finds it.
    let victim = store_check::layer_trees(&root.store(), &digest)[0].join("bin/busybox");
    let file = File::options().write(true).open(&victim).unwrap();
    file.write_all_at(b"damage", 1000).unwrap();
    let found = verify(&[]).fails(1);
    assert!(found.stdout.contains("bin/busybox content differs"), "{found}");
    assert!(verify(&["--repair"]).ok().contains("repaired"));
    assert!(verify(&[]).ok().ends_with("ok"));

    // A mode, and a file too many.
    let tree = store_check::layer_trees(&root.store(), &digest)[0].clone();
    fs::set_permissions(tree.join("bin/busybox"), fs::Permissions::from_mode(0o4777)).unwrap();
    let found = verify(&[]).fails(1);
    assert!(found.stdout.contains("mode is 4777"), "{found}");
    verify(&["--repair"]).ok();

    // A blob: nothing here can mend it, fetching again does.
    let blob = inspect(&root, "x")["manifest"]["layers"][0]["digest"].as_str().unwrap().to_owned();
    let path = root.store().join("blobs/sha256").join(blob.trim_start_matches("sha256:"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"damage", 100).unwrap();
    verify(&["--repair"]).fails(1).says("fetch the image again");
    root.fetch(&images::umoci_layers().display().to_string(), "x");
    assert!(verify(&[]).ok().ends_with("ok"));
}

#[test]
fn a_known_file_is_read_again_when_something_of_it_is_missing() {
    need!(root);
    let root = Root::new();
    let (file, digest) = pack(&root, &tree(&root), &["--name", "app"]);
    // A file that was written just now is not remembered (ACI-60).
    std::thread::sleep(std::time::Duration::from_millis(100));
    let fetch = || -> Value {
        let printed = root.ctr("fetch").args(["--format", "json"]).arg(&file).ok();
        serde_json::from_str::<Value>(&printed).unwrap()[0].take()
    };
    assert_eq!(fetch()["known"], false);
    assert_eq!(fetch()["known"], true);
    let blob = inspect(&root, "app")["manifest"]["layers"][0]["digest"].as_str().unwrap().to_owned();
    let path = root.store().join("blobs/sha256").join(blob.trim_start_matches("sha256:"));
    fs::remove_file(&path).unwrap();
    assert_eq!(fetch()["known"], false);
    assert!(path.exists());
    // The same length, other content: found as well, when the file is read.
    let content = fs::read(&path).unwrap();
    fs::write(&path, vec![0; content.len()]).unwrap();
    root.ctr("image").args(["verify", "--repair", "app"]).fails(1);
    assert_eq!(fetch()["known"], false);
    assert_eq!(fs::read(&path).unwrap(), content);
    root.ctr("image").args(["verify", &digest]).ok();
}

/// A docker-archive of two images that share nothing but the layer.
fn two_images() -> Vec<u8> {
    let layer = Tar::new().dir("etc", 0o755).file("etc/x", 0o644, "x").finish();
    let mut archive = Tar::new().file("layer.tar", 0o644, &layer);
    let mut listed = Vec::new();
    for name in ["one", "two"] {
        let config = json!({
            "architecture": oci::architecture(), "os": "linux", "config": {"Cmd": [name]},
            "rootfs": {"type": "layers", "diff_ids": [oci::digest(&layer)]},
        });
        let file = format!("{name}.json");
        archive = archive.file(&file, 0o644, config.to_string());
        listed.push(json!({"Config": file, "RepoTags": [format!("example.com/{name}:1")], "Layers": ["layer.tar"]}));
    }
    archive.file("manifest.json", 0o644, Value::from(listed).to_string()).finish()
}

#[test]
fn one_of_several_images_has_to_be_chosen() {
    // spec: ACI-25, ACI-43
    need!(root);
    let root = Root::new();
    let file = root.write("two.tar", two_images()).display().to_string();
    let failed = root.ctr("fetch").arg(&file).fails(1);
    assert!(failed.stderr.contains("example.com/one:1, example.com/two:1"), "{failed}");
    for tag in ["example.com/two:1", "example.com/one:1"] {
        let printed = root.ctr("fetch").arg(format!("docker-archive:{file}:{tag}")).ok();
        assert!(printed.starts_with(&format!("{tag} sha256:")), "{printed}");
    }
    root.ctr("fetch").arg(format!("docker-archive:{file}:1")).fails(1).says("can mean");
    root.ctr("fetch").arg(format!("docker-archive:{file}:3")).fails(1).says("no image \"3\"");
}

#[test]
fn archives_that_are_compressed_as_a_whole_are_read() {
    need!(root, "gzip", "zstd", "bzip2", "xz");
    let plain = Root::new();
    let file = plain.file("app.aci");
    let digest = plain.fetch(&images::tiny(), "app:1");
    plain.ctr("image").args(["export", "app:1"]).arg(&file).ok();
    let bytes = fs::read(&file).unwrap();
    for program in ["gzip", "zstd", "bzip2", "xz"] {
        let root = Root::new();
        let packed = root.write("app.packed", oci::filter(program, &["-c"], &bytes));
        assert_eq!(root.ctr("fetch").arg(&packed).ok(), format!("docker.io/library/app:1 {digest}"), "{program}");
        assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new());
        // A stream that ends early brings nothing.
        let whole = fs::read(&packed).unwrap();
        let cut = root.write("app.cut", &whole[..whole.len() - 20]);
        root.ctr("fetch").arg(&cut).args(["--name", "cut"]).fails(1);
        assert_eq!(store_check::refs(&root.store()).len(), 1);
    }
}

#[test]
fn an_image_for_another_machine_is_taken_with_a_warning() {
    // spec: CLI-23
    need!(root);
    let root = Root::new();
    let (file, _) = pack(&root, &tree(&root), &["--platform", "linux/s390x", "--name", "foreign"]);
    let done = root.ctr("fetch").arg(&file).run();
    assert!(done.code == 0 && done.stderr.contains("linux/s390x"), "{done}");
    let other = Root::new();
    other.ctr("fetch").arg(&file).args(["--platform", "linux/riscv64"]).fails(1).says("not for linux/riscv64");
    assert_eq!(store_check::refs(&other.store()).len(), 0);
}

#[test]
fn an_interrupted_fetch_leaves_nothing_to_see() {
    // spec: CLI-22
    need!(root);
    let root = Root::new();
    // Enough work to be met in the middle of it.
    let mut layer = Tar::new().dir("many", 0o755);
    for number in 0..8_000 {
        layer = layer.file(&format!("many/{number}"), 0o644, "x");
    }
    let source = images::busybox_with(&root.file("layout"), &[layer.finish()]);
    let running = root.ctr("fetch").args([&source, "--name", "x"]).start();
    let staging = root.store().join("tmp");
    until("the fetch has begun", || staging.is_dir() && names(&staging).iter().any(|name| staging.join(name).is_dir()));
    let pid = running.pid().to_string();
    Cmd::new("kill").args(["-INT", &pid]).ok();
    assert_eq!(running.wait().code, 130);
    assert_eq!(store_check::refs(&root.store()).len(), 0);
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    root.ctr("fetch").args([&source, "--name", "x"]).ok();
    root.ctr("image").args(["verify", "x"]).ok();
    root.ctr("gc").ok();
    assert_eq!(names(&staging), Vec::<String>::new(), "gc takes the rest of the interrupted one");
}

/// An appc image of a `manifest` and these entries.
fn appc(entries: Tar) -> Vec<u8> {
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/x",
        "app": {"exec": ["/bin/x"], "user": "0", "group": "0"}});
    entries.file("manifest", 0o644, manifest.to_string()).finish()
}

#[test]
fn hostile_appc_images_are_refused() {
    // spec: ACI-50, ACI-51
    need!(root);
    let top = || Tar::new().dir("rootfs", 0o755);
    for (what, tar, reason) in [
        ("a file beside", top().file("other", 0o644, "x"), "beside manifest and rootfs"),
        ("a rootfs that is a link", Tar::new().symlink("rootfs", "/").file("rootfs/x", 0o644, "x"), "not a directory"),
        ("a hard link out", top().hardlink("rootfs/x", "/etc/passwd"), "hard link out of rootfs"),
        ("a hard link to the manifest", top().hardlink("rootfs/x", "manifest"), "hard link out of rootfs"),
        ("dot dot", top().file("rootfs/../../x", 0o644, "x"), ".."),
        ("a whiteout", top().whiteout("rootfs", "x"), "whiteouts"),
    ] {
        let root = Root::new();
        let file = root.write("x.aci", appc(tar));
        let done = root.ctr("fetch").arg(&file).fails(1);
        assert!(done.stderr.contains(reason), "{what}: {done}");
        assert_eq!(store_check::refs(&root.store()).len(), 0, "{what}");
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_link_in_an_appc_image_stays_in_it() {
    need!(root);
    let root = Root::new();
    let outside = root.file("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.display().to_string();
    let tar = Tar::new().dir("rootfs", 0o755).symlink("rootfs/l", &target).file("rootfs/l/x", 0o644, "escaped");
    let file = root.write("x.aci", appc(tar));
    root.ctr("fetch").arg(&file).run();
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}
