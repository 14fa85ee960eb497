//! How documents are stored beside an image: as an attestation manifest of its index, which BuildKit, Docker and buildx read, or as
//! an artifact that refers to the image (OCI 1.1).

use ctr_core::digest::Digest;
use serde_json::{Value, json};

use crate::inventory::{AttestError, Subject};

/// Media type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";

/// Bytes to be stored under their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What they are.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A document that is ready to be stored.
#[derive(Debug, Clone)]
pub struct Attached {
    /// All but the manifest: configuration and documents.
    pub blobs: Vec<Blob>,
    /// The manifest of them.
    pub manifest: Blob,
    /// Annotations of the entry that stands for it in an index.
    pub annotations: Vec<(&'static str, String)>,
}

impl Blob {
    fn of(media_type: &str, value: &Value) -> Result<Self, AttestError> {
        Ok(Self { media_type: media_type.to_owned(), bytes: serde_json::to_vec(value)? })
    }

    /// `sha256:` and the digest of the bytes.
    pub fn digest(&self) -> String {
        format!("sha256:{}", Digest::of(&self.bytes).hex())
    }

    /// The descriptor of the bytes.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// An in-toto statement that says `predicate`, a document in JSON, of an image.
pub fn statement(subject: &Subject, predicate_type: &str, predicate: &[u8]) -> Result<Vec<u8>, AttestError> {
    let predicate: Value = serde_json::from_slice(predicate)?;
    let digest = json!({"sha256": subject.digest.hex()});
    Ok(serde_json::to_vec(&json!({
        "_type": STATEMENT,
        "subject": [{"name": subject.name, "digest": digest}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }))?)
}

/// The attestation manifest of statements (predicate type, bytes) about an image, as BuildKit stores it in the index of the image.
pub fn attestation_manifest(subject: &Subject, statements: &[(&str, Vec<u8>)]) -> Result<Attached, AttestError> {
    let mut layers = Vec::new();
    let mut blobs = Vec::new();
    for (predicate_type, bytes) in statements {
        let blob = Blob { media_type: IN_TOTO.to_owned(), bytes: bytes.clone() };
        layers.push(with(blob.descriptor(), "annotations", json!({"in-toto.io/predicate-type": predicate_type})));
        blobs.push(blob);
    }
    let diff_ids: Vec<String> = blobs.iter().map(Blob::digest).collect();
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Blob::of(CONFIG, &config)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": layers,
    });
    let manifest = Blob::of(MANIFEST, &manifest)?;
    let annotations = vec![
        ("vnd.docker.reference.type", "attestation-manifest".to_owned()),
        ("vnd.docker.reference.digest", subject.digest.to_string()),
    ];
    blobs.insert(0, config);
    Ok(Attached { blobs, manifest, annotations })
}

/// An artifact of one document of this media type that refers to an image. `image` is the descriptor of the image's manifest.
pub fn referrer(image: &Value, media_type: &str, document: Vec<u8>) -> Result<Attached, AttestError> {
    let config = Blob { media_type: EMPTY.to_owned(), bytes: b"{}".to_vec() };
    let document = Blob { media_type: media_type.to_owned(), bytes: document };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": media_type, "config": config.descriptor(),
        "layers": [document.descriptor()], "subject": image,
    });
    let manifest = Blob::of(MANIFEST, &manifest)?;
    Ok(Attached { blobs: vec![config, document], manifest, annotations: Vec::new() })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
    object
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject { name: "example".into(), digest: Digest::of(b"manifest"), epoch: 0 }
    }

    /// Every descriptor of the manifest is that of a blob.
    fn complete(attached: &Attached) -> Value {
        let manifest: Value = serde_json::from_slice(&attached.manifest.bytes).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        for descriptor in layers.iter().chain([&manifest["config"]]) {
            let blob =
                attached.blobs.iter().find(|blob| blob.digest() == descriptor["digest"].as_str().unwrap()).unwrap();
            assert_eq!(descriptor["size"], blob.bytes.len());
            assert_eq!(descriptor["mediaType"], blob.media_type.as_str());
        }
        manifest
    }

    // spec: BUILD-125
    #[test]
    fn an_attestation_manifest_is_what_buildkit_documents() {
        let predicate = crate::spdx::PREDICATE_TYPE;
        let bytes = statement(&subject(), predicate, br#"{"SPDXID": "SPDXRef-DOCUMENT"}"#).unwrap();
        let said: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(said["subject"][0]["digest"]["sha256"], subject().digest.hex());
        assert_eq!(said["predicateType"], predicate);
        assert_eq!(said["predicate"]["SPDXID"], "SPDXRef-DOCUMENT");
        let attached = attestation_manifest(&subject(), &[(predicate, bytes)]).unwrap();
        let manifest = complete(&attached);
        assert_eq!(manifest["layers"][0]["mediaType"], IN_TOTO);
        assert_eq!(manifest["layers"][0]["annotations"]["in-toto.io/predicate-type"], predicate);
        let config: Value = serde_json::from_slice(&attached.blobs[0].bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(attached.annotations[0], ("vnd.docker.reference.type", "attestation-manifest".to_owned()));
        assert_eq!(attached.annotations[1], ("vnd.docker.reference.digest", subject().digest.to_string()));
        assert!(statement(&subject(), predicate, b"{").is_err());
    }

    // spec: BUILD-125
    #[test]
    fn a_referrer_has_the_image_as_its_subject() {
        let image = json!({"mediaType": MANIFEST, "digest": "sha256:00", "size": 7});
        let attached = referrer(&image, "application/spdx+json", b"{\"a\":1}".to_vec()).unwrap();
        let manifest = complete(&attached);
        assert_eq!(manifest["subject"], image);
        assert_eq!(manifest["artifactType"], "application/spdx+json");
        assert_eq!(manifest["config"]["mediaType"], EMPTY);
        assert!(attached.annotations.is_empty());
    }
}
