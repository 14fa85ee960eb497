//! Images that other tools pushed: fetched, and run.

use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{DockerRegistry, RunningRegistry};
use ctr_tests::{images, need, store_check};

/// Fetches `name` into a store of its own, and runs it.
#[track_caller]
fn runs(registry: &RunningRegistry, name: &str) -> Root {
    let (root, name) = (Root::new(), registry.name(name));
    root.ctr("fetch").arg(&name).ok();
    let run = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "--pull=never", &name, "echo", "here"]);
    assert_eq!(run.ok(), "here");
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    root
}

/// The media type of the only layer of what `name` stands for.
fn layer_type(registry: &RunningRegistry, name: &str) -> String {
    let raw = Cmd::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{}", registry.name(name)));
    let manifest: serde_json::Value = serde_json::from_str(&raw.ok()).unwrap();
    manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned()
}

#[test]
fn what_skopeo_pushed() {
    // spec: REG-8, REG-10
    need!(root, "docker-registry", "skopeo");
    for (name, options, media_type) in [
        ("gzip", &["--format=oci", "--dest-compress-format=gzip"][..], "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("zstd", &["--format=oci", "--dest-compress-format=zstd"], "application/vnd.oci.image.layer.v1.tar+zstd"),
        (
            "chunked",
            &["--format=oci", "--dest-compress-format=zstd:chunked"],
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ),
        ("docker", &["--format=v2s2"], "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ] {
        // One registry each: skopeo takes a blob that it sent before, however it is compressed.
        let registry = DockerRegistry::new().start();
        let to = format!("docker://{}", registry.name(&format!("team/{name}:1")));
        let options: Vec<&str> = ["--dest-tls-verify=false"].iter().chain(options).copied().collect();
        // The layer is not compressed yet; skopeo does it on the way.
        images::skopeo_copy(&options, &images::busybox(), &to);
        assert_eq!(layer_type(&registry, &format!("team/{name}:1")), media_type, "{name}");
        runs(&registry, &format!("team/{name}:1"));
    }
}

#[test]
fn what_podman_pushed() {
    // spec: REG-8, REG-13
    need!(root, "docker-registry", "skopeo", "podman");
    let (registry, scratch) = (DockerRegistry::new().start(), Root::new());
    let storage = scratch.file("podman").display().to_string();
    let podman = |args: &[&str]| {
        let own = ["--root", &storage, "--runroot", &format!("{storage}-run"), "--storage-driver", "vfs"];
        Cmd::new("podman").args(own).args(args.iter().copied()).ok()
    };
    let archive = scratch.file("busybox.tar").display().to_string();
    images::skopeo_copy(&[], &images::busybox(), &format!("docker-archive:{archive}:docker.io/library/busybox:1"));
    podman(&["load", "-q", "-i", &archive]);
    for (name, format) in [("v2s2", "v2s2"), ("oci", "oci")] {
        let to = format!("docker://{}", registry.name(&format!("podman/{name}:1")));
        podman(&["push", "-q", "--tls-verify=false", "--format", format, "docker.io/library/busybox:1", &to]);
        runs(&registry, &format!("podman/{name}:1"));
    }
    // Another architecture of the same name: it is a list, and this machine's image is taken of it.
    podman(&["manifest", "create", "both"]);
    let other = if std::env::consts::ARCH == "aarch64" { "amd64" } else { "arm64" };
    let image = format!("docker://{}", registry.name("podman/oci:1"));
    podman(&["manifest", "add", "--tls-verify=false", "--arch", other, "--os", "linux", "both", &image]);
    let second = format!("docker://{}", registry.name("podman/v2s2:1"));
    podman(&["manifest", "add", "--tls-verify=false", "both", &second]);
    let to = format!("docker://{}", registry.name("podman/both:1"));
    podman(&["manifest", "push", "-q", "--all", "--tls-verify=false", "both", &to]);
    let root = runs(&registry, "podman/both:1");
    let name = registry.name("podman/both:1");
    root.ctr("fetch").args(["--pull=always", "--all-platforms", &name]).ok();
    let images = std::fs::read_dir(root.store().join("images")).unwrap().count();
    assert_eq!(images, 2, "one for each platform");
}
