//! Documents that we write: the same input always gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::oci::{Descriptor, MediaType};
use super::platform::Platform;
use crate::digest::Digest;

/// Content of the `oci-layout` file.
pub const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What an image config that we make says.
#[derive(Debug, Clone, Default)]
pub struct NewConfig {
    /// RFC 3339 time of making.
    pub created: String,
    /// `os`, `architecture`, `variant`.
    pub platform: Option<Platform>,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What made the layer, one per layer, for `history`.
    pub created_by: String,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`.
    pub env: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `StopSignal`.
    pub stop_signal: String,
    /// `Volumes`.
    pub volumes: Vec<String>,
    /// `ExposedPorts`.
    pub exposed_ports: Vec<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// Go's `map[string]struct{}`: each name is a key with an empty object.
struct GoSet<'a>(&'a [String]);

impl GoSet<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for GoSet<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: BTreeSet<&String> = self.0.iter().collect();
        let empty = BTreeMap::<&str, &str>::new();
        serializer.collect_map(names.into_iter().map(|name| (name, &empty)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "GoSet::is_empty")]
    exposed_ports: GoSet<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "GoSet::is_empty")]
    volumes: GoSet<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
}

#[derive(Serialize)]
struct RootFsJson<'a> {
    r#type: &'static str,
    diff_ids: &'a [Digest],
}

#[derive(Serialize)]
struct HistoryJson<'a> {
    created: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
}

#[derive(Serialize)]
struct ConfigJson<'a> {
    created: &'a str,
    architecture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
    os: &'a str,
    config: RunJson<'a>,
    rootfs: RootFsJson<'a>,
    history: Vec<HistoryJson<'a>>,
}

/// The bytes of an OCI image config.
pub fn config(new: &NewConfig) -> Vec<u8> {
    let host = Platform::host();
    let platform = new.platform.as_ref().unwrap_or(&host);
    let history = new.diff_ids.iter().map(|_| HistoryJson { created: &new.created, created_by: &new.created_by });
    to_bytes(&ConfigJson {
        created: &new.created,
        architecture: &platform.architecture,
        variant: &platform.variant,
        os: &platform.os,
        config: RunJson {
            user: &new.user,
            exposed_ports: GoSet(&new.exposed_ports),
            env: &new.env,
            entrypoint: &new.entrypoint,
            cmd: &new.cmd,
            volumes: GoSet(&new.volumes),
            working_dir: &new.working_dir,
            labels: &new.labels,
            stop_signal: &new.stop_signal,
        },
        rootfs: RootFsJson { r#type: "layers", diff_ids: &new.diff_ids },
        history: history.collect(),
    })
}

#[derive(Serialize)]
struct PlatformJson<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorJson<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformJson<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Descriptor> for DescriptorJson<'a> {
    fn from(from: &'a Descriptor) -> Self {
        Self {
            media_type: &from.media_type.0,
            digest: from.digest,
            size: from.size,
            platform: from.platform.as_ref().map(|p| PlatformJson {
                architecture: &p.architecture,
                os: &p.os,
                variant: &p.variant,
            }),
            annotations: &from.annotations,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestJson<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: DescriptorJson<'a>,
    layers: Vec<DescriptorJson<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// The bytes of an OCI image manifest.
pub fn manifest(config: &Descriptor, layers: &[Descriptor], annotations: &BTreeMap<String, String>) -> Vec<u8> {
    to_bytes(&ManifestJson {
        schema_version: 2,
        media_type: MediaType::MANIFEST,
        config: config.into(),
        layers: layers.iter().map(Into::into).collect(),
        annotations,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexJson<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<DescriptorJson<'a>>,
}

/// The bytes of an OCI image index, or of a layout's `index.json`.
pub fn index(manifests: &[Descriptor]) -> Vec<u8> {
    to_bytes(&IndexJson {
        schema_version: 2,
        media_type: MediaType::INDEX,
        manifests: manifests.iter().map(Into::into).collect(),
    })
}

/// Structs of strings, numbers, lists and maps with string keys: serde_json has no way to fail on them.
fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::oci;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let platform: Platform = "linux/arm/v7".parse().unwrap();
        let new = NewConfig {
            created: "1970-01-01T00:00:00Z".to_owned(),
            platform: Some(platform.clone()),
            diff_ids: vec![Digest::of(b"layer")],
            entrypoint: vec!["/bin/app".to_owned()],
            env: vec!["A=b".to_owned()],
            volumes: vec!["/data".to_owned()],
            exposed_ports: vec!["80/tcp".to_owned()],
            labels: [("k".to_owned(), "v\n\"".to_owned())].into(),
            ..NewConfig::default()
        };
        let bytes = config(&new);
        let read = oci::parse_config(&bytes, 1).unwrap();
        assert_eq!(read.platform, platform);
        assert_eq!((read.entrypoint, read.env, read.volumes), (new.entrypoint, new.env, new.volumes));
        assert_eq!((read.exposed_ports, read.labels), (new.exposed_ports, new.labels));

        let config = Descriptor::new(MediaType::CONFIG, Digest::of(&bytes), bytes.len() as u64);
        let layers = [Descriptor::new(MediaType::LAYER_ZSTD, Digest::of(b"z"), 1)];
        let annotations = [("a".to_owned(), "b".to_owned())].into();
        let bytes = manifest(&config, &layers, &annotations);
        let read = oci::parse_manifest(&bytes).unwrap();
        assert_eq!((read.config, read.layers.as_slice(), read.annotations), (config, &layers[..], annotations));

        let mut entry = Descriptor::new(MediaType::MANIFEST, Digest::of(&bytes), bytes.len() as u64);
        entry.platform = Some(platform);
        entry.annotations.insert(oci::REF_NAME.to_owned(), "latest".to_owned());
        assert_eq!(oci::parse_index(&index(&[entry.clone()])).unwrap().manifests, [entry]);
        assert!(oci::check_layout(OCI_LAYOUT).is_ok());
    }
}
