//! The image files of `spec/vectors/image-files.json`: archives whose documents refer to each other by digest.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::vectors::{self, Bytes, EntrySpec};

/// What the vectors have in common unless they say otherwise.
#[derive(Debug, Clone, Deserialize)]
struct File {
    common: Parts,
    vectors: Vec<Vector>,
}

#[derive(Debug, Clone, Deserialize)]
struct Parts {
    blobs: Vec<(String, Content)>,
    entries: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    about: String,
    /// Replace those of the same name; the order stays.
    #[serde(default)]
    blobs: Vec<(String, Content)>,
    /// Instead of the common ones.
    entries: Option<Vec<Value>>,
    #[serde(default)]
    cut: usize,
    /// The tag to ask for.
    tag: Option<String>,
    /// A part of the message; none if the file is to be taken.
    error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Json(Value),
    Bytes(Bytes),
    Archive(Vec<EntrySpec>),
}

/// One image file and what `ctr-fetch` has to do with it.
#[derive(Debug)]
pub struct ImageFile {
    /// Its name, unique.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The tag to ask for.
    pub tag: Option<String>,
    /// A part of the message; none if the file is to be taken.
    pub error: Option<String>,
}

/// Every vector of `image-files.json`.
pub fn all() -> Vec<ImageFile> {
    let file: File = vectors::load("image-files.json");
    file.vectors.iter().map(|vector| make(&file.common, vector)).collect()
}

fn make(common: &Parts, vector: &Vector) -> ImageFile {
    let mut blobs: Vec<(String, Vec<u8>)> = Vec::new();
    let own = |id: &str| vector.blobs.iter().find(|(name, _)| name == id).map(|(_, content)| content);
    let mut contents: Vec<(&str, &Content)> =
        common.blobs.iter().map(|(id, content)| (id.as_str(), own(id).unwrap_or(content))).collect();
    contents.extend(
        vector
            .blobs
            .iter()
            .filter(|(id, _)| common.blobs.iter().all(|(other, _)| other != id))
            .map(|(id, content)| (id.as_str(), content)),
    );
    for (id, content) in contents {
        let bytes = match content {
            Content::Json(value) => fill(&value.to_string(), &blobs).into_bytes(),
            Content::Bytes(bytes) => bytes.bytes(),
            Content::Archive(entries) => vectors::archive(entries, 2),
        };
        blobs.push((id.to_owned(), bytes));
    }
    let mut bytes = Vec::new();
    for entry in vector.entries.as_ref().unwrap_or(&common.entries) {
        let mut entry = entry.clone();
        let object = entry.as_object_mut().expect("an entry");
        let content = match (object.remove("json"), object.remove("blob")) {
            (Some(value), _) => Some(fill(&value.to_string(), &blobs).into_bytes()),
            (_, Some(id)) => Some(blob(&blobs, id.as_str().expect("a name")).to_vec()),
            _ => None,
        };
        let mut spec: EntrySpec = serde_json::from_str(&fill(&entry.to_string(), &blobs)).expect("an entry");
        if let Some(content) = content {
            spec.set_content(&content);
        }
        spec.write(&mut bytes);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes.truncate(bytes.len() - vector.cut);
    let Vector { name, about, tag, error, .. } = vector.clone();
    ImageFile { name, about, bytes, tag, error }
}

fn blob<'a>(blobs: &'a [(String, Vec<u8>)], id: &str) -> &'a [u8] {
    let found = blobs.iter().find(|(name, _)| name == id);
    &found.unwrap_or_else(|| panic!("no blob \"{id}\" yet")).1
}

/// Puts digests and sizes of blobs in: `${ID.digest}`, `${ID.hex}`, and `"${ID.size}"` with its quotes.
fn fill(text: &str, blobs: &[(String, Vec<u8>)]) -> String {
    let mut text = text.to_owned();
    for (id, bytes) in blobs {
        let hex = vectors::hex(&Sha256::digest(bytes));
        text = text
            .replace(&format!("${{{id}.digest}}"), &format!("sha256:{hex}"))
            .replace(&format!("${{{id}.hex}}"), &hex)
            .replace(&format!("\"${{{id}.size}}\""), &bytes.len().to_string());
    }
    assert!(!text.contains("${"), "a blob that is not there yet: {text}");
    text
}
