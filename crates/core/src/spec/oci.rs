//! OCI image documents, and Docker's schema 2 which they grew from, mapped to our own types.
//!
//! The only place that names oci-spec. Bytes are checked as JSON first ([`super::json`]), then read by oci-spec's types,
//! then by the rules here that its types do not express.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use oci_spec::image as upstream;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::platform::Platform;
use super::{MAX_DOCUMENT, MAX_LAYERS, SpecError, json};
use crate::digest::Digest;

const MANIFEST: &str = "image manifest";
const INDEX: &str = "image index";
const CONFIG: &str = "image config";

/// A media type as its document has it. [`MediaType::kind`] says what it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType(pub String);

/// What a media type means, OCI's and Docker's names alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image index (manifest list).
    Index,
    /// An image manifest.
    Manifest,
    /// An image config.
    Config,
    /// A file system layer. How it is compressed is seen in its first bytes, never believed from the name.
    Layer,
    /// Anything else.
    Other,
}

impl MediaType {
    /// OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer: a plain tar.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer: tar in gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer: tar in zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

    /// What it means.
    pub fn kind(&self) -> Kind {
        match self.0.as_str() {
            Self::INDEX | "application/vnd.docker.distribution.manifest.list.v2+json" => Kind::Index,
            Self::MANIFEST | "application/vnd.docker.distribution.manifest.v2+json" => Kind::Manifest,
            Self::CONFIG | "application/vnd.docker.container.image.v1+json" => Kind::Config,
            Self::LAYER
            | Self::LAYER_GZIP
            | Self::LAYER_ZSTD
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Kind::Layer,
            _ => Kind::Other,
        }
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reference to content: its type, digest and size (descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Type of the content.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// What the content runs on, in the entries of an index.
    pub platform: Option<Platform>,
    /// Annotations of the reference, sorted.
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be had (descriptor.md "urls"). Foreign layers have nothing else.
    pub urls: Vec<String>,
}

/// `org.opencontainers.image.ref.name`: the tag in the index of an image layout (image-layout.md "Index.json").
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Descriptor {
    /// A descriptor without platform and annotations.
    pub fn new(media_type: impl Into<MediaType>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    /// Names a manifest or an index.
    pub fn is_image(&self) -> bool {
        matches!(self.media_type.kind(), Kind::Manifest | Kind::Index)
    }
}

/// An image manifest (manifest.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Annotations, sorted.
    pub annotations: BTreeMap<String, String>,
}

/// An image index (image-index.md), or the `index.json` of an image layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What it lists, in its order. Entries with a digest that ctr cannot keep are left out.
    pub manifests: Vec<Descriptor>,
    /// Annotations, sorted.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest or an index: what a name can stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// A choice of images.
    Index(Index),
}

/// An image config (config.md), as far as ctr uses it. The bytes stay in the store for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    pub created: Option<String>,
    /// What the image runs on.
    pub platform: Platform,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// `config.Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `config.Cmd`.
    pub cmd: Vec<String>,
    /// `config.Env`, each `NAME=value`.
    pub env: Vec<String>,
    /// `config.User`, or empty.
    pub user: String,
    /// `config.WorkingDir`, or empty.
    pub working_dir: String,
    /// `config.StopSignal`, or empty.
    pub stop_signal: String,
    /// Paths of `config.Volumes`, sorted.
    pub volumes: Vec<String>,
    /// `config.ExposedPorts`, sorted.
    pub exposed_ports: Vec<String>,
    /// `config.Labels`, sorted.
    pub labels: BTreeMap<String, String>,
}

