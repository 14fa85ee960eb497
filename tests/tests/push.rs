//! `ctr-push`: what registries and other tools get. The registry is Debian's docker-registry, other readers are skopeo and podman.

use std::fs;

use ctr_tests::faults::{Registry, Server, sample};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{DockerRegistry, Login, RunningRegistry, TokenServer};
use ctr_tests::{images, need, oci, schema};
use serde_json::{Value, json};

fn push(root: &Root, args: &[&str]) -> Value {
    let done = root.ctr("push").args(["--format", "json"]).args(args).ok();
    schema::check_text("pushed.json", &done);
    serde_json::from_str(&done).unwrap()
}

/// What a registry has under a name, byte for byte.
fn raw(name: &str) -> String {
    Cmd::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]).ok()
}

/// How often each method came since the log had so many lines.
fn methods(registry: &RunningRegistry, method: &str) -> usize {
    registry.log().matches(&format!("\"{method} /v2/")).count()
}

fn outcomes(pushed: &Value, list: &str) -> Vec<String> {
    pushed[list].as_array().unwrap().iter().map(|part| part["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_image_arrives_as_it_is_and_is_sent_once() {
    // spec: REG-70, REG-71, REG-72, CLI-150, CLI-151
    let (root, registry) = (Root::new(), DockerRegistry::new().start());
    let digest = root.fetch(&images::busybox(), "busybox");
    let name = registry.name("a/b:1");
    let file = root.file("digest");
    let line = root.ctr("push").arg("--digestfile").arg(&file).args(["busybox", &name]).ok();
    assert_eq!(line, format!("{name} {digest}"));
    assert_eq!(fs::read_to_string(file).unwrap().trim(), digest);
    assert_eq!(oci::digest(raw(&name).as_bytes()), digest);
    let before = (methods(&registry, "POST"), methods(&registry, "PUT"));
    let again = push(&root, &["busybox", &name]);
    assert_eq!(outcomes(&again, "blobs"), ["present", "present"]);
    assert_eq!(outcomes(&again, "manifests"), ["present"]);
    assert_eq!(again["sent"], 0);
    assert_eq!((methods(&registry, "POST"), methods(&registry, "PUT")), before, "{}", registry.log());
    images::skopeo_copy(
        &["--src-tls-verify=false"],
        &format!("docker://{name}"),
        &format!("dir:{}", root.file("out").display()),
    );
    assert_eq!(oci::digest(&fs::read(root.file("out/manifest.json")).unwrap()), digest);
}

/// An index `demo:1` of two images with a signature of the index, as a referrer, and one of the image for this machine, by its
/// tag. Returns the digests of index, image, and referrer.
fn signed_index(server: &Server<Registry>) -> [String; 3] {
    server.site().load("demo", "1", sample().layout());
    let put = |bytes: String| server.site().put("demo", bytes);
    let own = sample().digest().to_owned();
    let architecture = if oci::architecture() == "amd64" { "arm64" } else { "amd64" };
    let config = String::from_utf8(sample().blob(sample().config())).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["architecture"] = json!(architecture);
    let config = config.to_string();
    let mut other = sample().manifest().clone();
    other["config"]["size"] = json!(config.len());
    other["config"]["digest"] = json!(put(config));
    let other = other.to_string();
    let size = sample().blob(&own).len();
    let entry = |digest: &str, size: usize, architecture: &str| json!({"mediaType": oci::MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}});
    let entries = [entry(&own, size, oci::architecture()), entry(&put(other.clone()), other.len(), architecture)];
    let index = json!({"schemaVersion": 2, "mediaType": oci::INDEX, "manifests": entries}).to_string();
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": put("{}".to_owned()), "size": 2});
    let layer = json!({"mediaType": "text/plain", "digest": put("signature".to_owned()), "size": 9});
    let mut artifact = json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "artifactType": "example/signature", "config": empty,
        "layers": [layer], "annotations": {"a": "b"}});
    let by_tag = put(artifact.to_string());
    artifact["subject"] =
        json!({"mediaType": oci::INDEX, "digest": oci::digest(index.as_bytes()), "size": index.len()});
    let referrer = put(artifact.to_string());
    server.site().tag("demo", &format!("{}.sig", own.replace(':', "-")), &by_tag);
    let index = put(index);
    server.site().tag("demo", "1", &index);
    [index, own, referrer]
}

