//! Names: registries.conf, tags and digests, lock files, `--pull`. The registry is the one of `ctr_tests::faults`.

use std::fs;
use std::path::PathBuf;

use ctr_tests::faults::{On, Registry, Server, sample};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{need, oci, schema, store_check};
use serde_json::{Value, json};

/// A registry with the sample as `demo:1`.
fn server() -> Server {
    Server::start(Registry::with("demo", "1", sample().layout()))
}

/// `ctr-fetch` that sees this registries.conf and nothing of the machine's.
fn fetch(root: &Root, config: &str) -> Cmd {
    let path = root.write("registries.conf", config);
    root.ctr("fetch").env("CONTAINERS_REGISTRIES_CONF", path).env("HOME", root.file("home"))
}

fn refs(root: &Root) -> Vec<(String, String)> {
    store_check::refs(&root.store()).into_iter().collect()
}

/// An index of the sample, an image for another platform, and an attestation. Returns its digest.
fn put_index(server: &Server) -> String {
    let entry = |digest: &str, size: usize, os: &str, architecture: &str| json!({"mediaType": oci::MANIFEST, "digest": digest, "size": size, "platform": {"os": os, "architecture": architecture}});
    let size = sample().blob(sample().digest()).len();
    let other = format!("sha256:{}", "5".repeat(64));
    let own = oci::architecture();
    let foreign = if own == "amd64" { "arm64" } else { "amd64" };
    let entries = [
        entry(&other, 100, "linux", foreign),
        entry(sample().digest(), size, "linux", own),
        entry(&other, 100, "unknown", "unknown"),
    ];
    let index = json!({"schemaVersion": 2, "mediaType": oci::INDEX, "manifests": entries}).to_string();
    server.site().put("demo", index)
}

/// Another image as `demo:1`: the tag has moved. Returns its digest.
fn move_tag(server: &Server) -> String {
    let mut manifest = sample().manifest().clone();
    manifest["annotations"] = json!({"moved": "yes"});
    let digest = server.site().put("demo", manifest.to_string());
    server.site().tag("demo", "1", &digest);
    digest
}

