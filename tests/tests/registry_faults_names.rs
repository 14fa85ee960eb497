//! Mirrors that fail, and policies that forbid.

use std::fs;

use ctr_tests::faults::{On, Registry, Response, Scene, Server, sample};
use ctr_tests::oci::{CONFIG, MANIFEST};
use ctr_tests::store_check;
use serde_json::json;

fn mirror() -> Server {
    Server::start(Registry::with("copy", "1", sample().layout()))
}

/// registries.conf: the scene's registry, and these mirrors before it, each with further settings.
fn with_mirrors(scene: &Scene, mirrors: &[(&str, &str)]) {
    let mirror =
        |(host, settings): &(&str, &str)| format!("[[registry.mirror]]\nlocation = '{host}/copy'\n{settings}\n");
    let mirrors: String = mirrors.iter().map(mirror).collect();
    scene.configure(&format!("[[registry]]\nlocation = '{}/demo'\n{mirrors}", scene.server.host()));
}

// FAULT 45: the first mirror is down, silent, without the image, answers 5xx, 401 or a page for people, or lacks a layer => told, and the next one is asked, the registry last
#[test]
fn case_45_mirrors_in_their_order() {
    type Fault = fn(&Server);
    let faults: [(&str, Fault); 7] = [
        ("404", |server| server.on(On::any("/"), |_| Response::new(404))),
        ("503", |server| server.on(On::any("/"), |_| Response::new(503))),
        ("401", |server| {
            server.on(On::any("/"), |_| Response::new(401).header("WWW-Authenticate", "Basic realm=\"x\""))
        }),
        ("silent", |server| server.on(On::any("/"), |_| Response::new(200).stall_before())),
        ("reset", |server| server.on(On::any("/"), |_| Response::new(200).reset_before())),
        ("HTML", |server| {
            server.on(On::any("/"), |_| Response::new(200).header("Content-Type", "text/html").body("<html>"))
        }),
        ("no blobs", |server| server.on(On::any("/blobs/"), |_| Response::new(404))),
    ];
    for (what, fault) in faults {
        let scene = Scene::new();
        let (bad, good) = (mirror(), mirror());
        fault(&bad);
        with_mirrors(&scene, &[(&bad.host(), ""), (&good.host(), "")]);
        let done = scene.fetch_hastily().run();
        assert_eq!(done.code, 0, "{what}: {done}");
        scene.assert_whole();
        assert!(done.stderr.contains("the mirror does not help"), "{what}: {done}");
        assert!(!bad.log().is_empty() && !good.log().is_empty(), "{what}");
        assert_eq!(scene.server.log(), Vec::<String>::new(), "{what}");
    }
    // Nobody listens at the first, the second has nothing: the registry itself.
    let scene = Scene::new();
    let empty = Server::start(Registry::new());
    with_mirrors(&scene, &[("127.0.0.1:1", ""), (&empty.host(), "")]);
    scene.fetch().ok();
    scene.assert_whole();
    // All fail: what the registry says is the error.
    let scene = Scene::new();
    with_mirrors(&scene, &[("127.0.0.1:1", "")]);
    scene.server.on(On::any("/"), |_| Response::new(404));
    scene.fetch().fails(1).says(&format!("{} has no image", scene.server.host()));
    scene.assert_nothing();
}

// FAULT 45: a mirror that registries.conf allows for digests only => not asked what a tag means; what has a digest comes from it
#[test]
fn case_45_what_mirrors_may_tell() {
    let scene = Scene::new();
    let digests = mirror();
    with_mirrors(&scene, &[(&digests.host(), "pull-from-mirror = 'digest-only'")]);
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(digests.seen_of("GET", "/manifests/1").len(), 0, "{:?}", digests.log());
    let by_digest = Scene::new();
    with_mirrors(&by_digest, &[(&digests.host(), "pull-from-mirror = 'digest-only'")]);
    let name = by_digest.server.name(&format!("demo@{}", by_digest.image.digest()));
    by_digest.ctr("fetch").arg(name).ok();
    by_digest.assert_whole();
    assert_eq!(by_digest.server.log(), Vec::<String>::new());
}

// FAULT 6: one bit of a layer is wrong at the mirror, always => the next one has it right; the wrong one is not kept
#[test]
fn case_06_flipped_bit_at_a_mirror() {
    let scene = Scene::new();
    let bad = mirror();
    bad.on(On::get(scene.image.big()), |call| call.ordinary().flip(1000));
    with_mirrors(&scene, &[(&bad.host(), "")]);
    let done = scene.fetch().run();
    assert_eq!(done.code, 0, "{done}");
    scene.assert_whole();
    assert_eq!(scene.server.seen_of("GET", scene.image.big()).len(), 1);
}

