//! Faults of pushing: uploads that move, break off, are refused, and registries that lose what they had.

use ctr_tests::faults::{Fixed, Guard, On, Registry, Response, Scene, Server, Tokens, error};
use ctr_tests::oci::{INDEX, MANIFEST};
use ctr_tests::scratch::{Cmd, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A scene whose registry has nothing, and whose store has the image.
fn scene_of(registry: Registry) -> Scene {
    let scene = Scene::of(Server::start(registry));
    let source = format!("oci:{}:latest", scene.image.layout().display());
    scene.root.fetch(&source, "sample");
    scene
}

fn scene() -> Scene {
    scene_of(Registry::new())
}

/// `ctr-push` of the image as `demo:1`.
fn push(scene: &Scene) -> Cmd {
    scene.ctr("push").args(["sample", &scene.server.name("demo:1")])
}

/// Asserts that the registry has the whole image as `demo:1`.
#[track_caller]
fn assert_pushed(scene: &Scene) {
    let (registry, image) = (scene.server.site(), &scene.image);
    for digest in [image.small(), image.big(), image.config()] {
        assert!(registry.blob("demo", digest) == Some(image.blob(digest)), "{digest}");
    }
    assert_eq!(registry.tagged("demo", "1").as_deref(), Some(image.digest()));
    assert_eq!(registry.manifest("demo", "1"), Some(image.blob(image.digest())));
}

/// The uploads that the big layer went into are those whose bytes are so many.
fn bytes_of(scene: &Scene, method: &str) -> Vec<usize> {
    let seen = scene.server.seen_of(method, "/uploads/");
    seen.iter().map(|seen| seen.request.body.len()).filter(|count| *count > 1000).collect()
}

// FAULT 35: Location of an upload: a path, a whole address, with `//`, relative, with a query of its own => followed, with digest= behind what is there
#[test]
fn case_35_forms_of_location() {
    // spec: REG-78
    type Form = fn(&str, &str) -> String;
    let forms: [(&str, Form); 5] = [
        ("path", |_, path| path.to_owned()),
        ("address", |origin, path| format!("{origin}{path}")),
        ("without scheme", |origin, path| format!("{}{path}", origin.trim_start_matches("http:"))),
        ("relative", |_, path| path.rsplit('/').next().unwrap_or_default().to_owned()),
        ("query", |origin, path| format!("{origin}{path}&_state=a%2Fb%3D%3D&x")),
    ];
    for (what, form) in forms {
        let scene = scene();
        let origin = scene.server.origin();
        scene.server.on(On::post("/uploads/"), move |call| {
            let answer = call.ordinary();
            let path = answer.headers.iter().find(|(name, _)| name == "Location").map(|(_, value)| value.clone());
            let path = String::from_utf8(path.unwrap_or_default()).unwrap_or_default();
            answer.with("Location", form(&origin, &path))
        });
        let done = push(&scene).run();
        assert_eq!(done.code, 0, "{what}: {done}");
        assert_pushed(&scene);
        for seen in scene.server.seen_of("PUT", "/uploads/") {
            assert_eq!(seen.request.query("state").as_deref(), Some("opaque"), "{what}: {}", seen.request.target);
        }
    }
}

// FAULT 35: no Location, or one that is no address, a file, has a password; the upload goes to another host => the first fail; the other host gets the bytes, never
//  a credential
#[test]
fn case_35_bad_and_foreign_locations() {
    // spec: REG-78
    for location in
        ["", "http://", "file:///etc/passwd", "http://bob:s3cret-Passw0rd@127.0.0.1:1/x", "http://[::1/", "\u{7f}"]
    {
        let scene = scene();
        scene.server.on(On::post("/uploads/"), move |call| call.ordinary().with("Location", location));
        let done = push(&scene).fails(1);
        assert!(!done.stderr.contains("panicked") && !done.stderr.contains("Passw0rd"), "{location:?}: {done}");
        assert_eq!(scene.server.site().tagged("demo", "1"), None);
    }
    let scene = scene();
    scene.server.on(On::post("/uploads/"), |call| call.ordinary().without("Location"));
    push(&scene).fails(1).says("without Location");

    let elsewhere = Server::start(Fixed(Response::new(201)));
    let scene = scene_of(Registry::new().guarded(Guard::Basic("bob".into(), "s3cret-Passw0rd".into())));
    let host = elsewhere.url("/bucket/upload?X-Signature=abc");
    scene.server.on(On::post("/uploads/").with("authorization"), move |call| call.ordinary().with("Location", &host));
    scene.server.on(On::put("/manifests/").with("authorization"), |_| Response::new(201));
    let auth = json!({"auths": {scene.server.host(): {"auth": "Ym9iOnMzY3JldC1QYXNzdzByZA=="}}});
    let file = scene.root.write("auth.json", auth.to_string());
    let done = push(&scene).arg("--authfile").arg(file).run();
    assert_eq!(done.code, 0, "{done}");
    elsewhere.assert_no_credentials();
    let sizes: Vec<usize> = elsewhere.seen_of("PUT", "/bucket").iter().map(|seen| seen.request.body.len()).collect();
    assert!(sizes.contains(&scene.image.big_size()), "{sizes:?}");
}

// FAULT 36: no PATCH; only chunks of a least size; a PUT that is too large (413); a PATCH of which the server took less than was sent; 416 => the other way is taken, or
//  it goes on where the server is; no byte twice
#[test]
fn case_36_ways_of_upload() {
    // spec: REG-80
    // No PATCH at all: one PUT does.
    let scene = scene();
    scene.server.on(On::patch("/uploads/"), |_| error(405, "UNSUPPORTED", "no"));
    push(&scene).ok();
    assert_pushed(&scene);
    // Chunks wanted, but PATCH is refused.
    let scene = scene_of(Registry::new());
    scene.server.on(On::post("/uploads/"), |call| call.ordinary().header("OCI-Chunk-Min-Length", "1000"));
    scene.server.on(On::patch("/uploads/"), |_| error(405, "UNSUPPORTED", "no"));
    push(&scene).ok();
    assert_pushed(&scene);
    // No large PUT.
    let scene = scene_of(Registry::new());
    let limit = |call: &ctr_tests::faults::Call<'_>| match call.request.body.len() {
        0..10_000 => call.ordinary(),
        _ => Response::new(413).body("<html>too large</html>"),
    };
    scene.server.on(On::put("/uploads/"), limit);
    push(&scene).ok();
    assert_pushed(&scene);
    assert_eq!(bytes_of(&scene, "PATCH").iter().sum::<usize>(), scene.image.big_size());
    // Less taken than sent, and the connection is closed.
    let scene = scene_of(Registry::new());
    scene.server.on(On::post("/uploads/"), |call| call.ordinary().header("OCI-Chunk-Min-Length", "1000"));
    scene.server.on(On::patch("/uploads/").first(1).early(50_000), |call| call.ordinary().header("X-Cut", "50000"));
    push(&scene).ok();
    assert_pushed(&scene);
    // 416 in the middle.
    let scene = scene_of(Registry::new());
    scene.server.on(On::post("/uploads/"), |call| call.ordinary().header("OCI-Chunk-Min-Length", "1000"));
    scene.server.on(On::patch("/uploads/").first(2), |_| Response::new(416));
    push(&scene).ok();
    assert_pushed(&scene);
    assert_eq!(scene.server.site().open_uploads(), 0);
}

