//! The launch record: what the start path needs of an image, written at import so that no OCI JSON is parsed to start.
//!
//! It lies in the store beside the blobs, is derived from them, and can be written again from them at any time.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Version of the record that this release writes.
pub const LAUNCH_VERSION: u32 = 1;

/// What `ctr-run` needs of an image (spec/05-store.md "Launch record").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// [`LAUNCH_VERSION`] of the writer.
    pub version: u32,
    /// Digest of the image manifest: the identity of the image.
    pub image: Digest,
    /// Digest of the image config.
    pub config: Digest,
    /// Operating system, as Go names it (`linux`).
    pub os: String,
    /// Architecture, as Go names it (`amd64`).
    pub architecture: String,
    /// Architecture variant (`v8`), empty if none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Names of the layer directories under `store/layers`, lowest first.
    pub layers: Vec<LayerId>,
    /// The largest user id that owns a file of the image.
    pub max_uid: u32,
    /// The largest group id that owns a file of the image.
    pub max_gid: u32,
    /// `config.Entrypoint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// `config.Cmd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// `config.Env`, each `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `config.User`: `user`, `uid`, `user:group`, `uid:gid`, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `config.WorkingDir`, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// `config.StopSignal` (`SIGTERM`, `SIGRTMIN+3`), or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Paths of `config.Volumes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// `config.ExposedPorts`, each `port/protocol`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// `config.Labels`, sorted by key.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// Name of an unpacked layer's directory: 64 hexadecimal digits of a diff id or a chain id (spec/05-store.md "Layers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub Digest);

impl std::fmt::Display for LayerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl Serialize for LayerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LayerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Digest::from_hex(&text).map(Self).map_err(serde::de::Error::custom)
    }
}