// FAULT 46: policy.json rejects the image, demands a signature, is not there, cannot be read, has unknown or doubled members => refused before anybody is asked
#[test]
fn case_46_policies() {
    // spec: REG-16
    let host = |scene: &Scene| scene.server.host();
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let reject = json!([{"type": "reject"}]);
    let signed = json!([{"type": "sigstoreSigned", "keyPath": "/nonexistent.pub"}]);
    let refused: [(&str, String, &str); 10] = [
        ("reject", json!({"default": reject}).to_string(), "rejects"),
        ("sigstore", json!({"default": signed}).to_string(), "demands a signature"),
        (
            "gpg",
            json!({"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}]}).to_string(),
            "demands a signature",
        ),
        ("both", json!({"default": [accept[0], signed[0]]}).to_string(), "demands a signature"),
        ("scope", json!({"default": accept, "transports": {"docker": {"HOST/demo": reject}}}).to_string(), "rejects"),
        ("unknown type", json!({"default": [{"type": "trustMe"}]}).to_string(), "trustMe"),
        ("unknown member", json!({"default": accept, "defaults": accept}).to_string(), "cannot be used"),
        ("no default", json!({"transports": {}}).to_string(), "cannot be used"),
        ("twice", format!("{{\"default\": {accept}, \"default\": {accept}}}"), "cannot be used"),
        ("empty list", json!({"default": []}).to_string(), "cannot be used"),
    ];
    for (what, text, message) in refused {
        let scene = Scene::new();
        let path = scene.root.write("policy.json", text.replace("HOST", &host(&scene)));
        let done = scene.fetch().arg("--policy").arg(path).fails(1);
        assert!(done.stderr.contains(message), "{what}: {done}");
        assert_eq!(scene.server.connections(), 0, "{what}: nobody is asked");
        scene.assert_nothing();
    }
    // Not there, and not to be read.
    let scene = Scene::new();
    for path in [scene.root.file("none.json"), scene.root.file("home")] {
        scene.fetch().arg("--policy").arg(path).fails(1).says("cannot be used");
        assert_eq!(scene.server.connections(), 0);
    }
    // The user's own file.
    let own = scene.root.file("home/.config/containers");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("policy.json"), json!({"default": reject}).to_string()).unwrap();
    scene.fetch().fails(1).says("rejects");
    assert_eq!(scene.server.connections(), 0);
    // A narrower scope that accepts.
    let scopes = json!({"default": reject, "transports": {"docker": {format!("{}/demo", host(&scene)): accept}}});
    fs::write(own.join("policy.json"), scopes.to_string()).unwrap();
    scene.fetch().ok();
    scene.assert_whole();
}

// FAULT 46: signatures that are too many, broken, for other images => copied as data up to their limits, never believed; the image comes without them
#[test]
fn case_46_signatures_as_data() {
    let scene = Scene::new();
    let subject = json!({"mediaType": MANIFEST, "digest": scene.image.digest(), "size": 1});
    let payload = scene.server.site().put("demo", "{}");
    let config = json!({"mediaType": CONFIG, "digest": payload, "size": 2});
    for n in 0..40 {
        let kind = format!("application/vnd.example.signature.v{n}+json");
        let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [], "subject": subject});
        scene.server.site().put_manifest("demo", MANIFEST, text.to_string());
    }
    let done = scene.own("fetch").arg(scene.server.name("demo:1")).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(store_check::complaints(&scene.root.store()), Vec::<String>::new());
    assert!(!scene.server.seen_of("GET", "/referrers/").is_empty());
    // A list that cannot be used, one without an end, and one that never comes.
    type Fault = fn() -> Response;
    let faults: [(&str, Fault); 4] = [
        ("junk", || Response::new(200).body("{\"manifests\": 7}")),
        ("endless", || Response::new(200).body("{\"manifests\": [").endless()),
        ("500", || Response::new(400)),
        ("missing", || {
            let entry = json!({"mediaType": MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 3});
            Response::new(200).body(json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        }),
    ];
    for (what, fault) in faults {
        let scene = Scene::new();
        scene.server.on(On::get("/referrers/"), move |_| fault());
        let done = scene.own("fetch").arg(scene.server.name("demo:1")).run();
        assert_eq!(done.code, 0, "{what}: {done}");
        assert!(!done.stderr.contains("panicked"), "{done}");
        assert_eq!(store_check::refs(&scene.root.store()).len(), 1, "{what}");
        assert_eq!(store_check::complaints(&scene.root.store()), Vec::<String>::new());
    }
}
