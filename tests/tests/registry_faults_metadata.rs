//! Faults of manifests, indexes and lists.

use ctr_tests::faults::{On, Response, Scene};
use ctr_tests::oci::{CONFIG, INDEX, MANIFEST, TAR, architecture, digest};
use serde_json::{Value, json};

/// Fails to fetch `demo:TAG`, says this, and keeps nothing.
#[track_caller]
fn assert_refused(scene: &Scene, tag: &str, text: &str) {
    let done = scene.ctr("fetch").arg(scene.server.name(&format!("demo:{tag}"))).run();
    assert_eq!(done.code, 1, "{tag}: {done}");
    assert!(done.stderr.contains(text), "{tag}: no {text:?} in {done}");
    assert!(!done.stderr.contains("panicked") && done.stderr.len() < 4000, "{done}");
    scene.assert_nothing();
}

/// The descriptor of the sample's manifest in an index.
fn entry(scene: &Scene, platform: Value) -> Value {
    let size = scene.image.blob(scene.image.digest()).len();
    json!({"mediaType": MANIFEST, "digest": scene.image.digest(), "size": size, "platform": platform})
}

fn here() -> Value {
    json!({"os": "linux", "architecture": architecture()})
}

fn index(entries: &[Value]) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
}

// FAULT 17: a manifest of more than 4 MiB, with and without a length, one without an end => refused at the limit
#[test]
fn case_17_huge_manifest() {
    let scene = Scene::new();
    let mut huge = scene.image.blob(scene.image.digest());
    huge.resize((4 << 20) + 1, b' ');
    let digest = scene.manifest("huge", MANIFEST, huge);
    assert_refused(&scene, "huge", "4194304 bytes");
    let done = scene.ctr("fetch").arg(scene.server.name(&format!("demo@{digest}"))).fails(1);
    assert!(done.stderr.contains("4194304 bytes"), "{done}");
    // Exactly the limit is allowed.
    let mut large = scene.image.blob(scene.image.digest());
    large.resize(4 << 20, b' ');
    scene.manifest("large", MANIFEST, large);
    scene.ctr("fetch").arg(scene.server.name("demo:large")).ok();

    let scene = Scene::new();
    scene.server.on(On::get("/manifests/chunked"), |call| {
        let _ = call;
        Response::new(200).header("Content-Type", MANIFEST).body(vec![b' '; 4 << 20]).endless()
    });
    scene.server.on(On::get("/manifests/claimed"), |_| {
        Response::new(200).header("Content-Type", MANIFEST).claim(1 << 50).stall(0)
    });
    assert_refused(&scene, "chunked", "4194304 bytes");
    assert_refused(&scene, "claimed", "4194304 bytes");
    assert!(scene.server.sent("chunked") < 32 << 20, "{} bytes sent", scene.server.sent("chunked"));
}

// FAULT 18: asked by digest, the registry sends another manifest => refused with both digests, even if the headers lie along
#[test]
fn case_18_other_content_by_digest() {
    let scene = Scene::new();
    let other = format!("{} ", String::from_utf8(scene.image.blob(scene.image.digest())).unwrap());
    let found = digest(other.as_bytes());
    let told = scene.image.digest().to_owned();
    scene.server.on(On::get("/manifests/sha256:"), move |_| {
        Response::new(200).header("Content-Type", MANIFEST).header("Docker-Content-Digest", &told).body(other.clone())
    });
    let name = scene.server.name(&format!("demo@{}", scene.image.digest()));
    let done = scene.ctr("fetch").arg(name).fails(1);
    assert!(done.stderr.contains(&found) && done.stderr.contains(scene.image.digest()), "{done}");
    scene.assert_nothing();
    // By way of an index.
    scene.manifest("index", INDEX, index(&[entry(&scene, here())]));
    assert_refused(&scene, "index", &found);
}

