//! `ctr-push`: what registries and other tools get. The registry is Debian's docker-registry, other readers are skopeo and podman.

use std::fs;

use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{DockerRegistry, RunningRegistry};
use ctr_tests::{images, oci, schema};
use serde_json::Value;

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
    // spec: REG-70, REG-71, REG-72, CLI-130, CLI-131
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