// FAULT 36: an upload breaks off in the middle, its session is forgotten (404), the server answers 500 => the server is asked where it is; it goes on there, or in a new
//  upload
#[test]
fn case_36_uploads_that_break_off() {
    // spec: REG-79
    type Fault = fn(&Server);
    let faults: [(&str, Fault); 6] = [
        ("reset", |server| server.on(On::put("/uploads/").first(1).early(20), |_| Response::new(500).reset_before())),
        ("500", |server| server.on(On::put("/uploads/").first(1), |_| Response::new(500))),
        ("429", |server| server.on(On::put("/uploads/").first(1), |_| Response::new(429).header("Retry-After", "0"))),
        ("404", |server| server.on(On::put("/uploads/").first(1), |_| error(404, "BLOB_UPLOAD_UNKNOWN", "unknown"))),
        ("post", |server| server.on(On::post("/uploads/").first(2), |_| Response::new(503))),
        ("patch", |server| {
            server.on(On::post("/uploads/"), |call| call.ordinary().header("OCI-Chunk-Min-Length", "1000"));
            server.on(On::patch("/uploads/").first(1).early(100_001), |call| call.ordinary().reset_before());
        }),
    ];
    for (what, fault) in faults {
        let scene = scene();
        fault(&scene.server);
        let done = push(&scene).run();
        assert_eq!(done.code, 0, "{what}: {done}");
        assert_pushed(&scene);
        if what == "patch" {
            let starts: Vec<_> = scene
                .server
                .seen_of("PATCH", "/uploads/")
                .iter()
                .filter_map(|seen| seen.request.header("content-range"))
                .collect();
            assert!(starts.iter().any(|range| range.starts_with("100001-")), "{starts:?}");
        }
    }
    // Always: it fails, and takes its uploads back.
    let scene = scene();
    scene.server.on(On::put("/uploads/"), |_| Response::new(500));
    push(&scene).fails(1).says("500");
    assert_eq!(scene.server.site().tagged("demo", "1"), None);
    assert_eq!(scene.server.site().open_uploads(), 0, "{:?}", scene.server.log());
}

