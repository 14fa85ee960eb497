//! Images of web servers that are no registries: layouts, discovery by the domain, appc discovery.

use std::fs;

use ctr_tests::oci::{INDEX, Layer, Layout, architecture};
use ctr_tests::scratch::{Root, names};
use ctr_tests::servers::{FileServer, Nginx};
use ctr_tests::static_tree::publish;
use ctr_tests::tarball::Tar;
use ctr_tests::{images, need, schema, store_check};
use serde_json::{Value, json};

/// A directory with the layout `images/demo`: `single`, `multi`, and one that pretends to be another's.
struct Site {
    root: Root,
    layout: Layout,
    single: Value,
    multi: Value,
}

impl Site {
    fn new() -> Self {
        let root = Root::new();
        let mut layout = Layout::new(&root.file("site/images/demo"));
        let single = layout.image(&images::busybox_config(), &[Layer::plain(images::busybox_tree().finish())]);
        let mut entry = single.clone();
        entry["platform"] = json!({ "os": "linux", "architecture": architecture() });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let multi = layout.blob(INDEX, index.to_string().as_bytes());
        layout.tag("single", &single);
        layout.tag("multi", &multi);
        layout.tag("docker.io/library/debian:12", &single);
        Self { root, layout, single, multi }
    }

    fn digest(&self) -> &str {
        self.single["digest"].as_str().unwrap()
    }

    /// Fetches what is there and asserts that it came as `name`.
    fn fetched(&self, args: &[&str], name: &str) {
        let root = Root::new();
        let line = root.ctr("fetch").args(["-q"]).args(args.iter().copied()).ok();
        assert_eq!(line, format!("{name} {}", self.digest()), "{args:?}");
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
        assert_eq!(names(&root.store().join("refs")).len(), 1);
    }
}

#[test]
fn layouts_of_any_web_server_are_fetched() {
    // spec: REG-95, REG-96
    need!("nginx", "python3");
    let site = Site::new();
    let (nginx, python) = (Nginx::start(&site.root.file("site"), ""), FileServer::start(&site.root.file("site")));
    for host in [nginx.host(), python.host()] {
        let at = |end: &str| format!("oci+http://{host}/images/demo{end}");
        site.fetched(&[&at(":single")], &format!("{host}/images/demo:single"));
        site.fetched(&[&at("/:multi")], &format!("{host}/images/demo:multi"));
        let by_digest = format!("@{}", site.multi["digest"].as_str().unwrap());
        site.fetched(&[&at(&by_digest)], &format!("{host}/images/demo{by_digest}"));
        site.fetched(&[&at(":single"), "--name", "box"], "docker.io/library/box:latest");
    }
}

#[test]
fn a_layout_gives_no_names_of_others() {
    // spec: REG-96
    need!("python3");
    let site = Site::new();
    let python = FileServer::start(&site.root.file("site"));
    let root = Root::new();
    let done = root.ctr("fetch").arg(format!("oci+http://{}/images/demo", python.host())).fails(1);
    assert!(done.stderr.contains("holds 3 images"), "{done}");
    let mut other = Layout::new(&site.root.file("site/other"));
    let image = other.image(&json!({}), &[Layer::plain(Tar::new().file("a", 0o644, "a").finish())]);
    other.tag("docker.io/library/debian:12", &image);
    let line = root.ctr("fetch").args(["-q", &format!("oci+http://{}/other", python.host())]).ok();
    assert!(line.starts_with(&format!("{}/other:latest ", python.host())), "{line}");
    assert_eq!(store_check::refs(&root.store()).len(), 1);
}

#[test]
fn layouts_that_are_damaged_or_not_there_are_refused() {
    // spec: REG-95, REG-97
    need!("python3");
    let site = Site::new();
    let python = FileServer::start(&site.root.file("site"));
    let fetch = |source: String| Root::new().ctr("fetch").args(["--retries", "0", &source]).fails(1);
    fetch(format!("oci+http://{}/none", python.host())).says("has no file oci-layout");
    fetch(format!("oci+http://{}/images/demo:none", python.host())).says("has no image \"none\"");
    // Not this machine: nobody is asked.
    fetch("oci+http://192.0.2.1/images/demo:single".to_owned()).says("without TLS");
    let manifest: Value = serde_json::from_slice(&fs::read(site.layout.blob_path(site.digest())).unwrap()).unwrap();
    let layer = site.layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, &bytes).unwrap();
    let root = Root::new();
    let source = format!("oci+http://{}/images/demo:single", python.host());
    let done = root.ctr("fetch").args(["--retries", "0", &source]).fails(1);
    assert!(done.stderr.contains("digest"), "{done}");
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    assert_eq!(names(&root.store().join("refs")), Vec::<String>::new());
}

