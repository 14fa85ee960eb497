//! `ctr-fetch`: every kind of source, and what it refuses.

use std::fs;
use std::path::Path;

use ctr_tests::oci::{self, Layer, Layout};
use ctr_tests::scratch::{Cmd, Root, names};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, need, store_check};
use serde_json::{Value, json};

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The manifest digest of a layout's only image.
fn only_digest(layout: &Path) -> String {
    json_file(&layout.join("index.json"))["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

fn assert_whole(root: &Root, count: usize) {
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    assert_eq!(store_check::refs(&root.store()).len(), count);
    assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "staging is gone");
}

/// Nothing is named, nothing half is left where a reader looks.
fn assert_refused(root: &Root) {
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    assert_eq!(names(&root.store().join("refs")), Vec::<String>::new());
    assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "staging is gone");
}

#[test]
fn a_layout_directory_prints_name_and_digest() {
    // spec: CLI-20, CLI-21
    let root = Root::new();
    let source = images::busybox();
    let line = root.ctr("fetch").args([source.as_str(), "--name", "box:1"]).ok();
    let digest = only_digest(&images::busybox_dir());
    assert_eq!(line, format!("docker.io/library/box:1 {digest}"));
    assert_whole(&root, 1);
    assert_eq!(store_check::refs(&root.store())["docker.io/library/box:1"], digest);
}

#[test]
fn fetching_again_changes_nothing() {
    // spec: CLI-22
    let root = Root::new();
    let first = root.fetch(&images::busybox(), "box");
    let before = names(&root.store().join("blobs/sha256"));
    assert_eq!(root.fetch(&images::busybox(), "box"), first);
    assert_eq!(root.fetch(&images::busybox(), "other"), first);
    assert_eq!(names(&root.store().join("blobs/sha256")), before);
    assert_whole(&root, 2);
}

#[test]
fn archives_of_skopeo_are_read() {
    need!(root, "skopeo");
    let from = images::busybox();
    let root = Root::new();
    let at = |name: &str| root.file(name).display().to_string();
    images::skopeo_copy(&[], &from, &format!("oci-archive:{}:latest", at("oci.tar")));
    images::skopeo_copy(&[], &from, &format!("docker-archive:{}:box:v1", at("docker.tar")));
    images::skopeo_copy(
        &["--dest-compress-format=zstd", "--dest-compress"],
        &from,
        &format!("oci:{}:latest", at("zstd")),
    );
    for source in [
        format!("oci-archive:{}", at("oci.tar")),
        format!("docker-archive:{}", at("docker.tar")),
        format!("docker-archive:{}:box:v1", at("docker.tar")),
        format!("oci:{}", at("zstd")),
        at("oci.tar"),
        at("docker.tar"),
        at("zstd"),
    ] {
        let fresh = Root::new();
        fresh.fetch(&source, "x");
        assert_whole(&fresh, 1);
        let layers =
            store_check::layer_trees(&fresh.store(), &store_check::refs(&fresh.store())["docker.io/library/x:latest"]);
        assert!(layers.iter().any(|tree| tree.join("bin/busybox").is_file()), "{source}");
    }
}

#[test]
fn podman_and_buildah_archives_are_read() {
    need!(root, "podman");
    let root = Root::new();
    let storage = root.file("podman").display().to_string();
    let podman = |args: &[&str]| {
        Cmd::new("podman")
            .args(["--root", &storage, "--runroot", &format!("{storage}-run"), "--storage-driver=vfs"])
            .args(args.iter().copied())
            .ok()
    };
    podman(&["pull", "-q", &images::busybox()]);
    let id = podman(&["images", "-q"]);
    let saved = root.file("saved.tar").display().to_string();
    podman(&["save", "-q", "--format=docker-archive", "-o", &saved, &id]);
    root.fetch(&saved, "box");
    assert_whole(&root, 1);
}