/// Parses the image manifest or image index that `bytes` hold.
///
/// `declared` is the media type that the descriptor or the server told. A document that could be read as either kind,
/// or says another kind than was declared, is refused: two readers must not see two images in it (CVE-2021-41190).
pub fn parse_document(bytes: &[u8], declared: Option<&MediaType>) -> Result<Document, SpecError> {
    let value = json::parse(bytes, MANIFEST)?;
    let has = |key: &str| value.get(key).is_some_and(|v| !v.is_null());
    if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
        return Err(SpecError::unsupported(
            MANIFEST,
            "Docker schema 1 is not supported; push the image again with a current tool",
        ));
    }
    let inside = value.get("mediaType").and_then(Value::as_str).map(MediaType::from);
    let mut kinds = [declared, inside.as_ref()].into_iter().flatten().map(|m| (m, m.kind()));
    let told = kinds.next();
    if let (Some((first, a)), Some((second, b))) = (told, kinds.next())
        && a != b
    {
        return Err(SpecError::malformed(MANIFEST, format!("declared as {first}, but it says that it is {second}")));
    }
    let (index, manifest) = (has("manifests"), has("config") || has("layers"));
    if index && manifest {
        return Err(SpecError::malformed(MANIFEST, "it has both \"manifests\" and \"config\" or \"layers\""));
    }
    match told.map(|(_, kind)| kind) {
        Some(Kind::Index) => index_of(value).map(Document::Index),
        Some(Kind::Manifest) => manifest_of(value).map(Document::Manifest),
        None if index => index_of(value).map(Document::Index),
        None if manifest => manifest_of(value).map(Document::Manifest),
        None => Err(SpecError::malformed(MANIFEST, "it is neither an image manifest nor an image index")),
        Some(_) => {
            let name = told.map(|(m, _)| m.to_string()).unwrap_or_default();
            Err(SpecError::unsupported(MANIFEST, format!("{name} is no kind of image that ctr knows")))
        }
    }
}

/// Parses an image manifest.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest, SpecError> {
    match parse_document(bytes, None)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(SpecError::malformed(MANIFEST, "it is an image index")),
    }
}

/// Parses an image index, or the `index.json` of an image layout.
pub fn parse_index(bytes: &[u8]) -> Result<Index, SpecError> {
    match parse_document(bytes, None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(SpecError::malformed(INDEX, "it is an image manifest")),
    }
}

/// Checks the `oci-layout` file of an image layout (image-layout.md "oci-layout file").
pub fn check_layout(bytes: &[u8]) -> Result<(), SpecError> {
    let value = json::parse(bytes, "oci-layout")?;
    let layout: upstream::OciLayout = typed(value, "oci-layout")?;
    if layout.image_layout_version().starts_with("1.") {
        return Ok(());
    }
    Err(SpecError::unsupported(
        "oci-layout",
        format!("layout version \"{}\" (1.x is known)", layout.image_layout_version()),
    ))
}

/// Parses an image config. `layers` is how many layers the manifest has: the config must tell as many diff ids.
pub fn parse_config(bytes: &[u8], layers: usize) -> Result<ImageConfig, SpecError> {
    let mut value = json::parse(bytes, CONFIG)?;
    // Go writes an empty list as null.
    if let Some(diff_ids) = value.pointer_mut("/rootfs/diff_ids").filter(|v| v.is_null()) {
        *diff_ids = Value::Array(Vec::new());
    }
    if value.pointer("/rootfs/type").and_then(Value::as_str) != Some("layers") {
        return Err(SpecError::malformed(CONFIG, "rootfs.type is not \"layers\": this is not the config of an image"));
    }
    let config: upstream::ImageConfiguration = typed(value, CONFIG)?;
    let diff_ids = config.rootfs().diff_ids().iter().map(|id| digest(id, CONFIG)).collect::<Result<Vec<_>, _>>()?;
    if diff_ids.len() != layers {
        let why = format!("it has {} diff ids, but the manifest has {layers} layers", diff_ids.len());
        return Err(SpecError::malformed(CONFIG, why));
    }
    let variant = config.variant().as_deref().unwrap_or_default();
    let platform = Platform::new(&config.os().to_string(), &config.architecture().to_string(), variant);
    let run = config.config().clone().unwrap_or_default();
    let config = ImageConfig {
        created: config.created().clone(),
        platform,
        diff_ids,
        entrypoint: run.entrypoint().clone().unwrap_or_default(),
        cmd: run.cmd().clone().unwrap_or_default(),
        // An entry without "=" sets nothing: no program can ask for it. Left out, so that ours all are pairs.
        env: run.env().iter().flatten().filter(|e| e.find('=').is_some_and(|at| at > 0)).cloned().collect(),
        user: run.user().clone().unwrap_or_default(),
        working_dir: run.working_dir().clone().unwrap_or_default(),
        stop_signal: run.stop_signal().clone().unwrap_or_default(),
        volumes: sorted_list(run.volumes().as_ref()),
        exposed_ports: sorted_list(run.exposed_ports().as_ref()),
        labels: sorted(run.labels().as_ref()),
    };
    refuse_nul(&config)?;
    Ok(config)
}