// FAULT 19: Docker-Content-Digest is not the digest of the manifest that comes with it => refused; one that cannot be read counts as none
#[test]
fn case_19_other_digest_header() {
    let scene = Scene::new();
    let other = digest(b"other");
    let told = other.clone();
    scene.server.on(On::get("/manifests/1"), move |call| call.ordinary().with("Docker-Content-Digest", &told));
    assert_refused(&scene, "1", &other);
    for (odd, code) in [("", 0), ("md5:abc", 0), ("sha256:12", 0), ("sha512:00", 0)] {
        let scene = Scene::new();
        scene.server.on(On::get("/manifests/1"), move |call| call.ordinary().with("Docker-Content-Digest", odd));
        assert_eq!(scene.fetch().run().code, code, "{odd}");
    }
}

// FAULT 20: Content-Type and mediaType name different kinds, or the index's descriptor does => refused; types that say nothing of it are passed over
#[test]
fn case_20_types_that_differ() {
    // spec: REG-8
    let scene = Scene::new();
    let bytes = scene.image.blob(scene.image.digest());
    scene.manifest("index-type", INDEX, bytes.clone());
    scene.manifest("manifest-type", MANIFEST, index(&[entry(&scene, here())]));
    scene.manifest("html", "text/html", bytes.clone());
    assert_refused(&scene, "index-type", "declared as");
    assert_refused(&scene, "manifest-type", "declared as");
    assert_refused(&scene, "html", "text/html");
    let mut wrong = entry(&scene, here());
    wrong["mediaType"] = INDEX.into();
    scene.manifest("wrong-entry", INDEX, index(&[wrong]));
    assert_refused(&scene, "wrong-entry", "another kind");
    let mut wrong = entry(&scene, here());
    wrong["size"] = (bytes.len() + 1).into();
    scene.manifest("wrong-size", INDEX, index(&[wrong]));
    assert_refused(&scene, "wrong-size", &format!("{}", bytes.len() + 1));
    for generic in ["text/plain; charset=utf-8", "application/octet-stream", "application/json", ""] {
        let scene = Scene::new();
        scene.server.on(On::get("/manifests/1"), move |call| call.ordinary().with("Content-Type", generic));
        scene.fetch().ok();
        scene.assert_whole();
    }
}

// FAULT 21: documents that two readers could understand differently, nest or loop, numbers and digests that are none => refused with the reason
#[test]
fn case_21_ambiguous_documents() {
    let scene = Scene::new();
    let text = String::from_utf8(scene.image.blob(scene.image.digest())).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let put = |tag: &str, edit: &dyn Fn(&mut Value)| {
        let mut edited = manifest.clone();
        edit(&mut edited);
        scene.manifest(tag, MANIFEST, edited.to_string());
    };
    put("both", &|json| json["manifests"] = json!([entry(&scene, here())]));
    assert_refused(&scene, "both", "both");
    scene.manifest("twice", MANIFEST, text.replacen('{', "{\"config\":{},", 1));
    assert_refused(&scene, "twice", "stands twice");
    scene.manifest("trailing", MANIFEST, format!("{text}{text}"));
    assert_refused(&scene, "trailing", "JSON");
    put("negative", &|json| json["layers"][1]["size"] = json!(-1));
    put("float", &|json| json["layers"][1]["size"] = json!(1e30));
    scene.manifest("large", MANIFEST, text.replace(&format!(":{}", scene.image.big_size()), ":99999999999999999999"));
    put("unknown", &|json| json["layers"][1]["digest"] = json!(format!("crc:{}", "0".repeat(64))));
    put("sha512", &|json| json["layers"][1]["digest"] = json!(format!("sha512:{}", "0".repeat(128))));
    put("path", &|json| json["layers"][1]["digest"] = json!("sha256:../../../../etc/passwd"));
    put("short", &|json| json["config"]["digest"] = json!("sha256:00"));
    for tag in ["negative", "float", "large", "unknown", "sha512", "path", "short"] {
        assert_refused(&scene, tag, "image manifest");
    }
    // 2^62 bytes are a number, but no layer.
    put("gigantic", &|json| json["layers"][1]["size"] = json!(1_u64 << 62));
    assert_refused(&scene, "gigantic", "of 4611686018427387904 bytes");
    let nested = (0..100_000).map(|_| "[").collect::<String>();
    scene.manifest("deep", MANIFEST, text.replacen('{', &format!("{{\"x\":{nested},"), 1));
    assert_refused(&scene, "deep", "JSON");
}

