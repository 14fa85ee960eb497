//! Tables of good and bad documents.

use super::*;

const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A manifest with `layers` layers; `edit` replaces text in it.
fn manifest(layers: usize, edits: &[(&str, &str)]) -> String {
    let layer = format!(r#"{{"mediaType":"{}","digest":"{D}","size":10}}"#, MediaType::LAYER_GZIP);
    let layers = vec![layer; layers].join(",");
    let mut text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{D}","size":2}},"layers":[{layers}]}}"#,
        MediaType::MANIFEST,
        MediaType::CONFIG
    );
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn manifests_are_taken() {
    for (text, layers) in [
        (manifest(1, &[]), 1),
        (manifest(0, &[]), 0),
        (manifest(MAX_LAYERS, &[]), MAX_LAYERS),
        (manifest(0, &[("[]", "null")]), 0),
        (manifest(1, &[("\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",", "")]), 1),
        (
            manifest(
                2,
                &[
                    (
                        "application/vnd.oci.image.manifest.v1+json",
                        "application/vnd.docker.distribution.manifest.v2+json",
                    ),
                    ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"),
                    (
                        "application/vnd.oci.image.layer.v1.tar+gzip",
                        "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    ),
                ],
            ),
            2,
        ),
        (manifest(1, &[("\"schemaVersion\"", "\"unknown\":{\"a\":[1]},\"schemaVersion\"")]), 1),
    ] {
        let parsed = parse_manifest(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.layers.len(), layers, "{text}");
        assert_eq!(parsed.config.digest.to_string(), D);
    }
}

#[test]
fn manifests_are_refused() {
    for (text, reason) in [
        (manifest(1, &[("\"layers\"", "\"manifests\":[],\"layers\"")]), "both"),
        (manifest(1, &[("\"schemaVersion\":2", "\"schemaVersion\":1")]), "schema 1"),
        (manifest(1, &[("\"schemaVersion\":2,", "")]), "schemaVersion"),
        (manifest(MAX_LAYERS + 1, &[]), "layers"),
        (manifest(1, &[("layer.v1.tar+gzip", "layer.v1.tar+gzip+encrypted")]), "encrypted"),
        (manifest(1, &[("vnd.oci.image.config.v1+json", "vnd.cncf.helm.config.v1+json")]), "artifact"),
        (manifest(1, &[("\"size\":2", "\"size\":99999999999")]), "99999999999 bytes"),
        (manifest(1, &[("\"size\":10", "\"size\":-10")]), "acceptable"),
        (manifest(1, &[("sha256:e3b0", "sha256:E3b0")]), "acceptable"),
        (manifest(1, &[("sha256:e3b0c4", "sha512:e3b0c4")]), "acceptable"),
        (manifest(1, &[("image.manifest.v1", "image.index.v1")]), "image index"),
        (manifest(1, &[("\"size\":10", "\"size\":10,\"size\":11")]), "acceptable"),
        ("{}".to_owned(), "neither"),
        ("[]".to_owned(), "neither"),
        ("null".to_owned(), "neither"),
    ] {
        let error = parse_manifest(text.as_bytes()).expect_err(&text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn the_declared_type_must_agree() {
    let text = manifest(1, &[]);
    let docker = MediaType::from("application/vnd.docker.distribution.manifest.v2+json");
    assert!(parse_document(text.as_bytes(), Some(&docker)).is_ok(), "two names of one kind");
    assert!(parse_document(text.as_bytes(), Some(&MediaType::INDEX.into())).is_err());
    assert!(parse_document(text.as_bytes(), Some(&"text/html".into())).is_err());
}

#[test]
fn indexes_keep_their_order_and_platforms() {
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let entry = |arch: &str, digest: &str| {
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":7,"platform":{{"os":"linux","architecture":"{arch}"}},"annotations":{{"{REF_NAME}":"{arch}"}}}}"#,
            MediaType::MANIFEST
        )
    };
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
        entry("s390x", D),
        entry("x", &sha512),
        entry("amd64", D)
    );
    let index = parse_index(text.as_bytes()).unwrap();
    let platforms: Vec<String> =
        index.manifests.iter().filter_map(|d| d.platform.as_ref()).map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/s390x", "linux/amd64"]);
    assert_eq!(index.manifests[1].annotations[REF_NAME], "amd64");
}

#[test]
fn configs_are_mapped() {
    let text = format!(
        r#"{{"created":"2024-01-01T00:00:00Z","architecture":"arm64","variant":"v8","os":"linux",
        "config":{{"User":"app:staff","ExposedPorts":{{"80/tcp":{{}},"443/tcp":{{}}}},"Env":["A=1","B","=x","C="],
        "Entrypoint":["/bin/app"],"Cmd":null,"Volumes":{{"/b":{{}},"/a":{{}}}},"WorkingDir":"/srv",
        "Labels":{{"k":"v"}},"StopSignal":"SIGINT","Healthcheck":{{"Test":["CMD"]}},"OnBuild":null,"ArgsEscaped":true}},
        "rootfs":{{"type":"layers","diff_ids":["{D}"]}},"history":[{{"empty_layer":true}}]}}"#
    );
    let config = parse_config(text.as_bytes(), 1).unwrap();
    assert_eq!(config.platform.to_string(), "linux/arm64");
    assert_eq!(config.env, ["A=1", "C="]);
    assert_eq!(config.volumes, ["/a", "/b"]);
    assert_eq!(config.exposed_ports, ["443/tcp", "80/tcp"]);
    assert_eq!(
        (config.user.as_str(), config.stop_signal.as_str(), config.working_dir.as_str()),
        ("app:staff", "SIGINT", "/srv")
    );
    assert_eq!(config.entrypoint, ["/bin/app"]);
    assert!(config.cmd.is_empty());
}

#[test]
fn configs_are_refused() {
    for (text, layers, reason) in [
        (format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{D}"]}}}}"#), 2, "diff ids"),
        (r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:12"]}}"#.to_owned(), 1, "digest"),
        (r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"tree","diff_ids":[]}}"#.to_owned(), 0, "rootfs.type"),
        (r#"{"architecture":"amd64","os":"linux"}"#.to_owned(), 0, "rootfs.type"),
        (r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#.to_owned(), 0, "acceptable"),
        (
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":null},"config":{"Cmd":["a\u0000b"]}}"#
                .to_owned(),
            0,
            "NUL",
        ),
        (
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Cmd":"sh"}}"#.to_owned(),
            0,
            "acceptable",
        ),
    ] {
        let error = parse_config(text.as_bytes(), layers).expect_err(&text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn layouts_of_version_1_are_known() {
    assert!(check_layout(br#"{"imageLayoutVersion":"1.0.0"}"#).is_ok());
    for bad in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "x"] {
        assert!(check_layout(bad.as_bytes()).is_err(), "{bad}");
    }
}
