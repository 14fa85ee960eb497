//! Caches of builds that are kept in a registry.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::build::Builder;
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{DockerRegistry, Login, RunningRegistry};
use ctr_tests::{need, store_check, users};
use serde_json::Value;

const DOCKERFILE: &str = "FROM base/busybox:1 AS made
COPY src /src
RUN --mount=type=cache,target=/c echo x >> /c/log; cat /src/a > /b
FROM base/busybox:1
COPY --from=made /b /b
RUN cat /b > /c
";

fn context(root: &Root) -> PathBuf {
    let dir = root.file("context");
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("Dockerfile"), DOCKERFILE).unwrap();
    fs::write(dir.join("src/a"), "a\n").unwrap();
    dir
}

/// What a build with these options prints, as JSON, and what it says.
fn build(builder: &Builder, options: &[&str], authfile: Option<&Path>) -> (Value, String) {
    let dir = context(&builder.root);
    let mut command =
        builder.ctr("build").args(["--pull=never", "--format=json"]).args(options.iter().copied()).arg(&dir);
    if let Some(file) = authfile {
        command = command.env("REGISTRY_AUTH_FILE", file.display().to_string());
    }
    let done = command.run();
    assert_eq!(done.code, 0, "{done}");
    (serde_json::from_str(&done.stdout).unwrap(), done.stderr)
}

/// Steps that were carried out.
fn steps(built: &Value) -> u64 {
    built["steps"]["run"].as_u64().unwrap()
}

fn uploads(registry: &RunningRegistry) -> usize {
    registry.log().lines().filter(|line| line.contains("POST ") && line.contains("/blobs/uploads")).count()
}

// spec: BUILD-96
#[test]
fn a_registry_keeps_what_builds_did() {
    need!(root, "docker-registry", "skopeo");
    let registry = DockerRegistry::new().start();
    let name = registry.name("team/cache:main");
    let place = format!("type=registry,ref={name}");
    let both = ["--cache-from", &place, "--cache-to", &place];
    let first = Builder::new();
    let (built, said) = build(&first, &both, None);
    assert!(said.contains("there is no cache") && steps(&built) == 4, "{said} {built}");
    let sent = uploads(&registry);
    // Two layers of each stage at most, a cache of RUN, the document; equal layers once.
    assert!((4..=6).contains(&sent), "{sent}");

    // Another machine carries nothing out, and sends nothing again.
    let second = Builder::new();
    let (again, said) = build(&second, &both, None);
    assert_eq!((&again["digest"], steps(&again)), (&built["digest"], 0), "{said}");
    assert_eq!(uploads(&registry), sent);
    assert_eq!(store_check::complaints(&second.root.store()), Vec::<String>::new());
    // The cache of RUN came along: the command that is carried out again finds it.
    let third = Builder::new();
    let dockerfile = DOCKERFILE.replace("cat /src/a > /b", "cp /c/log /b");
    let dir = context(&third.root);
    fs::write(dir.join("Dockerfile"), dockerfile).unwrap();
    let files = third.root.file("files");
    let output = format!("type=dir,dest={}", files.display());
    third.ctr("build").args(["--pull=never", "--quiet", "--cache-from", &place, "--output", &output]).arg(&dir).ok();
    assert_eq!(fs::read_to_string(files.join("c")).unwrap(), "x\nx\n");

    // Others see an artifact that they can copy.
    let copied = third.root.file("copied");
    let copy = Cmd::new("skopeo").args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false"]);
    copy.arg(format!("docker://{name}")).arg(format!("dir:{}", copied.display())).ok();

    // What is damaged is told, and done again; what is no cache too.
    let blobs = registry.data().join("docker/registry/v2/blobs/sha256");
    let manifest: Value = serde_json::from_slice(&fs::read(copied.join("manifest.json")).unwrap()).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let hex = layer["digest"].as_str().unwrap().trim_start_matches("sha256:");
        let data = blobs.join(&hex[..2]).join(hex).join("data");
        let size = usize::try_from(fs::metadata(&data).unwrap().len()).unwrap();
        fs::write(&data, vec![b'x'; size]).unwrap();
    }
    let fourth = Builder::new();
    let (again, said) = build(&fourth, &["--cache-from", &place], None);
    assert_eq!((&again["digest"], steps(&again)), (&built["digest"], 4), "{said}");
    assert!(said.contains("was not used"), "{said}");
    assert_eq!(store_check::complaints(&fourth.root.store()), Vec::<String>::new());
    let image = registry.name("team/image:1");
    build(&fourth, &["--tag", &image, "--push"], None);
    let (_, said) = build(&fourth, &["--no-cache", "--cache-from", &format!("type=registry,ref={image}")], None);
    assert!(!said.contains("is no cache"), "with --no-cache nothing is looked up: {said}");
    let fifth = Builder::new();
    let (_, said) = build(&fifth, &["--cache-from", &format!("type=registry,ref={image}")], None);
    assert!(said.contains("it is no cache of ctr-build"), "{said}");
}

// spec: BUILD-96
#[test]
fn only_who_may_write_keeps_a_cache() {
    need!(root, "docker-registry", "setpriv", "useradd", "newuidmap");
    let registry = DockerRegistry::new().login(Login::Basic("bob", "secret")).start();
    let place = format!("type=registry,ref={}", registry.name("team/cache:main"));
    let builder = Builder::of_user(users::with_range());
    let dir = context(&builder.root);
    let refused =
        builder.ctr("build").args(["--pull=never", "--tag", "app:1", "--cache-to", &place]).arg(&dir).fails(1);
    for words in ["cannot write the cache", "refuses access", "ctr-login"] {
        assert!(refused.stderr.to_lowercase().contains(words), "{words}: {refused}");
    }
    let refs = store_check::refs(&builder.root.store());
    assert!(!refs.contains_key("docker.io/library/app:1"), "{refs:?}");
    // bob:secret
    let authfile = builder.root.file("auth.json");
    fs::write(&authfile, format!("{{\"auths\":{{\"{}\":{{\"auth\":\"Ym9iOnNlY3JldA==\"}}}}}}", registry.host()))
        .unwrap();
    fs::set_permissions(&authfile, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    build(&builder, &["--cache-to", &place], Some(&authfile));
    let other = Builder::new();
    let (built, said) = build(&other, &["--cache-from", &place], Some(&authfile));
    assert_eq!(steps(&built), 0, "{said}");
}