// FAULT 37: a mount is answered with 201, with 202 and an upload, with 401, 403, 404, 405 or 500 => taken; the upload that was offered is used; uploaded as if nobody had
//  asked
#[test]
fn case_37_mounts() {
    for status in [201, 202, 401, 403, 404, 405, 500] {
        let scene = Scene::new();
        // The store knows that another repository of this registry has the layers.
        scene.fetch().ok();
        scene.server.on(On::post("mount="), move |call| match status {
            201 => call.ordinary(),
            202 => Response::new(202).header("Location", "/v2/copy/blobs/uploads/none"),
            _ => Response::new(status),
        });
        let target = scene.server.name("copy:1");
        let done = scene.ctr("push").args([&scene.server.name("demo:1"), &target]).run();
        assert_eq!(done.code, 0, "{status}: {done}");
        let registry = scene.server.site();
        assert_eq!(registry.tagged("copy", "1").as_deref(), Some(scene.image.digest()), "{status}");
        assert_eq!(registry.blob("copy", scene.image.big()), Some(scene.image.blob(scene.image.big())), "{status}");
        assert!(!scene.server.seen_of("POST", "mount=").is_empty(), "{status}");
        // The upload that is offered with 202 is tried; here nobody knows it, so that a new one follows.
        let expected = match status {
            201 => 0,
            202 => 2,
            _ => 1,
        };
        assert_eq!(bytes_of(&scene, "PUT").len(), expected, "{status}: {:?}", scene.server.log());
        assert_eq!(scene.server.seen_of("PUT", "/uploads/none").is_empty(), status != 202);
    }
}

// FAULT 38: the answer to the last PUT of a layer, or to that of the manifest, is lost after the server has done it => it looks, and does not send it again
#[test]
fn case_38_answer_lost() {
    // spec: REG-79
    let scene = scene();
    scene.server.on(On::put("/uploads/"), |call| match call.request.body.len() {
        0..10_000 => call.ordinary(),
        _ => call.ordinary().lost(),
    });
    push(&scene).ok();
    assert_pushed(&scene);
    assert_eq!(bytes_of(&scene, "PUT"), [scene.image.big_size()], "sent once");
    let scene = scene_of(Registry::new());
    scene.server.on(On::put("/manifests/").first(1), |call| call.ordinary().lost());
    push(&scene).ok();
    assert_pushed(&scene);
}