/// `docker save` of old writes `ID/layer.tar` as a link to another image's, and names it in manifest.json.
#[test]
fn a_docker_archive_with_linked_layers_is_read() {
    // spec: ACI-22, ACI-40
    let layer = Tar::new().dir("etc", 0o755).file("etc/x", 0o644, "x").finish();
    let diff_id = oci::digest(&layer);
    let config = json!({
        "architecture": oci::architecture(), "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]},
    })
    .to_string();
    let config_name = format!("{}.json", oci::digest(config.as_bytes()).trim_start_matches("sha256:"));
    let manifest = json!([{"Config": config_name, "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let archive = Tar::new()
        .file(&config_name, 0o644, &config)
        .dir("a", 0o755)
        .file("a/layer.tar", 0o644, &layer)
        .dir("b", 0o755)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("manifest.json", 0o644, manifest.to_string())
        .finish();
    let root = Root::new();
    let file = root.write("old.tar", archive);
    root.fetch(&format!("docker-archive:{}", file.display()), "x");
    assert_whole(&root, 1);
}

#[test]
fn legacy_app_container_images_are_read() {
    // spec: ACI-50, CFG-30
    let app = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/hello",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": oci::architecture()}, {"name": "version", "value": "1.0"}],
        "app": {"exec": ["/bin/hello", "world"], "user": "0", "group": "0", "workingDirectory": "/srv",
                 "environment": [{"name": "A", "value": "b"}]},
    })
    .to_string();
    let rootfs = Tar::new()
        .dir("rootfs", 0o755)
        .dir("rootfs/bin", 0o755)
        .file("rootfs/bin/hello", 0o755, "hello")
        .dir("rootfs/srv", 0o755);
    let first = Tar::new().file("manifest", 0o644, &app).bytes(&rootfs.clone().finish()).finish();
    let last = rootfs.file("manifest", 0o644, &app).finish();
    // A tar ends at its first empty blocks: the first one is made without them.
    let first = first
        .chunks(512)
        .filter(|block| block.iter().any(|byte| *byte != 0))
        .flatten()
        .copied()
        .chain([0; 1024])
        .collect::<Vec<u8>>();
    for (tar, order) in [(&first, "first"), (&last, "last")] {
        for program in ["cat", "gzip", "bzip2", "xz"] {
            let root = Root::new();
            let args: &[&str] = if program == "cat" { &[] } else { &["-c"] };
            let file = root.write("app.aci", oci::filter(program, args, tar));
            root.fetch(&file.display().to_string(), "hello");
            assert_whole(&root, 1);
            let digest = store_check::refs(&root.store())["docker.io/library/hello:latest"].clone();
            let record = json_file(&root.store().join("images").join(digest.trim_start_matches("sha256:")));
            assert_eq!(record["env"], json!(["A=b"]), "{program}, manifest {order}: {record}");
            assert_eq!(record["working_dir"], "/srv");
            let tree = &store_check::layer_trees(&root.store(), &digest)[0];
            assert_eq!(fs::read(tree.join("bin/hello")).unwrap(), b"hello");
        }
    }
}

#[test]
fn actool_images_are_read() {
    need!(root, "actool");
    let root = Root::new();
    let layout = root.file("layout");
    fs::create_dir_all(layout.join("rootfs/bin")).unwrap();
    fs::write(layout.join("rootfs/bin/hello"), "hello").unwrap();
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/hello",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": oci::architecture()}],
        "app": {"exec": ["/bin/hello"], "user": "0", "group": "0"}});
    fs::write(layout.join("manifest"), manifest.to_string()).unwrap();
    let aci = root.file("hello.aci");
    Cmd::new("actool").arg("build").arg(&layout).arg(&aci).ok();
    root.fetch(&aci.display().to_string(), "hello");
    assert_whole(&root, 1);
}

/// A layout whose image was changed after its digests were written.
fn broken(root: &Root, change: impl FnOnce(&Layout, &mut Value)) -> String {
    let layer = Layer::plain(Tar::new().file("a", 0o644, "a").finish());
    let mut layout = Layout::new(&root.file("broken"));
    let image = layout.image(&json!({}), &[layer]);
    let mut manifest = json_file(&layout.blob_path(image["digest"].as_str().unwrap()));
    change(&layout, &mut manifest);
    let image = layout.manifest(&manifest);
    layout.tag("latest", &image);
    layout.source("latest")
}

type Break = fn(&Layout, &mut Value);

