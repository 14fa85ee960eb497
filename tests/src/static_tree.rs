//! Static registries of the tests: image layouts, published by ctr-static.

use std::fs::{self, File};
use std::path::Path;

use ctr_core::digest::Digest;
use ctr_core::spec::links;
use ctr_core::spec::oci::MediaType;
use ctr_static::{Tree, Writer};
use serde_json::Value;

use crate::servers::Nginx;

fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Publishes the document that `descriptor` names with all that it leads to.
fn document(writer: &Writer<'_>, layout: &Path, descriptor: &Value) -> Digest {
    let bytes = fs::read(blob(layout, descriptor["digest"].as_str().expect("digest"))).expect("document");
    for child in links(&bytes).expect("descriptors").blobs {
        let mut file = File::open(blob(layout, &child.digest.to_string())).expect("blob");
        writer.blob_file(&child.digest, child.size, &mut file).expect("publish a blob");
    }
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    for child in value["manifests"].as_array().into_iter().flatten() {
        document(writer, layout, child);
    }
    let told = descriptor["mediaType"].as_str().map(MediaType::from);
    writer.manifest(&bytes, told.as_ref()).expect("publish a manifest")
}

/// Publishes the image `tag` of the layout `layout` as `NAME:TAG` in the tree at `root`.
pub fn publish(root: &Path, layout: &Path, tag: &str, name: &str) -> Digest {
    let tree = Tree::create(root).expect("tree");
    let writer = tree.writer(&name.parse().expect("name")).expect("writer");
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).expect("index")).expect("JSON");
    let entries = index["manifests"].as_array().expect("manifests");
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let digest = document(&writer, layout, entries.iter().find(named).expect("the tag"));
    writer.tag(&[(tag, digest)]).expect("tag");
    digest
}

/// nginx with the configuration that is generated for the tree at `root`.
pub fn serve(root: &Path) -> Nginx {
    Nginx::start_with(|port| ctr_static::nginx(root, &format!("127.0.0.1:{port}"), "_").expect("configuration"))
}