#[test]
fn an_index_arrives_whole_with_what_refers_to_it() {
    // spec: REG-73, REG-74, REG-75
    let (root, source, target) = (Root::new(), Server::start(Registry::new()), Server::start(Registry::new()));
    let [index, image, referrer] = signed_index(&source);
    let name = source.name("demo:1");
    root.ctr("fetch").args(["--all-platforms", &name]).ok();
    let pushed = push(&root, &[&name, &target.name("x/y:1")]);
    assert_eq!((pushed["digest"].as_str(), pushed["images"].as_u64()), (Some(index.as_str()), Some(2)));
    let has = |reference: &str| target.site().manifest("x/y", reference) == source.site().manifest("demo", reference);
    assert_eq!(target.site().tagged("x/y", "1"), Some(index.clone()));
    assert!(has(&index) && has(&image) && has(&referrer));
    assert_eq!(target.site().referrers("x/y", &index), source.site().referrers("demo", &index));
    let signature = format!("{}.sig", image.replace(':', "-"));
    assert_eq!(target.site().tagged("x/y", &signature), source.site().tagged("demo", &signature));
    assert_eq!(target.site().tags("x/y").len(), 2, "this registry has the API: there is no tag in its place");
    // Nothing is named before it is whole: children, then referrers, then the index.
    let puts: Vec<String> = target.seen_of("PUT", "manifests").iter().map(|seen| seen.request.target.clone()).collect();
    assert!(puts.last().unwrap().ends_with("manifests/1"), "{puts:?}");
    assert_eq!(target.seen_of("PUT", "blobs").len(), pushed["blobs"].as_array().unwrap().len());
    let before = target.seen_of("PUT", "").len() + target.seen_of("POST", "").len();
    push(&root, &[&name, &target.name("x/y:1")]);
    assert_eq!(target.seen_of("PUT", "").len() + target.seen_of("POST", "").len(), before, "{:?}", target.log());
}

#[test]
fn old_registries_list_referrers_under_a_tag() {
    // spec: REG-75
    let (root, source, registry) = (Root::new(), Server::start(Registry::new()), DockerRegistry::new().start());
    let [index, image, referrer] = signed_index(&source);
    let (from, name) = (source.name("demo:1"), registry.name("x/y:1"));
    root.ctr("fetch").args(["--all-platforms", &from]).ok();
    push(&root, &[&from, &name]);
    let list = |digest: &str, end: &str| raw(&format!("{}:{}{end}", registry.name("x/y"), digest.replace(':', "-")));
    let listed: Value = serde_json::from_str(&list(&index, "")).unwrap();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1, "{listed}");
    let line = &listed["manifests"][0];
    assert_eq!(
        (line["digest"].as_str(), line["artifactType"].as_str()),
        (Some(referrer.as_str()), Some("example/signature"))
    );
    assert_eq!(line["annotations"]["a"], "b");
    assert_eq!(oci::digest(raw(&name).as_bytes()), index);
    assert!(list(&image, ".sig").contains("example/signature"));
    let before = methods(&registry, "PUT");
    push(&root, &[&from, &name]);
    assert_eq!(methods(&registry, "PUT"), before, "{}", registry.log());
    // What was pushed comes back as it was, referrers too.
    let other = Root::new();
    other.ctr("fetch").args(["--all-platforms", &name]).ok();
    let again = Server::start(Registry::new());
    push(&other, &[&name, &again.name("z:1")]);
    assert_eq!(again.site().manifest("z", &referrer), source.site().manifest("demo", &referrer));
    assert_eq!(again.site().tagged("z", "1"), Some(index));
}

