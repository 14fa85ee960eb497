//! Builds for several platforms, and on images of other ones.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::build::Builder;
use ctr_tests::scratch::{Cmd, names};
use ctr_tests::servers::{DockerRegistry, RunningRegistry};
use ctr_tests::{need, store_check};
use serde_json::Value;

/// A program is made on this machine for each platform, and shipped alone.
const CROSS: &str = "FROM --platform=$BUILDPLATFORM base/busybox:1 AS build
ARG TARGETARCH
ARG TARGETPLATFORM
RUN echo for $TARGETPLATFORM > /made
FROM scratch
ARG TARGETARCH
COPY --from=build /made /program
COPY data-$TARGETARCH /data
LABEL arch=$TARGETARCH
";

fn own() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

fn other() -> &'static str {
    if own() == "amd64" { "arm64" } else { "amd64" }
}

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    let dir = builder.root.file("context");
    fs::create_dir_all(&dir).unwrap();
    for (name, content) in [("Dockerfile", dockerfile), ("data-amd64", "amd64\n"), ("data-arm64", "arm64\n")] {
        fs::write(dir.join(name), content).unwrap();
    }
    dir
}

fn build(builder: &Builder, platforms: &str, context: &Path) -> Cmd {
    builder.ctr("build").args(["--pull=never", "--quiet", "--platform", platforms]).arg(context)
}

/// `name` at the registry, as it is there.
fn raw(registry: &RunningRegistry, name: &str) -> Value {
    let skopeo = Cmd::new("skopeo").args(["inspect", "--raw", "--tls-verify=false"]);
    serde_json::from_str(&skopeo.arg(format!("docker://{}", registry.name(name))).ok()).unwrap()
}

// spec: BUILD-93
#[test]
fn an_index_of_several_platforms() {
    need!(root, "docker-registry", "skopeo");
    let registry = DockerRegistry::new().start();
    let builder = Builder::new();
    let dir = context(&builder, CROSS);
    let name = registry.name("team/cross:1");
    let (metadata, archive, files) =
        (builder.root.file("metadata"), builder.root.file("cross.tar"), builder.root.file("files"));
    let built = build(&builder, "linux/amd64,linux/arm64", &dir)
        .args(["--tag", &name, "--push", "--sbom=spdx", "--provenance", "--verify-reproducible"])
        .args(["--output", &format!("type=oci-archive,dest={}", archive.display())])
        .args(["--output", &format!("type=dir,dest={}", files.display())])
        .arg("--metadata-file")
        .arg(&metadata)
        .ok();
    let metadata: Value = serde_json::from_slice(&fs::read(&metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], built.trim());
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], "application/vnd.oci.image.index.v1+json");

    // The registry has the index, each image in it is what its platform has, and what is said of it.
    let index = raw(&registry, "team/cross:1");
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    // Behind the images, what is said of each, as BuildKit has it.
    assert_eq!(platforms, ["amd64", "arm64", "unknown", "unknown"]);
    for (at, statements) in [(0, 2), (1, 3)] {
        let annotations = &index["manifests"][statements]["annotations"];
        assert_eq!(annotations["vnd.docker.reference.type"], "attestation-manifest");
        assert_eq!(annotations["vnd.docker.reference.digest"], index["manifests"][at]["digest"]);
        let digest = index["manifests"][statements]["digest"].as_str().unwrap();
        let manifest: Value = serde_json::from_str(
            &Cmd::new("skopeo")
                .args(["inspect", "--raw", "--tls-verify=false"])
                .arg(format!("docker://{}@{digest}", registry.name("team/cross")))
                .ok(),
        )
        .unwrap();
        let said = |at: usize| &manifest["layers"][at]["annotations"]["in-toto.io/predicate-type"];
        assert_eq!((said(0), said(1)), (&"https://spdx.dev/Document".into(), &"https://slsa.dev/provenance/v1".into()));
    }
    for (at, arch) in ["amd64", "arm64"].into_iter().enumerate() {
        let layout = builder.root.file(&format!("layout-{arch}"));
        Cmd::new("skopeo")
            .args(["copy", "-q", "--src-tls-verify=false", "--insecure-policy", "--override-arch", arch])
            .arg(format!("docker://{name}"))
            .arg(format!("dir:{}", layout.display()))
            .ok();
        let manifest: Value = serde_json::from_slice(&fs::read(layout.join("manifest.json")).unwrap()).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap().replace("sha256:", "");
        let config: Value = serde_json::from_slice(&fs::read(layout.join(config)).unwrap()).unwrap();
        assert_eq!((&config["architecture"], &config["config"]["Labels"]["arch"]), (&arch.into(), &arch.into()));
        let tree = files.join(format!("linux_{arch}"));
        assert_eq!(fs::read_to_string(tree.join("program")).unwrap(), format!("for linux/{arch}\n"));
        assert_eq!(fs::read_to_string(tree.join("data")).unwrap(), format!("{arch}\n"));
        let image = index["manifests"][at]["digest"].as_str().unwrap().replace(':', "-");
        let referrers = raw(&registry, &format!("team/cross:{image}"));
        assert_eq!(referrers["manifests"][0]["artifactType"], "application/spdx+json", "{arch}");
    }
    Cmd::new("skopeo")
        .args(["copy", "-q", "--all", "--insecure-policy", &format!("oci-archive:{}", archive.display())])
        .arg(format!("dir:{}", builder.root.file("all").display()))
        .ok();

    // Here the name is this machine's image; nothing is built twice; the collector takes none of the platforms.
    let details = builder.ctr("image").args(["inspect", &name]).ok();
    assert!(details.contains(&format!("linux/{}\n", own())), "{details}");
    let again = builder.ctr("build").args(["--pull=never", "--format=json", "--platform=linux/amd64,linux/arm64"]);
    let again: Value =
        serde_json::from_str(&again.args(["--tag", &name, "--sbom=spdx", "--provenance"]).arg(&dir).ok()).unwrap();
    assert_eq!((&again["digest"], &again["steps"]["run"]), (&built.trim().into(), &0.into()), "{again}");
    assert_eq!(again["images"][1]["platform"], "linux/arm64", "{again}");
    builder.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(store_check::complaints(&builder.root.store()), Vec::<String>::new());
    builder
        .ctr("push")
        .args(["--all-platforms", &name, &format!("oci:{}", builder.root.file("pushed").display())])
        .ok();
}