#[test]
fn mirrors_are_asked_as_registries_conf_says() {
    // spec: REG-40, REG-41, REG-42
    let (root, mirror, own) = (Root::new(), server(), server());
    let config = format!(
        "[[registry]]\nprefix = 'example.com/team'\nlocation = '{own}'\n\
         [[registry.mirror]]\nlocation = '127.0.0.1:1'\n\
         [[registry.mirror]]\nlocation = '{mirror}'\npull-from-mirror = 'digest-only'\n",
        own = own.host(),
        mirror = mirror.host()
    );
    let done = fetch(&root, &config).args(["--retries", "0", "example.com/team/demo:1"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(done.stdout, format!("example.com/team/demo:1 {}\n", sample().digest()));
    assert!(done.stderr.contains("mirror"), "{done}");
    assert_eq!(own.seen_of("GET", "manifests/1").len(), 1);
    assert_eq!(mirror.seen_of("GET", "manifests/1").len(), 0, "a digest-only mirror says nothing of tags");
    assert_eq!(refs(&root), [("example.com/team/demo:1".to_owned(), sample().digest().to_owned())]);
    let (root, asked) = (Root::new(), own.seen().len());
    let name = format!("example.com/team/demo@{}", sample().digest());
    fetch(&root, &config).args(["--retries", "0", &name]).ok();
    assert!(mirror.sent("blobs") > 0, "{:?}", mirror.log());
    assert_eq!(own.seen().len(), asked, "the mirror had it all");
}

#[test]
fn a_blocked_name_is_not_asked_for() {
    // spec: REG-46
    let (root, server) = (Root::new(), server());
    let config = format!("[[registry]]\nprefix = '{}'\nblocked = true\n", server.host());
    let done = fetch(&root, &config).arg(server.name("demo:1")).fails(1);
    assert!(done.stderr.contains("blocked") && done.stderr.contains("registries.conf"), "{done}");
    assert_eq!(server.log(), [""; 0]);
    for (config, text) in
        [("[[registry]]\nblocked = 1\nprefix = 'a.b'", "registry[1].blocked"), ("[registries.block]\n", "version 1")]
    {
        let done = fetch(&root, config).arg(server.name("demo:1")).fails(1);
        assert!(done.stderr.contains(text) && done.stderr.contains("hint: "), "{done}");
    }
    assert_eq!(server.log(), [""; 0]);
    // What is no name does not need the file.
    fetch(&root, "[").args([&format!("oci:{}", sample().layout().display()), "--name", "x"]).ok();
}

#[test]
fn short_names_are_told_and_never_guessed() {
    // spec: REG-44, REG-45
    let (root, server) = (Root::new(), server());
    let host = server.host();
    let docker = format!("[[registry]]\nprefix = 'docker.io/library'\nlocation = '{host}'\n");
    let done = fetch(&root, &docker).arg("demo:1").run();
    assert_eq!(done.stdout, format!("docker.io/library/demo:1 {}\n", sample().digest()), "{done}");
    assert!(done.stderr.contains("demo:1 is docker.io/library/demo:1"), "{done}");
    let alias = format!("{docker}[aliases]\n'short' = '{host}/demo'\n");
    let done = fetch(&root, &alias).arg("short:1").run();
    assert_eq!(done.stdout, format!("{host}/demo:1 {}\n", sample().digest()), "{done}");
    let asked = server.seen().len();
    let two = format!("unqualified-search-registries = ['{host}', 'docker.io']\n{docker}");
    let done = fetch(&root, &two).arg("demo:1").fails(1);
    assert!(done.stderr.contains(&format!("{host}/demo:1 or docker.io/library/demo:1")), "{done}");
    assert_eq!(server.seen().len(), asked);
    let both =
        format!("short-name-mode = 'disabled'\nunqualified-search-registries = ['{host}/no', 'docker.io']\n{docker}");
    assert!(fetch(&root, &both).arg("demo:1").ok().starts_with("docker.io/library/demo:1 "));
}

#[test]
fn unknown_keys_are_warned_of_once() {
    // spec: REG-46
    let (root, server) = (Root::new(), server());
    let done = fetch(&root, "[[registry]]\nprefix = 'a.b'\nbloked = true\n")
        .args([server.name("demo:1"), server.name("demo:1")])
        .run();
    assert_eq!((done.code, done.stderr.matches("unknown key registry[1].bloked").count()), (0, 1), "{done}");
}

#[test]
fn a_lock_file_brings_the_same_image_again() {
    // spec: REG-50 to REG-52, REG-54
    let (root, server) = (Root::new(), server());
    let index = put_index(&server);
    server.site().tag("demo", "multi", &index);
    let lock = root.file("images.lock").display().to_string();
    let names = [server.name("demo:multi"), server.name("demo:1")];
    fetch(&root, "").args(["--lock", &lock]).args(names.clone()).ok();
    let text = fs::read_to_string(&lock).unwrap();
    schema::check_text("lock.json", &text);
    let written: Value = serde_json::from_str(&text).unwrap();
    let platform = format!("linux/{}", oci::architecture());
    let entry = |name: &str, index: Value| json!({"name": name, "index": index, "manifest": sample().digest(), "platform": platform});
    assert_eq!(written["images"], json!([entry(&names[1], Value::Null), entry(&names[0], json!(index))]));

    let moved = move_tag(&server);
    server.site().tag("demo", "multi", &moved);
    // Elsewhere, by digest, with the names that were locked.
    let other = Root::new();
    fetch(&other, "").args(["--locked", &lock]).ok();
    let expected: Vec<(String, String)> =
        [&names[1], &names[0]].map(|name| (name.clone(), sample().digest().to_owned())).into();
    assert_eq!(refs(&other), expected);
    // Again: nothing has to be asked.
    let asked = server.seen().len();
    fetch(&other, "").args(["--locked", &lock, &names[0]]).ok();
    assert_eq!(server.seen().len(), asked, "{:?}", server.log());
    let done = fetch(&other, "").args(["--locked", &lock, &server.name("demo:2")]).fails(1);
    assert!(done.stderr.contains("demo:2 is not in") && done.stderr.contains("images.lock"), "{done}");
    assert_eq!(server.seen().len(), asked);
    let done = fetch(&other, "").args(["--locked", &lock, "--platform", "linux/s390x", &names[0]]).fails(1);
    assert!(done.stderr.contains(&platform), "{done}");
    // The file anew, by the tags that stand in it.
    fetch(&root, "").args(["--lock", &lock]).ok();
    assert!(fs::read_to_string(&lock).unwrap().contains(&moved));
}

#[test]
fn a_lock_that_fails_leaves_the_old_file() {
    // spec: REG-51
    let (root, server) = (Root::new(), server());
    let lock = root.write("images.lock", "{\"version\":1,\"images\":[]}");
    let names = [server.name("demo:1"), server.name("demo:nowhere")];
    fetch(&root, "").args([PathBuf::from("--lock"), lock.clone()]).args(names).fails(1);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "{\"version\":1,\"images\":[]}");
    let done = fetch(&root, "").args([PathBuf::from("--locked"), lock.clone()]).fails(1);
    assert!(done.stderr.contains("no image"), "{done}");
    let file = format!("oci:{}", sample().layout().display());
    fetch(&root, "").args([PathBuf::from("--lock"), lock, file.into()]).fails(2);
    let asked = server.seen().len();
    let done = fetch(&root, "").args(["--lock", "/proc/images.lock", &server.name("demo:1")]).fails(1);
    assert!(done.stderr.contains("cannot write /proc/images.lock"), "{done}");
    assert_eq!(server.seen().len(), asked, "that was told before anything was fetched");
}

#[test]
fn a_lock_is_not_led_elsewhere_by_an_index() {
    // spec: REG-52
    let (root, server) = (Root::new(), server());
    let index = put_index(&server);
    let moved = move_tag(&server);
    let image = json!({"name": server.name("demo:1"), "index": index, "manifest": moved, "platform": format!("linux/{}", oci::architecture())});
    let lock = root.write("images.lock", json!({"version": 1, "images": [image]}).to_string());
    let done = fetch(&root, "").args([PathBuf::from("--locked"), lock]).fails(1);
    assert!(done.stderr.contains("lock file"), "{done}");
    assert!(refs(&root).is_empty());
}

#[test]
fn a_server_that_knows_no_digests_is_asked_by_tag() {
    // spec: REG-54
    let (root, server) = (Root::new(), server());
    let sample = sample();
    let digest = sample.digest();
    server.on(On::get(format!("manifests/{digest}")), |call| call.ordinary().status(404).body("{}"));
    let name = format!("{}@{digest}", server.name("demo:1"));
    let line = fetch(&root, "").arg(&name).ok();
    assert_eq!(line, format!("{}@{digest} {digest}", server.name("demo")));
    move_tag(&server);
    let other = Root::new();
    fetch(&other, "").arg(&name).fails(1);
    assert!(refs(&other).is_empty());
}

#[test]
fn check_tag_compares_tag_and_digest() {
    // spec: REG-54
    let (root, server) = (Root::new(), server());
    let name = format!("{}@{}", server.name("demo:1"), sample().digest());
    fetch(&root, "").args(["--check-tag", &name]).ok();
    let moved = move_tag(&server);
    let done = fetch(&root, "").args(["--check-tag", &name]).fails(1);
    assert!(done.stderr.contains(&moved) && done.stderr.contains(sample().digest()), "{done}");
    fetch(&root, "").arg(&name).ok();
    fetch(&root, "").args(["--check-tag", &server.name("demo:1")]).fails(2);
}

#[test]
fn pull_says_when_the_registry_is_asked() {
    // spec: REG-55, REG-56
    let (root, server) = (Root::new(), server());
    let name = server.name("demo:1");
    let pull = |pull: &str| fetch(&root, "").args(["--pull", pull, &name]);
    let done = pull("never").fails(1);
    assert!(done.stderr.contains("--pull=never") && server.log().is_empty(), "{done}");
    let line = pull("missing").ok();
    let asked = server.seen().len();
    assert_eq!(pull("missing").ok(), line);
    assert_eq!(pull("never").ok(), line);
    assert_eq!(server.seen().len(), asked, "what is there is not asked for");
    assert_eq!(pull("always").ok(), line);
    assert_eq!(pull("newer").ok(), line);
    let log = server.log();
    assert_eq!(log[asked..], ["HEAD /v2/demo/manifests/1", "HEAD /v2/demo/manifests/1"]);
    let moved = move_tag(&server);
    assert_eq!(pull("missing").ok(), line);
    assert!(pull("newer").ok().ends_with(&moved));
    // Nobody answers any more.
    drop(server);
    pull("always").args(["--retries", "0"]).fails(1);
    let done = pull("newer").args(["--retries", "0"]).run();
    assert!(done.code == 0 && done.stdout.contains(&moved) && done.stderr.contains("it may be old"), "{done}");
}

#[test]
fn an_index_that_has_not_changed_costs_one_head() {
    // spec: REG-56
    let (root, server) = (Root::new(), server());
    let index = put_index(&server);
    server.site().tag("demo", "multi", &index);
    let name = server.name("demo:multi");
    let json = |args: &[&str]| -> Value {
        let text = fetch(&root, "").args(["--format", "json", &name]).args(args.iter().copied()).ok();
        schema::check_text("fetched.json", &text);
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    };
    let first = json(&[]);
    assert_eq!((&first["digest"], &first["index"]), (&json!(sample().digest()), &json!(index)));
    let asked = server.seen().len();
    let second = json(&[]);
    assert_eq!((&second["index"], &second["known"]), (&json!(index), &json!(true)));
    assert_eq!(server.log()[asked..], ["HEAD /v2/demo/manifests/multi"]);
    // The other platform of the same index is not the one that is there.
    fetch(&root, "").args(["--platform", "linux/s390x", &name]).fails(1);
}

/// Where skopeo would ask for a name under this registries.conf, in its order.
fn asked_by_skopeo(root: &Root, config: &str, name: &str) -> Vec<String> {
    let path = root.write("skopeo.conf", config);
    let done = Cmd::new("skopeo")
        .args(["--debug", "--insecure-policy", "--registries-conf"])
        .arg(path)
        .args(["inspect", &format!("docker://{name}")])
        .run();
    let line = |line: &str| Some(line.split_once("Trying to access \\\"")?.1.split_once('\\')?.0.to_owned());
    done.stderr.lines().filter_map(line).collect()
}

/// The same files and names are read by skopeo, and lead to the same servers. Nobody listens on these ports.
#[test]
fn skopeo_asks_the_same_servers() {
    // spec: REG-40 to REG-42
    need!("skopeo");
    let root = Root::new();
    let config = "[[registry]]\nprefix = 'example.com'\nlocation = 'localhost:2/x'\n\
                  [[registry.mirror]]\nlocation = 'localhost:3/m'\n\
                  [[registry.mirror]]\nlocation = 'localhost:4/d'\npull-from-mirror = 'digest-only'\n\
                  [[registry.mirror]]\nlocation = 'localhost:5/t'\npull-from-mirror = 'tag-only'\n\
                  [[registry]]\nprefix = 'example.com/a/long'\nlocation = 'localhost:6'\n\
                  [[registry]]\nprefix = '*.w.example'\nlocation = 'localhost:7/w'\n\
                  [[registry]]\nprefix = 'docker.io/library'\nlocation = 'localhost:8/hub'\n\
                  [[registry]]\nprefix = 'example.com/digests'\nlocation = 'localhost:9'\nmirror-by-digest-only = true\n\
                  [[registry.mirror]]\nlocation = 'localhost:10'\n";
    let registries = ctr_registry::config::Registries::parse(&root.file("x"), config.as_bytes()).unwrap();
    let digest = format!("@sha256:{}", "5".repeat(64));
    let mut mirrored = 0;
    for name in [
        "example.com/a/b:1",
        "example.com/a/long/b:1",
        "example.com/a/longer:1",
        "x.y.w.example/q",
        "debian",
        "docker.io/debian:12",
        "example.com/digests/q:1",
        &format!("example.com/a/b{digest}"),
        &format!("example.com/digests/q{digest}"),
        &format!("x.w.example/q{digest}"),
    ] {
        let reference: ctr_core::reference::Reference = name.parse().unwrap();
        let candidates = registries.candidates(&reference).unwrap();
        let usable = candidates.iter().filter(|candidate| candidate.tags() || reference.digest().is_some());
        let ours: Vec<String> = usable.map(|candidate| candidate.reference().full()).collect();
        mirrored += usize::from(ours.len() > 1);
        assert_eq!(ours, asked_by_skopeo(&root, config, name), "{name}");
    }
    assert!(mirrored > 3);
}