#[test]
fn images_of_an_index_are_chosen() {
    // spec: REG-73
    let (root, source, target) = (Root::new(), Server::start(Registry::new()), Server::start(Registry::new()));
    let [index, image, _] = signed_index(&source);
    let name = source.name("demo:1");
    let digest = |args: &[&str], to: &str| {
        push(&root, &[&[name.as_str(), &target.name(to)], args].concat())["digest"].as_str().unwrap().to_owned()
    };
    root.ctr("fetch").arg(&name).ok();
    let done = root.ctr("push").args([&name, &target.name("a:1")]).run();
    assert!(done.code == 0 && done.stderr.contains("--all-platforms"), "{done}");
    assert_eq!(target.site().tagged("a", "1"), Some(image.clone()));
    let done = root.ctr("push").args(["--all-platforms", &name, &target.name("b:1")]).fails(1);
    assert!(done.stderr.contains("ctr-fetch --all-platforms"), "{done}");
    root.ctr("fetch").args(["--all-platforms", &name]).ok();
    assert_eq!(digest(&["--only-image"], "c:1"), image);
    assert_eq!(digest(&["--platform", &format!("linux/{}", oci::architecture())], "d:1"), image);
    assert_eq!(digest(&["--no-referrers"], "e:1"), index);
    assert_eq!(target.site().tags("e"), ["1"]);
    let done = root.ctr("push").args(["--platform", "linux/s390x", &name, &target.name("f:1")]).fails(1);
    assert!(done.stderr.contains("s390x"), "{done}");
}

#[test]
fn blobs_of_the_same_registry_are_mounted() {
    // spec: REG-76
    let (tokens, root) = (TokenServer::start("bob", "secret"), Root::new());
    let registry = DockerRegistry::new().login(Login::Token(&tokens)).start();
    let file = root
        .write("auth.json", json!({"auths": {registry.host(): {"username": "bob", "password": "secret"}}}).to_string());
    let login = ["--authfile", file.to_str().unwrap()];
    root.fetch(&images::busybox(), "busybox");
    let (first, second) = (registry.name("a/b:1"), registry.name("c/d:1"));
    let pushed = push(&root, &[&login[..], &["busybox", &first]].concat());
    assert_eq!(outcomes(&pushed, "blobs"), ["uploaded", "uploaded"]);
    root.ctr("image").args(["tag", "busybox", &first]).ok();
    let pushed = push(&root, &[&login[..], &["busybox", &second]].concat());
    assert_eq!(outcomes(&pushed, "blobs"), ["mounted", "mounted"], "{}", registry.log());
    assert_eq!(pushed["sent"], 0);
}

#[test]
fn who_may_not_push_is_told_why() {
    let (root, registry) = (Root::new(), DockerRegistry::new().login(Login::Basic("bob", "secret")).start());
    root.fetch(&images::busybox(), "busybox");
    let name = registry.name("a/b:1");
    let done = root.ctr("push").env("HOME", root.path()).args(["busybox", &name]).fails(1);
    assert!(done.stderr.contains("ctr-login"), "{done}");
    let auth = |password: &str| {
        let auth = json!({"auths": {registry.host(): {"username": "bob", "password": password}}});
        root.write("auth.json", auth.to_string()).display().to_string()
    };
    let done = root.ctr("push").args(["--authfile", &auth("wrongpw"), "busybox", &name]).fails(1);
    assert!(done.stderr.contains("auth.json") && !done.stderr.contains("wrongpw"), "{done}");
    root.ctr("push").args(["--authfile", &auth("secret"), "busybox", &name]).ok();
}