// FAULT 39: a layer that was there when it was asked for is gone when the manifest comes (MANIFEST_BLOB_UNKNOWN) => sent, and the manifest again, once
#[test]
fn case_39_blob_gone() {
    // spec: REG-81
    let scene = scene();
    scene.server.on(On::head(scene.image.big()).first(1), |_| Response::new(200).header("Content-Length", "0"));
    let done = push(&scene).run();
    assert_eq!(done.code, 0, "{done}");
    assert_pushed(&scene);
    let scene = scene_of(Registry::new());
    scene.server.on(On::put("/manifests/"), |_| error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"));
    push(&scene).fails(1).says("MANIFEST_BLOB_UNKNOWN");
    assert!(scene.server.seen_of("PUT", "/manifests/").len() <= 4, "{:?}", scene.server.log());
    assert_eq!(scene.server.site().tagged("demo", "1"), None);
}

/// A store that has the image with a signature, fetched from a registry; the digest of the signature's manifest.
fn signed() -> (Scene, String) {
    let scene = Scene::new();
    let registry = scene.server.site();
    let config = registry.put("demo", "{}");
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2});
    let size = scene.image.blob(scene.image.digest()).len();
    let subject = json!({"mediaType": MANIFEST, "digest": scene.image.digest(), "size": size});
    let kind = "application/vnd.example.signature";
    let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [], "subject": subject});
    let digest = registry.put_manifest("demo", MANIFEST, text.to_string());
    scene.own("fetch").arg(scene.server.name("demo:1")).ok();
    (scene, digest)
}

/// What a registry without the API lists by the tag.
fn listed(registry: &Registry, tag: &str) -> Vec<String> {
    let bytes = registry.manifest("demo", tag).unwrap_or_else(|| b"{}".to_vec());
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let list = index["manifests"].as_array().cloned().unwrap_or_default();
    list.iter().map(|one| one["digest"].as_str().unwrap_or_default().to_owned()).collect()
}

// FAULT 40: a registry that knows no referrers (no OCI-Subject), whose list under the tag others write at the same time => the tag is read, added to, written and read again
//  until our entry is in it; those of others stay
#[test]
fn case_40_referrers_without_the_api() {
    let (scene, signature) = signed();
    let tag = format!("sha256-{}", &scene.image.digest()["sha256:".len()..]);
    let push = |server: &Server| scene.own("push").args([scene.server.name("demo:1"), server.name("demo:1")]).run();
    let old = Server::start(Registry::new().without_referrers());
    // Another signature is listed already, and the first write of ours is lost, as if another had come between.
    let other = ctr_tests::oci::digest(b"other");
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": other, "size": 5}]});
    let digest = old.site().put_manifest("demo", INDEX, index.to_string());
    old.site().tag("demo", &tag, &digest);
    // Its manifest is nobody's: the list is not checked by this registry.
    old.site().put_manifest("demo", MANIFEST, "other");
    old.on(On::put(format!("/manifests/{tag}")).first(1), |_| Response::new(201));
    let done = push(&old);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(listed(old.site(), &tag), [other, signature.clone()]);
    assert!(old.site().manifest("demo", &signature).is_some());
    // With the API the tag is not needed.
    let new = Server::start(Registry::new());
    let done = push(&new);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(new.site().referrers("demo", scene.image.digest()).len(), 1);
    assert_eq!(new.site().tagged("demo", &tag), None);
    // What stands under the tag is no list.
    let odd = Server::start(Registry::new().without_referrers());
    let digest = odd.site().put_manifest("demo", MANIFEST, scene.image.blob(scene.image.digest()));
    odd.site().tag("demo", &tag, &digest);
    push(&odd);
    assert_eq!(odd.site().tagged("demo", &tag), Some(digest), "it is left alone");
}