// FAULT 21: indexes in indexes without an end, an index of 20,000 entries of which none fits => refused at a depth of 4; the message stays short
#[test]
fn case_21_indexes_without_end() {
    let scene = Scene::new();
    let mut inner = entry(&scene, here());
    for depth in 1..=6 {
        let text = index(&[inner]);
        let named = scene.manifest(&format!("depth-{depth}"), INDEX, text.clone());
        inner = json!({"mediaType": INDEX, "digest": named, "size": text.len()});
    }
    assert_refused(&scene, "depth-6", "deeper");
    scene.ctr("fetch").arg(scene.server.name("demo:depth-2")).ok();

    let scene = Scene::new();
    let many: Vec<Value> = (0..20_000)
        .map(|n| {
            let digest = digest(format!("{n}").as_bytes());
            json!({"mediaType": MANIFEST, "digest": digest, "size": 2, "platform": {"os": "plan9", "architecture": format!("a{n}")}})
        })
        .collect();
    scene.manifest("many", INDEX, index(&many));
    assert_refused(&scene, "many", "nothing for");
}

// FAULT 22: a manifest of Docker's schema 1, by its type or by its shape => refused by that name
#[test]
fn case_22_schema_1() {
    let scene = Scene::new();
    let old =
        json!({"schemaVersion": 1, "name": "demo", "tag": "old", "fsLayers": [], "history": [], "signatures": []});
    for (tag, kind) in [
        ("old", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ("json", "application/json"),
        ("lies", MANIFEST),
    ] {
        scene.manifest(tag, kind, old.to_string());
        assert_refused(&scene, tag, "schema 1");
    }
}

// FAULT 23: an index without an image for this platform, with attestations, with variants => what there is is listed; attestations are never chosen; a lower
//  variant does
#[test]
fn case_23_platforms() {
    let scene = Scene::new();
    let other = entry(&scene, json!({"os": "linux", "architecture": "s390x"}));
    let unknown = entry(&scene, json!({"os": "unknown", "architecture": "unknown"}));
    scene.manifest("none", INDEX, index(&[other.clone(), unknown.clone()]));
    assert_refused(&scene, "none", "it has: linux/s390x");
    scene.manifest("empty", INDEX, index(&[]));
    assert_refused(&scene, "empty", "nothing for");
    scene.manifest("attested", INDEX, index(&[unknown.clone(), other, entry(&scene, here())]));
    scene.ctr("fetch").arg(scene.server.name("demo:attested")).ok();
    // The only entry is an attestation.
    let scene = Scene::new();
    scene.manifest("attestation", INDEX, index(&[unknown]));
    assert_refused(&scene, "attestation", "nothing for");

    let arm = |variant: &str| {
        let config = json!({"architecture": "arm", "os": "linux", "variant": variant, "config": {}, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = config.to_string();
        let digest = scene.server.site().put("demo", config.clone());
        let config = json!({"mediaType": CONFIG, "digest": digest, "size": config.len()});
        let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}).to_string();
        let digest = scene.server.site().put_manifest("demo", MANIFEST, text.clone());
        let platform = json!({"os": "linux", "architecture": "arm", "variant": variant});
        json!({"mediaType": MANIFEST, "digest": digest, "size": text.len(), "platform": platform})
    };
    scene.manifest("arm", INDEX, index(&[arm("v5"), arm("v6"), arm("v8")]));
    let line = scene.ctr("fetch").args(["--platform", "linux/arm/v7", &scene.server.name("demo:arm")]).ok();
    let v6 = arm("v6")["digest"].as_str().unwrap().to_owned();
    assert!(line.contains(&v6), "{line}: not v6, {v6}");
}

// FAULT 24: a layer says that it is to be had at http://169.254.169.254 or at another server => not asked there
#[test]
fn case_24_foreign_layers() {
    let scene = Scene::new();
    let elsewhere = ctr_tests::faults::Server::start(ctr_tests::faults::Fixed(Response::new(200).body("x")));
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let mut manifest = scene.image.manifest().clone();
    let urls = json!([elsewhere.url("/layer"), "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"]);
    for kind in [TAR, foreign] {
        manifest["layers"][1]["mediaType"] = kind.into();
        manifest["layers"][1]["urls"] = urls.clone();
        scene.manifest("foreign", MANIFEST, manifest.to_string());
        // The registry does not have it, as is usual for such layers.
        scene.server.site().forget("demo", scene.image.big());
        assert_refused(&scene, "foreign", "does not have the foreign layer");
        assert_eq!(elsewhere.log(), Vec::<String>::new());
    }
    // One that the registry has is taken from there.
    let scene = Scene::new();
    manifest["layers"][1]["urls"] = urls;
    scene.manifest("foreign", MANIFEST, manifest.to_string());
    scene.ctr("fetch").arg(scene.server.name("demo:foreign")).ok();
    assert_eq!(elsewhere.log(), Vec::<String>::new());
}

// FAULT 25: names, tags and digests with `..`, `%2e`, spaces, control characters, queries => refused before anybody is asked
#[test]
fn case_25_names_with_tricks() {
    let scene = Scene::new();
    for name in [
        "../demo:1",
        "demo/../../x:1",
        "demo/./x:1",
        "demo//x:1",
        "demo/%2e%2e/x:1",
        "demo:..",
        "demo:1/../2",
        "demo:1?x=y",
        "demo:1#x",
        "demo:1\r\nX-Header: y",
        "demo:\u{1b}[31m",
        "demo@sha256:../../x",
        "demo@sha256:00",
        "demo@md5:d41d8cd98f00b204e9800998ecf8427e",
        "DEMO:1",
        "user:secret@demo:1",
    ] {
        let done = scene.ctr("fetch").arg(scene.server.name(name)).run();
        assert!(matches!(done.code, 1 | 2), "{name:?}: {done}");
        assert!(!done.stderr.contains(['\u{1b}', '\r']), "{name:?}: {:?}", done.stderr);
        assert_eq!(scene.server.log(), Vec::<String>::new(), "{name:?}");
    }
}

// FAULT 25: the list of referrers goes on at another server, at itself, for ever => not followed there, and not more often than 64 times; the image comes anyway
#[test]
fn case_25_lists_without_end() {
    let scene = Scene::new();
    let elsewhere = ctr_tests::faults::Server::start(ctr_tests::faults::Fixed(Response::new(200).body("{}")));
    let other = elsewhere.url("/v2/demo/referrers/x");
    scene
        .server
        .on(On::get("/referrers/"), move |call| call.ordinary().header("Link", format!("<{other}>; rel=\"next\"")));
    scene.own("fetch").arg(scene.server.name("demo:1")).ok();
    assert_eq!(ctr_tests::store_check::refs(&scene.root.store()).len(), 1);
    assert!(!scene.server.seen_of("GET", "/referrers/").is_empty());
    assert_eq!(elsewhere.log(), Vec::<String>::new());

    let scene = Scene::new();
    scene.server.on(On::get("/referrers/"), |call| {
        let next = call.request.query("last").and_then(|last| last.parse::<u32>().ok()).unwrap_or(0) + 1;
        call.ordinary().header("Link", format!("<{}?last={next}>; rel=\"next\"", call.request.path()))
    });
    scene.own("fetch").arg(scene.server.name("demo:1")).run();
    assert_eq!(scene.server.seen_of("GET", "/referrers/").len(), 64);
}
