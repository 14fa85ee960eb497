//! A registry that is only files: served by nginx as we configure it and by a file server that knows nothing, pulled by
//! others and by ctr-fetch.

use std::path::{Path, PathBuf};

use ctr_tests::oci::{INDEX, Layer, Layout, MANIFEST, architecture, digest};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{FileServer, Nginx};
use ctr_tests::static_tree::{publish, serve};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, need, schema, store_check};
use serde_json::{Value, json};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A tree with an image (`demo:single`), an index (`demo:multi`) and an image of Docker's schema 2 (`demo:docker`).
struct Site {
    root: Root,
    single: String,
    multi: String,
    docker: String,
}

impl Site {
    fn new() -> Self {
        let root = Root::new();
        let mut layout = Layout::new(&root.file("layout"));
        let ours = layout.image(&images::busybox_config(), &[Layer::plain(images::busybox_tree().finish())]);
        let other = layout.image(&json!({}), &[Layer::plain(Tar::new().file("other", 0o644, "x").finish())]);
        layout.tag("single", &ours);
        let with = |descriptor: &Value, architecture: &str| {
            let mut descriptor = descriptor.clone();
            descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
            descriptor
        };
        let entries = [with(&other, "s390x"), with(&ours, architecture())];
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        let index = layout.blob(INDEX, index.to_string().as_bytes());
        layout.tag("multi", &index);
        let docker = schema2(&mut layout, &ours);
        for tag in ["single", "multi", "docker"] {
            publish(&root.file("tree"), &layout.dir, tag, "team/demo");
        }
        let name = |descriptor: &Value| descriptor["digest"].as_str().unwrap().to_owned();
        Self { single: name(&ours), multi: name(&index), docker, root }
    }

    fn tree(&self) -> PathBuf {
        self.root.file("tree")
    }

    fn repository(&self) -> PathBuf {
        self.tree().join("v2/team/demo")
    }
}

/// Adds the image as Docker would have pushed it, in a list; the digest of the manifest.
fn schema2(layout: &mut Layout, image: &Value) -> String {
    let read =
        |digest: &str| -> Value { serde_json::from_slice(&std::fs::read(layout.blob_path(digest)).unwrap()).unwrap() };
    let mut manifest = read(image["digest"].as_str().unwrap());
    manifest["mediaType"] = json!(DOCKER_MANIFEST);
    manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    manifest["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar");
    let mut entry = layout.blob(DOCKER_MANIFEST, manifest.to_string().as_bytes());
    let name = entry["digest"].as_str().unwrap().to_owned();
    entry["platform"] = json!({ "os": "linux", "architecture": architecture() });
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry] });
    let list = layout.blob(DOCKER_LIST, list.to_string().as_bytes());
    layout.tag("docker", &list);
    name
}