// FAULT 29: the token ends between the beginning of an upload and its bytes (401) => a new one is asked for, and the upload goes on
#[test]
fn case_29_token_that_ends_in_an_upload() {
    let tokens = Server::start(Tokens::of("bob", "s3cret-Passw0rd"));
    let guard = Guard::Bearer { realm: tokens.url("/token"), book: tokens.site().book() };
    let scene = scene_of(Registry::new().guarded(guard));
    let book = tokens.site().book();
    scene.server.on(On::put("/uploads/").nth(2), move |call| {
        book.expire();
        call.ordinary()
    });
    let auth = json!({"auths": {scene.server.host(): {"auth": "Ym9iOnMzY3JldC1QYXNzdzByZA=="}}});
    let file = scene.root.write("auth.json", auth.to_string());
    let done = push(&scene).arg("--authfile").arg(file).run();
    assert_eq!(done.code, 0, "{done}");
    assert_pushed(&scene);
    assert!(!done.stderr.contains("Passw0rd") && !done.stderr.contains("token-"), "{done}");
}

// FAULT 41: the tag must not move (409, 412, 400 with a text about it), the manifest is refused, or the registry tells another digest than was sent => it fails and says that;
//  other refusals are shown as they are
#[test]
fn case_41_refused_manifests() {
    // spec: REG-82
    let cases: [(u16, &str, &str, &str); 5] = [
        (409, "CONFLICT", "tag already exists", "CONFLICT"),
        (412, "PRECONDITION", "immutable tag", "immutable"),
        (400, "TAG_INVALID", "tag 1 is immutable", "immutable"),
        (400, "MANIFEST_INVALID", "bad", "MANIFEST_INVALID"),
        (403, "DENIED", "no right to push", "DENIED"),
    ];
    for (status, code, message, shown) in cases {
        let scene = scene();
        scene.server.on(On::put("/manifests/1"), move |_| error(status, code, message));
        push(&scene).fails(1).says(shown);
        assert_eq!(scene.server.seen_of("PUT", "/manifests/1").len(), 1, "{status}: it does not pass");
        assert_eq!(scene.server.site().tagged("demo", "1"), None);
    }
    let scene = scene();
    let other = ctr_tests::oci::digest(b"other");
    let told = other.clone();
    scene.server.on(On::put("/manifests/1"), move |call| call.ordinary().with("Docker-Content-Digest", &told));
    push(&scene).fails(1).says(&other);
}

// FAULT 42: Ctrl-C, or SIGTERM, in the middle of an upload => the upload is taken back (DELETE), nothing has the name, the exit code is 130 or 143
#[test]
fn case_42_interrupted() {
    // spec: REG-83
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let scene = scene();
        scene.server.on(On::put("/uploads/"), |call| match call.request.body.len() {
            0..10_000 => call.ordinary(),
            // Until the client goes away.
            _ => Response::new(500).stall_before(),
        });
        let running = push(&scene).start();
        until("the upload is under way", || !bytes_of(&scene, "PUT").is_empty());
        kill(Pid::from_raw(running.pid()), signal).unwrap();
        let done = running.wait();
        assert_eq!(done.code, code, "{done}");
        assert!(!scene.server.seen_of("DELETE", "/uploads/").is_empty(), "{:?}", scene.server.log());
        assert_eq!(scene.server.site().open_uploads(), 0);
        assert_eq!(scene.server.site().tagged("demo", "1"), None);
    }
}

// FAULT 26: a PUT, PATCH or POST is redirected to another host => not followed: what is sent goes to the registry, or where its Location says
#[test]
fn case_26_redirected_uploads() {
    for part in ["/uploads/", "/manifests/"] {
        for method in ["PUT", "POST"] {
            if part == "/manifests/" && method == "POST" {
                continue;
            }
            let scene = scene();
            let elsewhere = Server::start(Fixed(Response::new(201)));
            let target = elsewhere.url("/take");
            scene.server.on(On::method(method, part), move |_| Response::new(307).header("Location", &target));
            push(&scene).fails(1).says("not followed");
            assert_eq!(elsewhere.log(), Vec::<String>::new(), "{method} {part}");
            assert_eq!(scene.server.site().tagged("demo", "1"), None);
        }
    }
}
