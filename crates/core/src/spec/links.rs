//! What any manifest or index points to: images, and artifacts that are none (signatures, bills of materials).

use serde_json::Value;

use super::oci::MediaType;
use super::{SpecError, json};
use crate::digest::Digest;

const WHAT: &str = "manifest";

/// Most descriptors of one document that are followed.
pub const MAX_LINKS: usize = 4096;

/// A descriptor as far as copying needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Type of the content.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
}

/// The descriptors of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// `manifests`: documents.
    pub manifests: Vec<Link>,
    /// `config`, then `layers` (or `blobs` of the artifact manifest that came and went).
    pub blobs: Vec<Link>,
    /// `subject`: what the document is about.
    pub subject: Option<Link>,
    /// `mediaType` of the document itself.
    pub media_type: Option<MediaType>,
    /// `artifactType`, or the type of the config of a manifest that has none (distribution-spec "Listing Referrers").
    pub artifact_type: Option<String>,
    /// `annotations` as they stand there.
    pub annotations: Option<Value>,
}

/// Reads the descriptors of any manifest or index.
pub fn links(bytes: &[u8]) -> Result<Links, SpecError> {
    let value = json::parse(bytes, WHAT)?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |key: &str| -> Result<Vec<Link>, SpecError> {
        match value.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(all)) if all.len() > MAX_LINKS => {
                Err(SpecError::unsupported(WHAT, format!("it lists more than {MAX_LINKS} {key}")))
            }
            Some(Value::Array(all)) => all.iter().map(link).collect(),
            Some(_) => Err(SpecError::malformed(WHAT, format!("\"{key}\" is no list"))),
        }
    };
    let one = |key: &str| value.get(key).filter(|found| !found.is_null()).map(link).transpose();
    let config = one("config")?;
    let config_type = config.as_ref().map(|config| config.media_type.0.clone());
    let artifact_type = text(&value, "artifactType").filter(|text| !text.is_empty()).or(config_type);
    let mut blobs: Vec<Link> = config.into_iter().collect();
    blobs.extend(list("layers")?);
    blobs.extend(list("blobs")?);
    Ok(Links {
        manifests: list("manifests")?,
        blobs,
        subject: one("subject")?,
        media_type: text(&value, "mediaType").map(MediaType),
        artifact_type,
        annotations: value.get("annotations").filter(|found| found.is_object()).cloned(),
    })
}

fn link(value: &Value) -> Result<Link, SpecError> {
    let bad = |why: &str| SpecError::malformed(WHAT, format!("a descriptor {why}"));
    let digest = value.get("digest").and_then(Value::as_str).ok_or_else(|| bad("has no digest"))?;
    let digest =
        digest.parse().map_err(|error: crate::digest::DigestError| SpecError::malformed(WHAT, error.to_string()))?;
    let size = value.get("size").and_then(Value::as_u64).ok_or_else(|| bad("has no size that is a number"))?;
    let media_type = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    Ok(Link { media_type: MediaType::from(media_type), digest, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_and_indexes_are_read_alike() {
        let digest = Digest::of(b"x");
        let descriptor = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1}}"#);
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"m","config":{descriptor},"layers":[{descriptor}],"subject":{descriptor}}}"#
        );
        let found = links(text.as_bytes()).unwrap();
        assert_eq!((found.blobs.len(), found.manifests.len()), (2, 0));
        assert_eq!(found.subject.unwrap().digest, digest);
        assert_eq!(found.artifact_type.as_deref(), Some("a/b"));
        let index = links(format!(r#"{{"manifests":[{descriptor}],"layers":null}}"#).as_bytes()).unwrap();
        assert_eq!((index.manifests.len(), index.blobs.len()), (1, 0));
    }

    #[test]
    fn bad_descriptors_are_refused() {
        for bad in [
            r#"{"layers":{}}"#,
            r#"{"config":{"digest":"sha256:x","size":1}}"#,
            r#"{"config":{"size":1}}"#,
            r#"{"manifests":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":-1}]}"#,
            "[",
        ] {
            assert!(links(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