// spec: BUILD-94
#[test]
fn bases_of_other_platforms_move_no_name() {
    need!(root, "docker-registry");
    let registry = DockerRegistry::new().start();
    let name = registry.name("team/base:1");
    let maker = Builder::new();
    build(&maker, "linux/amd64,linux/arm64", &context(&maker, CROSS)).args(["--tag", &name, "--push"]).ok();

    let builder = Builder::new();
    builder.ctr("fetch").arg(&name).ok();
    let before = store_check::refs(&builder.root.store());
    let dir = context(&builder, &format!("FROM {name}\nCOPY data-arm64 /more\n"));
    let foreign = format!("linux/{}", other());
    let refused = build(&builder, &foreign, &dir).fails(1);
    assert!(refused.stderr.contains(&format!("not for {foreign}")), "{refused}");
    let files = builder.root.file("files");
    let output = format!("type=dir,dest={}", files.display());
    builder.ctr("build").args(["--quiet", "--platform", &foreign, "--output", &output]).arg(&dir).ok();
    assert_eq!(fs::read_to_string(files.join("data")).unwrap(), format!("{}\n", other()));
    assert_eq!(store_check::refs(&builder.root.store()), before);
    // The image is there now, as one of the index that the name came with.
    build(&builder, &foreign, &dir).ok();
    build(&builder, &format!("linux/{}", own()), &dir).ok();
}

// spec: BUILD-95
#[test]
fn programs_of_other_platforms_need_an_emulator() {
    need!(root);
    let builder = Builder::new();
    // A program that this machine does not execute, in an image that says so.
    let mut program = fs::read("/bin/busybox").unwrap();
    program[18..20].copy_from_slice(&0x9026_u16.to_le_bytes());
    let dir = context(&builder, "FROM scratch\nCOPY busybox /bin/sh\n");
    fs::write(dir.join("busybox"), program).unwrap();
    std::os::unix::fs::chown(dir.join("busybox"), Some(0), Some(0)).unwrap();
    fs::set_permissions(dir.join("busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    build(&builder, "linux/alpha", &dir).args(["--tag", "foreign:1"]).ok();
    let failed = build(&builder, "linux/alpha", &context(&builder, "FROM foreign:1\nRUN true\n")).fails(1);
    for words in ["Dockerfile:2", "programs of linux/alpha need an emulator", "$BUILDPLATFORM"] {
        assert!(failed.stderr.contains(words), "{words}: {failed}");
    }
}

// spec: BUILD-93
#[test]
fn outputs_of_one_image_take_no_index() {
    let builder = Builder::new();
    let dir = context(&builder, CROSS);
    for kind in ["docker-archive", "aci", "tar"] {
        let output = format!("type={kind},dest={}", builder.root.file("out").display());
        let refused = build(&builder, "linux/amd64,linux/arm64", &dir).args(["--output", &output]).fails(2);
        assert!(refused.stderr.contains("one platform"), "{refused}");
    }
    let refused = build(&builder, "linux/amd64,what is this", &dir).fails(2);
    assert!(refused.stderr.contains("what is this"), "{refused}");
    assert!(!names(&builder.root.path()).contains(&"out".to_owned()));
}