#[test]
fn a_domain_says_where_its_images_are() {
    // spec: REG-98, REG-99, REG-100
    need!("nginx");
    let site = Site::new();
    let (web, tree) = (site.root.file("site"), site.root.file("tree"));
    publish(&tree, &site.layout.dir, "single", "hidden/demo");
    let (nginx, registry) = (Nginx::start(&web, ""), Nginx::start(&tree, ""));
    let domain = nginx.host();
    let document = |domain: &str| {
        let images = json!([
            { "prefix": format!("{domain}/layouts"), "layout": format!("oci+http://{}/images", nginx.host()) },
            { "prefix": format!("{domain}/team"), "registry": format!("{}/hidden", registry.host()) },
        ]);
        let text = json!({ "version": 1, "domain": domain, "images": images });
        schema::check("discovery.json", &text);
        let text = text.to_string();
        fs::create_dir_all(web.join(".well-known")).unwrap();
        fs::write(web.join(".well-known/ctr-discovery.json"), text).unwrap();
    };
    document(&domain);
    for name in ["team/demo:single", "layouts/demo:single"] {
        let name = format!("{domain}/{name}");
        site.fetched(&[&format!("discover:{name}")], &name);
    }
    let fetch = |source: String| Root::new().ctr("fetch").args(["--retries", "0", &source]).fails(1);
    fetch(format!("discover:{domain}/nowhere/demo:1")).says("has no prefix");
    // A name without "discover:" asks its registry and nobody else.
    let asked = || nginx.access().matches("ctr-discovery.json").count();
    let before = asked();
    fetch(format!("{domain}/team/demo:single"));
    assert_eq!(asked(), before);
    document("example.com");
    fetch(format!("discover:{domain}/team/demo:single")).says("is not the one that was asked");
    fs::remove_file(web.join(".well-known/ctr-discovery.json")).unwrap();
    fetch(format!("discover:{domain}/team/demo:single")).says("which would say where");
}

/// An appc image of this name.
fn aci(name: &str) -> Vec<u8> {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "labels": [{ "name": "version", "value": "1.0" }, { "name": "os", "value": "linux" }, { "name": "arch", "value": architecture() }],
        "app": { "exec": ["/a"], "user": "0", "group": "0" },
    });
    let tree = Tar::new().file("manifest", 0o644, manifest.to_string()).dir("rootfs", 0o755);
    tree.file("rootfs/a", 0o755, "a").finish()
}

#[test]
fn appc_images_are_found_by_meta_tags() {
    // spec: REG-101, REG-102
    need!("nginx");
    let root = Root::new();
    let web = root.file("site");
    fs::create_dir_all(web.join("acis")).unwrap();
    let nginx = Nginx::start(&web, "index index.html;");
    let host = format!("localhost:{}", nginx.port());
    let tag = |content: &str| format!("<html><head><meta name=\"ac-discovery\" content=\"{content}\"></head></html>");
    // Only the page of the domain says it: team/app and team have none.
    let template = format!("{host} http://{host}/acis/{{version}}-{{os}}.{{ext}}");
    fs::write(web.join("index.html"), tag(&template)).unwrap();
    fs::write(web.join("acis/1.0-linux.aci"), aci("localhost/team/app")).unwrap();
    fs::write(web.join("acis/2.0-linux.aci"), aci("localhost/other")).unwrap();
    let fetch = |name: &str| {
        root.ctr("fetch").args(["--retries", "0", "--insecure-no-signature", &format!("aci://{host}/{name}")])
    };
    let before = nginx.access();
    let refused = root.ctr("fetch").arg(format!("aci://{host}/team/app:1.0")).fails(1);
    refused.says("signatures").says("--insecure-no-signature");
    assert_eq!(nginx.access(), before, "nobody was asked");
    let line = fetch("team/app:1.0").ok();
    assert!(line.starts_with("localhost/team/app:1.0 sha256:"), "{line}");
    fetch("team/app:2.0").fails(1).says("called as it was asked for");
    fetch("team/app:3.0").fails(1).says("where its pages say it is");
    fs::write(web.join("index.html"), tag("example.com https://example.com/{name}.{ext}")).unwrap();
    fetch("team/app:1.0").fails(1).says("page that says where");
    fs::write(web.join("index.html"), tag(&format!("{host} http://192.0.2.1/{{name}}.{{ext}}"))).unwrap();
    fetch("team/app:1.0").fails(1).says("has no TLS");
    assert_eq!(store_check::refs(&root.store()).len(), 1);
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}
