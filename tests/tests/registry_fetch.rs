//! Images of a registry: what is fetched, what is kept, and what is asked for again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ctr_tests::faults::tls::{Acceptor, Authority, Valid};
use ctr_tests::faults::{On, Registry, Scene, Server};
use ctr_tests::oci::{CONFIG, INDEX, MANIFEST, architecture, digest};
use ctr_tests::scratch::{names, until};
use ctr_tests::store_check;
use serde_json::{Value, json};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

fn blobs(scene: &Scene) -> Vec<String> {
    names(&scene.root.store().join("blobs/sha256"))
}

fn hex(digest: &str) -> String {
    digest.trim_start_matches("sha256:").to_owned()
}

/// The sample for another architecture: the same layers, another config. Returns its descriptor.
fn other_image(scene: &Scene) -> Value {
    let mut config: Value = serde_json::from_slice(&scene.image.blob(scene.image.config())).unwrap();
    config["architecture"] = "riscv64".into();
    let config = config.to_string();
    let mut manifest = scene.image.manifest().clone();
    let config_digest = scene.server.site().put("demo", config.clone());
    manifest["config"] = json!({"mediaType": CONFIG, "digest": config_digest, "size": config.len()});
    let manifest = manifest.to_string();
    let size = manifest.len();
    let digest = scene.manifest("other", MANIFEST, manifest);
    json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": "riscv64"}})
}

fn sample_entry(scene: &Scene) -> Value {
    let size = scene.image.blob(scene.image.digest()).len();
    let here = json!({"os": "linux", "architecture": architecture()});
    json!({"mediaType": MANIFEST, "digest": scene.image.digest(), "size": size, "platform": here})
}

#[test]
fn an_index_is_kept_with_the_images_that_were_fetched() {
    // spec: REG-13, STORE-50, STORE-81
    let scene = Scene::new();
    let other = other_image(&scene);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, sample_entry(&scene)]}).to_string();
    let index_digest = scene.manifest("multi", INDEX, index);
    let name = scene.server.name("demo:multi");
    scene.ctr("fetch").arg(&name).ok();
    assert_eq!(names(&scene.root.store().join("images")), [hex(scene.image.digest())]);
    assert!(blobs(&scene).contains(&hex(&index_digest)), "the index is a blob");

    scene.ctr("fetch").args(["--all-platforms", &name]).ok();
    let mut both = [hex(scene.image.digest()), hex(other["digest"].as_str().unwrap())];
    both.sort();
    assert_eq!(names(&scene.root.store().join("images")), both);
    assert_eq!(store_check::refs(&scene.root.store()).values().collect::<Vec<_>>(), [scene.image.digest()]);
    // The other image has no name, but its index has one.
    scene.root.ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(names(&scene.root.store().join("images")), both);
    assert_eq!(store_check::complaints(&scene.root.store()), Vec::<String>::new());

    // The name moves to the single image: the index goes, and what only it kept.
    scene.server.site().tag("demo", "multi", scene.image.digest());
    scene.ctr("fetch").arg(&name).ok();
    scene.root.ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(names(&scene.root.store().join("images")), [hex(scene.image.digest())]);
    assert!(!blobs(&scene).contains(&hex(&index_digest)));
}

#[test]
fn an_unchanged_name_costs_one_head() {
    // spec: REG-10, REG-56
    let scene = Scene::new();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [sample_entry(&scene)]}).to_string();
    scene.manifest("multi", INDEX, index);
    for tag in ["demo:1", "demo:multi"] {
        scene.ctr("fetch").arg(scene.server.name(tag)).ok();
        let before = scene.server.log().len();
        scene.ctr("fetch").arg(scene.server.name(tag)).ok();
        let log = scene.server.log();
        assert_eq!(log.len(), before + 1, "{tag}: {log:?}");
        assert!(log.last().unwrap().starts_with("HEAD "), "{tag}: {log:?}");
    }
    // Layers that another name brought are not downloaded again.
    let layers = [scene.image.small(), scene.image.big()];
    assert_eq!(layers.map(|layer| scene.server.seen_of("GET", layer).len()), [1, 1]);
}