#[test]
fn wrong_digests_and_sizes_are_refused() {
    // spec: ACI-23, LAY-2
    let cases: [(&str, Break); 8] = [
        ("another blob under the digest", |layout, manifest| {
            let path = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[600] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a blob cut short", |layout, manifest| {
            let path = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 512]).unwrap();
        }),
        ("a blob with more behind", |layout, manifest| {
            let path = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
            let bytes = fs::read(&path).unwrap();
            fs::write(path, [&bytes[..], &[0; 512]].concat()).unwrap();
        }),
        ("a size that is too large", |_, manifest| manifest["layers"][0]["size"] = json!(1_000_000)),
        ("a size that is too small", |_, manifest| manifest["layers"][0]["size"] = json!(10)),
        ("a blob that is not there", |_, manifest| manifest["layers"][0]["digest"] = json!(oci::digest(b"not there"))),
        ("a wrong diff_id", |layout, manifest| {
            let config = json!({"architecture": oci::architecture(), "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": [oci::digest(b"another")]}});
            manifest["config"] = layout.blob(oci::CONFIG, config.to_string().as_bytes());
        }),
        ("more layers than diff_ids", |_, manifest| {
            let layer = manifest["layers"][0].clone();
            manifest["layers"].as_array_mut().unwrap().push(layer);
        }),
    ];
    for (what, change) in cases {
        let root = Root::new();
        let source = broken(&root, change);
        let done = root.ctr("fetch").args([&source, "--name", "x"]).run();
        assert_eq!(done.code, 1, "{what}: {done}");
        assert!(done.stdout.is_empty() && done.stderr.starts_with("ctr-fetch: "), "{what}: {done}");
        assert_refused(&root);
    }
}

#[test]
fn documents_that_mislead_are_refused() {
    // spec: CFG-2, TYPE-60
    let layer = Tar::new().file("a", 0o644, "a").finish();
    let root = Root::new();
    let layout = Layout::new(&root.file("l"));
    let image = layout.image(&json!({}), &[Layer::plain(layer)]);
    let text = image.to_string();
    let own = fs::read_to_string(layout.blob_path(image["digest"].as_str().unwrap())).unwrap();
    // Two readers could take another of two equal keys each: which one was signed?
    let twice = own.replacen("\"schemaVersion\":2", "\"schemaVersion\":2,\"layers\":[]", 1);
    let twice = layout.blob(oci::MANIFEST, twice.as_bytes()).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = layout.blob(oci::MANIFEST, deep.as_bytes()).to_string();
    let invalid = layout.blob(oci::MANIFEST, b"{\"schemaVersion\":2,\"x\":\"\xff\xfe\"}").to_string();
    let traversal = text.replace(image["digest"].as_str().unwrap(), "sha256:../../../../etc/passwd");
    for (what, descriptor) in
        [("a key twice", twice), ("deep nesting", deep), ("no UTF-8", invalid), ("a digest that is a path", traversal)]
    {
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
        fs::write(layout.dir.join("index.json"), index).unwrap();
        let fresh = Root::new();
        let done = fresh.ctr("fetch").args([layout.dir.display().to_string().as_str(), "--name", "x"]).run();
        assert_eq!(done.code, 1, "{what}: {done}");
        assert_refused(&fresh);
    }
}

