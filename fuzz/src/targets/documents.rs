//! Documents: what an image says of itself.

use ctr_core::spec::{appc, docker, oci};

use crate::Target;

/// Image manifests, indexes, configs, and docker-archive's manifest.json.
pub(crate) const MANIFEST_CONFIG: Target = Target {
    name: "manifest_config",
    run: manifest_config,
    vectors: &["manifests"],
    data: None,
    seeds: &[
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":10}],"annotations":{"a":"b"}}"#,
        br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}"#,
        br#"{"architecture":"amd64","os":"linux","config":{"User":"1:2","Env":["A=b"],"Entrypoint":["/a"],"Cmd":["b"],"WorkingDir":"/","ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},"Labels":{"x":"y"},"StopSignal":"SIGTERM"},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created":"2020-01-01T00:00:00Z","empty_layer":true}]}"#,
        br#"[{"Config":"a.json","RepoTags":["a:b"],"Layers":["x/layer.tar"]}]"#,
    ],
};

fn manifest_config(bytes: &[u8]) {
    let document = oci::parse_document(bytes, None);
    // A document has one kind: two readers must not see two images in the same bytes.
    let both = oci::parse_manifest(bytes).is_ok() && oci::parse_index(bytes).is_ok();
    assert!(!both, "read as a manifest and as an index");
    drop(document);
    for layers in 0..3 {
        drop(oci::parse_config(bytes, layers));
    }
    drop(oci::check_layout(bytes));
    if let Ok(images) = docker::parse(bytes) {
        let again = docker::parse(&docker::write(&images));
        assert!(again.is_ok_and(|again| again.len() == images.len()), "what was written is not read");
    }
}

/// Manifests of legacy appc images.
pub(crate) const APPC_MANIFEST: Target = Target {
    name: "appc_manifest",
    run: |bytes| drop(appc::parse(bytes)),
    vectors: &["manifests/appc.json"],
    data: None,
    seeds: &[br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/app","labels":[{"name":"os","value":"linux"},{"name":"arch","value":"amd64"}],"app":{"exec":["/bin/app","-x"],"user":"0","group":"0","workingDirectory":"/","environment":[{"name":"A","value":"b"}],"mountPoints":[{"name":"data","path":"/data"}],"ports":[{"name":"web","port":80,"protocol":"tcp"}]},"annotations":[{"name":"created","value":"2015-01-01T00:00:00Z"}]}"#],
};