/// A signature of `subject` with one blob of `content`; its digest.
fn sign(scene: &Scene, subject: &str, content: &str, listed: bool) -> String {
    let config = scene.server.site().put("demo", "{}");
    let blob = scene.server.site().put("demo", content);
    let mut text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
        "config": {"mediaType": EMPTY, "digest": config, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": blob, "size": content.len()}]});
    if listed {
        text["subject"] = json!({"mediaType": MANIFEST, "digest": subject, "size": 1});
    }
    let text = text.to_string();
    scene.server.site().put_manifest("demo", MANIFEST, text.clone());
    digest(text.as_bytes())
}

fn fetch_with_referrers(scene: &Scene) {
    scene.own("fetch").arg(scene.server.name("demo:1")).ok();
}

#[test]
fn what_refers_to_an_image_is_kept_with_it() {
    // spec: REG-14, STORE-53, STORE-81
    let scene = Scene::new();
    let listed = sign(&scene, scene.image.digest(), "a signature", true);
    let tagged = sign(&scene, scene.image.digest(), "an old signature", false);
    scene.server.site().tag("demo", &format!("sha256-{}.sig", hex(scene.image.digest())), &tagged);
    fetch_with_referrers(&scene);
    let list = scene.root.store().join("referrers").join(hex(scene.image.digest()));
    let list: Value = serde_json::from_slice(&fs::read(list).unwrap()).unwrap();
    let found: Vec<&str> =
        list["manifests"].as_array().unwrap().iter().map(|m| m["digest"].as_str().unwrap()).collect();
    assert_eq!(found, [&listed, &tagged]);
    let signatures = [&listed, &tagged, &digest(b"a signature"), &digest(b"an old signature")].map(|d| hex(d));
    scene.root.ctr("gc").args(["--grace", "0s"]).ok();
    for signature in &signatures {
        assert!(blobs(&scene).contains(signature), "{signature}");
    }
    // They go with the image.
    scene.root.ctr("image").args(["rm", &scene.server.name("demo:1")]).ok();
    scene.root.ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(blobs(&scene), Vec::<String>::new());
    assert_eq!(names(&scene.root.store().join("referrers")), Vec::<String>::new());
}

#[test]
fn registries_without_the_api_list_referrers_under_a_tag() {
    // spec: REG-14
    let scene =
        Scene::of(Server::start(Registry::with("demo", "1", ctr_tests::faults::sample().layout()).without_referrers()));
    let signature = sign(&scene, scene.image.digest(), "a signature", true);
    let bytes = scene.server.site().manifest("demo", &signature).unwrap();
    let entry = json!({"mediaType": MANIFEST, "digest": signature, "size": bytes.len()});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
    scene.manifest(&format!("sha256-{}", hex(scene.image.digest())), INDEX, list);
    fetch_with_referrers(&scene);
    assert!(blobs(&scene).contains(&hex(&digest(b"a signature"))));
    // Without a list there is nothing to keep, and nothing to complain about.
    let plain =
        Scene::of(Server::start(Registry::with("demo", "1", ctr_tests::faults::sample().layout()).without_referrers()));
    fetch_with_referrers(&plain);
    plain.assert_whole();
    assert_eq!(names(&plain.root.store().join("referrers")), Vec::<String>::new());
}

#[test]
fn foreign_layers_come_from_where_the_image_says_if_that_is_allowed() {
    // spec: REG-15
    let authority = Authority::new();
    let elsewhere = Server::start_tls(
        Registry::with("demo", "1", ctr_tests::faults::sample().layout()),
        Acceptor::new(&authority.server(&["127.0.0.1"], Valid::Now)),
    );
    let scene = Scene::new();
    let mut manifest = scene.image.manifest().clone();
    let path = format!("/v2/demo/blobs/{}", scene.image.big());
    manifest["layers"][1]["urls"] = json!(["http://127.0.0.1:1/x", elsewhere.url(&path)]);
    scene.manifest("foreign", MANIFEST, manifest.to_string());
    scene.server.site().forget("demo", scene.image.big());
    let name = scene.server.name("demo:foreign");
    scene.ctr("fetch").arg(&name).fails(1).says("--allow-foreign-layers");
    assert_eq!(elsewhere.log(), Vec::<String>::new());
    // Another certificate than those that are trusted is refused there too.
    let done = scene.ctr("fetch").args(["--allow-foreign-layers", &name]).fails(1);
    assert!(done.stderr.contains("certificate"), "{done}");
    let list = scene.root.write("list.pem", authority.pem());
    scene.ctr("fetch").env("SSL_CERT_FILE", list).args(["--allow-foreign-layers", &name]).ok();
    assert!(elsewhere.seen().iter().all(|seen| seen.request.header("authorization").is_none()));
    assert_eq!(store_check::refs(&scene.root.store()).len(), 1);
}

/// What the server writes at once.
const PIECE: u64 = 16 << 10;

/// Bytes of `partial/` in all.
fn begun(store: &Path) -> u64 {
    let partial = store.join("partial");
    names(&partial).iter().map(|name| fs::metadata(partial.join(name)).map_or(0, |found| found.len())).sum()
}

#[test]
fn killed_twenty_times_a_download_loses_next_to_nothing() {
    // spec: REG-11, STORE-55, STORE-56
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().paced(Duration::from_millis(10)));
    let mut last = 0;
    for round in 0..20 {
        let mut running = scene.fetch().start();
        // At other moments each time: at once, or when one or two pieces more have come.
        let more = last + (round % 3) * PIECE;
        until("more has come", || begun(&scene.root.store()) >= more);
        running.child.kill().unwrap();
        assert_eq!(running.wait().code, 128 + 9);
        let now = begun(&scene.root.store());
        assert!(now >= more, "round {round}: {now} of {more} bytes");
        last = now;
    }
    scene.fetch().ok();
    scene.assert_whole_after_kill();
    // Each run went on where the one before had ended: what was asked for twice is what lay in the sockets of the killed.
    let size = scene.image.big_size() as u64;
    let ranges: Vec<u64> = scene.ranges().into_iter().map(Option::unwrap_or_default).collect();
    assert!(ranges.is_sorted(), "{ranges:?}");
    let sent = scene.server.sent(scene.image.big());
    assert!(sent <= size + ranges.len() as u64 * 3 * PIECE, "{sent} bytes for {size}: {ranges:?}");
}