#[test]
fn an_index_that_contains_itself_or_nests_without_end_is_refused() {
    // spec: ACI-26, LIM-18
    let root = Root::new();
    let layout = Layout::new(&root.file("l"));
    // A true cycle needs a hash collision; a descriptor that lies about its digest tries the same.
    let mut descriptor = layout.blob(oci::INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    for _ in 0..200 {
        descriptor =
            layout.blob(oci::INDEX, json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string().as_bytes());
    }
    let own = descriptor["digest"].as_str().unwrap().to_owned();
    let lie = json!({"schemaVersion": 2, "manifests": [{"mediaType": oci::INDEX, "digest": own, "size": 200}]});
    fs::write(layout.blob_path(&own), lie.to_string()).unwrap();
    for index in [json!({"schemaVersion": 2, "manifests": [descriptor]}), lie] {
        fs::write(layout.dir.join("index.json"), index.to_string()).unwrap();
        let fresh = Root::new();
        fresh.ctr("fetch").args([layout.dir.display().to_string().as_str(), "--name", "x"]).fails(1);
        assert_refused(&fresh);
    }
}

#[test]
fn the_platform_is_chosen_from_an_index() {
    // spec: CFG-11, CFG-12, CLI-23
    let root = Root::new();
    let mut layout = Layout::new(&root.file("l"));
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let tar = Tar::new().file("arch", 0o644, architecture).finish();
        let config = json!({"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [oci::digest(&tar)]}});
        let (layer, config) = (layout.blob(oci::TAR, &tar), layout.blob(oci::CONFIG, config.to_string().as_bytes()));
        let mut manifest = layout
            .manifest(&json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "config": config, "layers": [layer]}));
        manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
        manifests.push(manifest);
    }
    let index = layout.blob(
        oci::INDEX,
        json!({"schemaVersion": 2, "mediaType": oci::INDEX, "manifests": manifests}).to_string().as_bytes(),
    );
    layout.tag("latest", &index);
    for (args, wanted) in [
        (vec![], oci::architecture()),
        (vec!["--platform", "linux/arm64"], "arm64"),
        (vec!["--platform", "linux/amd64"], "amd64"),
    ] {
        let fresh = Root::new();
        fresh.ctr("fetch").args(["-q", &layout.source("latest"), "--name", "x"]).args(args).ok();
        let digest = store_check::refs(&fresh.store())["docker.io/library/x:latest"].clone();
        assert_eq!(
            fs::read(store_check::layer_trees(&fresh.store(), &digest)[0].join("arch")).unwrap(),
            wanted.as_bytes()
        );
    }
    let done =
        root.ctr("fetch").args([&layout.source("latest"), "--name", "x", "--platform", "linux/riscv64"]).fails(1);
    assert!(done.stderr.contains("amd64") && done.stderr.contains("arm64"), "says what there is: {done}");
}

#[test]
fn a_damaged_object_is_repaired_by_fetching_again() {
    // spec: STORE-I6
    let root = Root::new();
    let digest = root.fetch(&images::busybox(), "box");
    let store = root.store();
    let blobs = names(&store.join("blobs/sha256"));
    for name in &blobs {
        let path = store.join("blobs/sha256").join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(!store_check::complaints(&store).is_empty());
        assert_eq!(root.fetch(&images::busybox(), "box"), digest);
        assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "blob {name}");
    }
    let layer = store.join("layers").join(&names(&store.join("layers"))[0]);
    fs::remove_file(layer.join("done")).unwrap();
    assert_eq!(root.fetch(&images::busybox(), "box"), digest);
    assert_eq!(store_check::complaints(&store), Vec::<String>::new());
    // The damaged tree stays aside until the collector sees that no container uses it.
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_whole(&root, 1);
}

#[test]
fn several_sources_and_machine_output() {
    // spec: CLI-10, CLI-20
    let root = Root::new();
    let out = root.ctr("fetch").args(["--format", "json", &images::busybox(), "--name", "box"]).ok();
    let value: Value = serde_json::from_str(&out).unwrap();
    assert!(value.to_string().contains(&only_digest(&images::busybox_dir())), "{value}");
    let done = root.ctr("fetch").args(["--format", "json", "oci:/no/such/dir", "--name", "y"]).fails(1);
    let error: Value = serde_json::from_str(done.stderr.trim()).unwrap();
    assert!(error.is_object(), "{error}");
    root.ctr("fetch").args(["--no-such-option", "x"]).fails(2);
    root.ctr("fetch").fails(2);
}

#[test]
fn a_full_and_a_missing_directory_say_so() {
    let root = Root::new();
    root.ctr("fetch").arg(root.file("absent").display().to_string()).fails(1).says("absent");
    let text = root.write("text", "this is no image\n");
    root.ctr("fetch").arg(text).fails(1).says("text");
    let empty = root.write("empty", "");
    root.ctr("fetch").arg(empty).fails(1).says("empty");
    assert_refused(&root);
}

#[test]
fn a_debian_image_is_fetched_whole() {
    need!(root, "mmdebstrap");
    let root = Root::new();
    let digest = root.fetch(&images::debian(), "debian");
    let tree = &store_check::layer_trees(&root.store(), &digest)[0];
    assert!(tree.join("usr/bin/python3").exists());
    assert_whole(&root, 1);
}