/// Status, headers in lower case, and body of an answer.
fn ask(url: &str, args: &[&str]) -> (u16, String, String) {
    let text = Cmd::new("curl").args(["-sS", "-i", "--max-time", "10"]).args(args.iter().copied()).arg(url).ok();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[test]
fn nginx_answers_as_a_registry_does() {
    // spec: REG-60, REG-61, REG-62, REG-63
    need!("nginx", "curl");
    let site = Site::new();
    let nginx = serve(&site.tree());
    let url = |path: &str| format!("{}/v2/{path}", nginx.origin());
    let immutable = "cache-control: public, max-age=31536000, immutable";
    assert_eq!(ask(&url(""), &[]).0, 200);
    for (reference, media_type, found) in [
        ("single", MANIFEST, &site.single),
        ("multi", INDEX, &site.multi),
        ("docker", DOCKER_LIST, &digest(&std::fs::read(site.repository().join("manifests/docker")).unwrap())),
        (&site.single, MANIFEST, &site.single),
        (&site.multi, INDEX, &site.multi),
        (&site.docker, DOCKER_MANIFEST, &site.docker),
    ] {
        for args in [&[][..], &["--head"]] {
            let (status, head, body) = ask(&url(&format!("team/demo/manifests/{reference}")), args);
            assert_eq!(status, 200, "{reference}");
            assert!(head.contains(&format!("content-type: {media_type}")), "{reference}: {head}");
            assert!(!args.is_empty() || digest(body.as_bytes()) == **found, "{reference}");
            if reference.starts_with("sha256:") {
                assert!(head.contains(&format!("docker-content-digest: {reference}")), "{head}");
                assert!(head.contains(immutable), "{head}");
            } else {
                assert!(head.contains("cache-control: no-cache"), "{head}");
            }
        }
    }
    let layer: Value = serde_json::from_str(&ask(&url("team/demo/manifests/single"), &[]).2).unwrap();
    let layer = layer["layers"][0]["digest"].as_str().unwrap();
    let (status, head, body) = ask(&url(&format!("team/demo/blobs/{layer}")), &["--range", "0-99"]);
    assert!(status == 206 && body.len() == 100 && head.contains("content-range: bytes 0-99/"), "{head}");
    assert!(head.contains(immutable) && head.contains(&format!("docker-content-digest: {layer}")), "{head}");
    let (status, head, body) = ask(&url("team/demo/tags/list"), &[]);
    assert!(status == 200 && head.contains("content-type: application/json") && head.contains("no-cache"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["tags"], json!(["docker", "multi", "single"]));
    for subject in [&site.single, &format!("sha256:{}", "0".repeat(64))] {
        let (status, head, body) = ask(&url(&format!("team/demo/referrers/{subject}")), &[]);
        assert!(status == 200 && head.contains(&format!("content-type: {INDEX}")), "{head}");
        assert!(!head.contains("docker-content-digest"), "it is no content of that digest: {head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["manifests"], json!([]));
    }
}

#[test]
fn nginx_tells_errors_and_nothing_else() {
    // spec: REG-62
    need!("nginx", "curl");
    let site = Site::new();
    std::fs::write(site.tree().join("secret"), "secret").unwrap();
    let nginx = serve(&site.tree());
    let none = "0".repeat(64);
    for (path, args, status, code) in [
        ("/v2/team/demo/manifests/none", &[][..], 404, "MANIFEST_UNKNOWN"),
        (&format!("/v2/team/demo/manifests/sha256:{none}"), &[], 404, "MANIFEST_UNKNOWN"),
        (&format!("/v2/team/demo/blobs/sha256:{none}"), &[], 404, "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", &[], 404, "NAME_UNKNOWN"),
        ("/v2/team/demo/", &[], 404, "NAME_UNKNOWN"),
        ("/v2/team/demo/blobs/", &[], 404, "NAME_UNKNOWN"),
        ("/secret", &[], 404, "NAME_UNKNOWN"),
        ("/.ctr/lock", &[], 404, "NAME_UNKNOWN"),
        ("/v2/../secret", &["--path-as-is"], 404, "NAME_UNKNOWN"),
        ("/v2/team/demo/manifests/..%2f..%2f..%2f..%2fsecret", &["--path-as-is"], 404, "UNKNOWN"),
        ("/v2/team/demo/blobs/uploads/", &["-XPOST"], 405, "UNSUPPORTED"),
        ("/v2/team/demo/manifests/single", &["-XPUT", "-d", "{}"], 405, "UNSUPPORTED"),
        ("/v2/team/demo/manifests/single", &["-XDELETE"], 405, "UNSUPPORTED"),
    ] {
        let (found, head, body) = ask(&format!("{}{path}", nginx.origin()), args);
        assert_eq!(found, status, "{path}: {body}");
        assert!(head.contains("content-type: application/json"), "{path}: {head}");
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        assert!(body["errors"][0]["code"].as_str().unwrap().ends_with(code), "{path}: {body}");
    }
}

/// The digest of the image that a layout got.
fn copied(layout: &Path) -> String {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn skopeo_copies_from_nginx() {
    // spec: REG-61
    need!("nginx", "skopeo");
    let site = Site::new();
    let nginx = serve(&site.tree());
    for (number, (reference, args, expected)) in [
        ("team/demo:single".to_owned(), &[][..], &site.single),
        ("team/demo:multi".to_owned(), &[], &site.single),
        ("team/demo:multi".to_owned(), &["--all"], &site.multi),
        (format!("team/demo@{}", site.multi), &["--all"], &site.multi),
    ]
    .into_iter()
    .enumerate()
    {
        let target = site.root.file(&format!("copy{number}"));
        let args: Vec<&str> = ["--src-tls-verify=false", "--preserve-digests"].iter().chain(args).copied().collect();
        let from = format!("docker://{}", nginx.name(&reference));
        images::skopeo_copy(&args, &from, &format!("oci:{}:x", target.display()));
        assert_eq!(&copied(&target), expected, "{reference}");
    }
    let tags = Cmd::new("skopeo").args(["list-tags", "--tls-verify=false"]);
    let tags = tags.arg(format!("docker://{}", nginx.name("team/demo"))).ok();
    assert_eq!(serde_json::from_str::<Value>(&tags).unwrap()["Tags"], json!(["docker", "multi", "single"]));
}

#[test]
fn podman_pulls_from_nginx() {
    // spec: REG-61
    need!(root, "nginx", "podman");
    let site = Site::new();
    let nginx = serve(&site.tree());
    let storage = site.root.file("podman").display().to_string();
    let podman = |args: &[&str]| {
        let own = ["--root", &storage, "--runroot", &format!("{storage}-run"), "--storage-driver", "vfs"];
        Cmd::new("podman").args(own).args(args.iter().copied()).ok()
    };
    for reference in ["single", "multi", "docker"] {
        let name = nginx.name(&format!("team/demo:{reference}"));
        let id = podman(&["pull", "-q", "--tls-verify=false", &name]);
        let tree = podman(&["image", "inspect", "--format", "{{.Architecture}} {{.Config.Cmd}}", &id]);
        assert_eq!(tree, format!("{} [sh -c echo from the image]", architecture()), "{reference}");
    }
}

/// Fetches by every name and digest from a server of the tree.
fn fetch_all(site: &Site, host: &str) {
    for (reference, expected) in [
        (":single".to_owned(), &site.single),
        (":multi".to_owned(), &site.single),
        (":docker".to_owned(), &site.docker),
        (format!("@{}", site.single), &site.single),
        (format!("@{}", site.multi), &site.single),
    ] {
        let root = Root::new();
        let line = root.ctr("fetch").args(["-q", &format!("{host}/team/demo{reference}")]).ok();
        assert_eq!(line.split(' ').next_back().unwrap(), expected, "{reference}");
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    }
}

#[test]
fn ctr_fetches_from_nginx() {
    // spec: REG-61
    need!("nginx");
    let site = Site::new();
    let nginx = serve(&site.tree());
    fetch_all(&site, &nginx.host());
}

#[test]
fn ctr_fetches_from_servers_that_know_nothing_of_registries() {
    // spec: REG-64
    need!("nginx", "python3");
    let site = Site::new();
    let python = FileServer::start(&site.tree());
    fetch_all(&site, &python.host());
    assert!(!python.log().contains("GET /v2/ "), "no question whether it is a registry: {}", python.log());
    let plain = Nginx::start(&site.tree(), "");
    fetch_all(&site, &plain.host());
}

#[test]
fn the_configuration_is_printed() {
    // spec: REG-62
    let root = Root::new();
    let tree = root.file("tree");
    let print = |args: &[&str]| root.ctr("push").args(["static", "--nginx"]).arg(&tree).args(args.iter().copied());
    let text = print(&["--listen", "127.0.0.1:5000", "--server-name", "registry.example.com"]).ok();
    assert!(text.contains("listen 127.0.0.1:5000;") && text.contains("server_name registry.example.com;"), "{text}");
    assert!(text.contains(&format!("root \"{}\";", tree.display())), "{text}");
    assert!(!tree.exists(), "nothing is made");
    print(&["--listen", "80; include /etc/passwd"]).fails(1);
    root.ctr("push").args(["other", "--nginx"]).arg(&tree).fails(2);
    root.ctr("push").args(["static", "--listen", "80"]).arg(&tree).fails(2);
}

#[test]
fn a_tag_is_removed_with_what_only_it_needs() {
    // spec: REG-67
    let site = Site::new();
    let remove = |name: &str| site.root.ctr("push").args(["static", "--remove", name]).arg(site.tree());
    let gone: Value = serde_json::from_str(&remove("team/demo:multi").args(["--format", "json"]).ok()).unwrap();
    schema::check("static-removed.json", &gone);
    // The index and the image of the other platform; `single` needs the rest.
    assert_eq!((&gone["tags"], &gone["manifests"]), (&json!(["multi"]), &json!(2)));
    assert!(site.repository().join("manifests/single").exists() && !site.repository().join("indexes/multi").exists());
    remove("team/demo:multi").fails(1).says("has no team/demo:multi");
    remove("team/demo").fails(2).says("has no tag");
    remove("../demo:single").fails(2);
    assert_eq!(remove(&format!("team/demo@{}", site.single)).ok(), "team/demo:single");
    assert!(!site.repository().join("manifests").join(&site.single).exists());
    site.root.ctr("push").args(["static", "--remove", "a:1", "/none"]).fails(1).says("has no static registry");
}

#[test]
fn a_push_that_is_killed_leaves_what_was_served() {
    // spec: REG-63, REG-66
    let root = Root::new();
    let (old, new) = (root.fetch(&images::tiny(), "old"), root.fetch(&images::busybox(), "new"));
    let target = format!("static:{}:app:1", root.file("tree").display());
    let push = |image: &str| root.ctr("push").args(["-q", image, &target]);
    let tag = root.file("tree/v2/app/manifests/1");
    let mut killed = 0;
    for step in 0..12_u64 {
        std::fs::remove_dir_all(root.file("tree")).ok();
        push("old").ok();
        let mut child = push("new").command();
        child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = child.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(step * 4));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        let served = digest(&std::fs::read(&tag).unwrap());
        assert!(served == old || served == new, "{served}");
        let manifest: Value = serde_json::from_slice(&std::fs::read(&tag).unwrap()).unwrap();
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let name = blob["digest"].as_str().unwrap();
            let bytes = std::fs::read(root.file("tree/v2/app/blobs").join(name)).unwrap();
            assert_eq!(digest(&bytes), name, "what a tag leads to is whole");
        }
        push("new").ok();
        assert_eq!(digest(&std::fs::read(&tag).unwrap()), new);
        assert_eq!(ctr_tests::scratch::names(&root.file("tree/.ctr/new")), Vec::<String>::new());
    }
    assert!(killed > 0, "none was killed before its end");
}