#[test]
fn podman_pulls_what_was_pushed() {
    need!(root, "podman");
    let (root, registry) = (Root::new(), DockerRegistry::new().start());
    let digest = root.fetch(&images::busybox(), "busybox");
    let name = registry.name("a/b:1");
    root.ctr("push").args(["busybox", &name]).ok();
    let storage = root.file("podman").display().to_string();
    let run = root.file("podman-run").display().to_string();
    let podman = |args: &[&str]| {
        let own = ["--root", &storage, "--runroot", &run, "--storage-driver", "vfs"];
        Cmd::new("podman").args(own).args(args).ok()
    };
    podman(&["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(podman(&["image", "inspect", "--format", "{{.Digest}}", &name]), digest);
}

#[test]
fn a_store_without_the_compressed_layer_says_so() {
    // spec: REG-77
    let (root, server) = (Root::new(), Server::start(Registry::new()));
    root.fetch(sample().layout().to_str().unwrap(), "demo:1");
    let layer = root.store().join("blobs").join(sample().big().replace(':', "/"));
    let bytes = fs::read(&layer).unwrap();
    fs::remove_file(&layer).unwrap();
    let done = root.ctr("push").args(["demo:1", &server.name("demo:1")]).fails(1);
    assert!(done.stderr.contains(sample().big()) && done.stderr.contains("ctr-fetch demo:1"), "{done}");
    assert_eq!(server.seen().len(), 0);
    // One that is damaged is noticed while it is sent, and nothing gets the name.
    let mut bad = bytes;
    bad[1000] ^= 1;
    fs::write(&layer, bad).unwrap();
    let done = root.ctr("push").args(["demo:1", &server.name("demo:1")]).fails(1);
    assert!(done.stderr.contains("damaged"), "{done}");
    assert_eq!(server.site().tags("demo").len(), 0);
    assert_eq!(server.site().open_uploads(), 0, "{:?}", server.log());
    // Layers need not be unpacked.
    let other = Root::new();
    other.fetch(sample().layout().to_str().unwrap(), "demo:1");
    fs::remove_dir_all(other.store().join("layers")).unwrap();
    other.ctr("push").args(["demo:1", &server.name("demo:1")]).ok();
}

#[test]
fn files_and_directories_are_read_by_others() {
    // spec: CLI-152
    let (root, source) = (Root::new(), Server::start(Registry::new()));
    let [index, image, _] = signed_index(&source);
    let name = source.name("demo:1");
    root.ctr("fetch").args(["--all-platforms", &name]).ok();
    let inspect = |place: &str| Cmd::new("skopeo").args(["inspect", "--raw", place]).ok();
    for (to, expected) in [
        ("oci-archive:x.tar:demo", &index),
        ("oci:dir:demo", &index),
        ("docker-archive:d.tar", &image),
        ("x.aci", &image),
    ] {
        let line = root.ctr("push").dir(root.file(".")).args([name.as_str(), to]).ok();
        assert_eq!(line.split_whitespace().last(), Some(expected.as_str()), "{to}");
    }
    for place in ["oci-archive:x.tar:demo", "oci:dir:demo"] {
        let (kind, rest) = place.split_once(':').unwrap();
        assert_eq!(oci::digest(inspect(&format!("{kind}:{}", root.file(rest).display())).as_bytes()), index, "{place}");
    }
    let config = inspect(&format!("docker-archive:{}", root.file("d.tar").display()));
    assert!(config.contains(sample().config()), "{config}");
    assert_eq!(oci::digest(inspect(&format!("oci-archive:{}", root.file("x.aci").display())).as_bytes()), image);
}

#[test]
fn a_directory_becomes_a_registry() {
    // spec: REG-60
    let (root, source) = (Root::new(), Server::start(Registry::new()));
    let [index, _, referrer] = signed_index(&source);
    let name = source.name("demo:1");
    root.ctr("fetch").args(["--all-platforms", &name]).ok();
    let tree = root.file("srv");
    let pushed = push(&root, &[&name, &format!("static:{}:team/app:2", tree.display())]);
    assert_eq!(pushed["digest"], json!(index));
    let at = |path: &str| fs::read(tree.join("v2/team/app").join(path)).unwrap();
    assert_eq!(oci::digest(&at("manifests/2")), index);
    assert!(String::from_utf8(at(&format!("referrers/{index}"))).unwrap().contains(&referrer));
    assert_eq!(push(&root, &[&name, &format!("static:{}:team/app:2", tree.display())])["sent"], 0);
}
