//! `manifest.json` of a docker-archive: what `docker save`, `podman save` and `skopeo copy docker-archive:` write.
//!
//! The format has no specification; Moby's `image/tarexport` is what others follow. Paths name entries of the archive.

use serde::{Deserialize, Serialize};

use super::{MAX_LAYERS, SpecError, json};

const WHAT: &str = "manifest.json of the docker-archive";

/// One image of a docker-archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArchiveImage {
    /// Entry that holds the image config.
    pub config: String,
    /// Names of the image, each `NAME:TAG`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub repo_tags: Vec<String>,
    /// Entries that hold the layers, lowest first; they may be links to other entries.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<String>,
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Parses `manifest.json`.
pub fn parse(bytes: &[u8]) -> Result<Vec<ArchiveImage>, SpecError> {
    let value = json::parse(bytes, WHAT)?;
    let images: Vec<ArchiveImage> =
        serde_json::from_value(value).map_err(|source| SpecError::Json { what: WHAT, source })?;
    for image in &images {
        if image.layers.len() > MAX_LAYERS {
            let why = format!("an image of {} layers, more than the {MAX_LAYERS} that are allowed", image.layers.len());
            return Err(SpecError::unsupported(WHAT, why));
        }
        for path in image.layers.iter().chain([&image.config]) {
            let odd = path.is_empty() || path.starts_with('/') || path.contains('\0');
            if odd || path.split('/').any(|part| part == "..") {
                return Err(SpecError::malformed(WHAT, format!("\"{path}\" does not name an entry of the archive")));
            }
        }
    }
    if images.is_empty() {
        return Err(SpecError::malformed(WHAT, "it lists no image"));
    }
    Ok(images)
}

/// The bytes of a `manifest.json` that lists `images`.
pub fn write(images: &[ArchiveImage]) -> Vec<u8> {
    // Strings and lists: serialisation cannot fail.
    serde_json::to_vec(images).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed() {
        let text = r#"[{"Config":"a.json","RepoTags":["x:1","y:2"],"Layers":["l1/layer.tar","l2/layer.tar"],"LayerSources":{}},
                       {"Config":"b.json","RepoTags":null,"Layers":null}]"#;
        let images = parse(text.as_bytes()).unwrap();
        assert_eq!(images[0].repo_tags, ["x:1", "y:2"]);
        assert_eq!(images[0].layers, ["l1/layer.tar", "l2/layer.tar"]);
        assert!(images[1].layers.is_empty());
        assert_eq!(parse(&write(&images)).unwrap(), images);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "[]",
            "{}",
            r#"[{"RepoTags":[]}]"#,
            r#"[{"Config":"../../etc/passwd","Layers":[]}]"#,
            r#"[{"Config":"/etc/passwd","Layers":[]}]"#,
            r#"[{"Config":"a","Layers":[""]}]"#,
            r#"[{"Config":"a","Config":"b","Layers":[]}]"#,
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