/// A NUL ends a string for the kernel: what we would check and what it would run differ.
fn refuse_nul(config: &ImageConfig) -> Result<(), SpecError> {
    let lists = [&config.entrypoint, &config.cmd, &config.env, &config.volumes];
    let single = [&config.user, &config.working_dir, &config.stop_signal];
    if lists.into_iter().flatten().chain(single).any(|text| text.contains('\0')) {
        return Err(SpecError::malformed(CONFIG, "a string of its \"config\" holds a NUL character"));
    }
    Ok(())
}

fn manifest_of(mut value: Value) -> Result<Manifest, SpecError> {
    if let Some(layers) = value.get_mut("layers").filter(|v| v.is_null()) {
        *layers = Value::Array(Vec::new());
    }
    schema_version(&value, MANIFEST)?;
    let manifest: upstream::ImageManifest = typed(value, MANIFEST)?;
    let config = descriptor(manifest.config(), MANIFEST)?;
    if config.media_type.kind() != Kind::Config {
        let why = format!("it is an artifact (config type {}), not an image that can be run", config.media_type);
        return Err(SpecError::unsupported(MANIFEST, why));
    }
    if config.size > MAX_DOCUMENT {
        return Err(SpecError::TooLarge { what: CONFIG, size: config.size, limit: MAX_DOCUMENT });
    }
    let layers = manifest.layers().iter().map(|l| descriptor(l, MANIFEST)).collect::<Result<Vec<_>, _>>()?;
    if layers.len() > MAX_LAYERS {
        let why = format!("it has {} layers, more than the {MAX_LAYERS} that are allowed", layers.len());
        return Err(SpecError::unsupported(MANIFEST, why));
    }
    for (position, layer) in layers.iter().enumerate() {
        if layer.media_type.kind() == Kind::Layer {
            continue;
        }
        let hint =
            if layer.media_type.0.ends_with("+encrypted") { " (encrypted layers are not supported)" } else { "" };
        let why = format!("layer {} has the unknown media type \"{}\"{hint}", position + 1, layer.media_type);
        return Err(SpecError::unsupported(MANIFEST, why));
    }
    Ok(Manifest { config, layers, annotations: sorted(manifest.annotations().as_ref()) })
}

fn index_of(mut value: Value) -> Result<Index, SpecError> {
    schema_version(&value, INDEX)?;
    if let Some(manifests) = value.get_mut("manifests").filter(|v| v.is_null()) {
        *manifests = Value::Array(Vec::new());
    }
    let index: upstream::ImageIndex = typed(value, INDEX)?;
    let kept = index.manifests().iter().filter(|d| *d.digest().algorithm() == upstream::DigestAlgorithm::Sha256);
    let manifests = kept.map(|d| descriptor(d, INDEX)).collect::<Result<Vec<_>, _>>()?;
    Ok(Index { manifests, annotations: sorted(index.annotations().as_ref()) })
}

fn schema_version(value: &Value, what: &'static str) -> Result<(), SpecError> {
    match value.get("schemaVersion").and_then(Value::as_u64) {
        Some(2) => Ok(()),
        _ => Err(SpecError::malformed(what, "schemaVersion is not 2")),
    }
}

fn typed<T: DeserializeOwned>(value: Value, what: &'static str) -> Result<T, SpecError> {
    serde_json::from_value(value).map_err(|source| SpecError::Json { what, source })
}

fn digest(text: &str, what: &'static str) -> Result<Digest, SpecError> {
    text.parse().map_err(|e: crate::digest::DigestError| SpecError::malformed(what, e.to_string()))
}

fn descriptor(from: &upstream::Descriptor, what: &'static str) -> Result<Descriptor, SpecError> {
    let platform = from.platform().as_ref().map(|p| {
        Platform::new(&p.os().to_string(), &p.architecture().to_string(), p.variant().as_deref().unwrap_or_default())
    });
    Ok(Descriptor {
        media_type: MediaType(from.media_type().to_string()),
        digest: digest(from.digest().as_ref(), what)?,
        size: from.size(),
        platform,
        annotations: sorted(from.annotations().as_ref()),
        urls: from.urls().clone().unwrap_or_default(),
    })
}

fn sorted(map: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    map.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn sorted_list(list: Option<&Vec<String>>) -> Vec<String> {
    let mut list = list.cloned().unwrap_or_default();
    list.sort();
    list
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
