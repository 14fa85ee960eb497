//! To a directory that a web server hands out as a registry (spec/10-registry.md "Static registries").

use std::path::Path;

use ctr_cli::{Failure, Progress};
use ctr_core::reference::Reference;
use ctr_core::spec::Link;
use ctr_core::spec::oci::Kind;
use ctr_core::store::Store;
use ctr_export::{Document, open_blob};
use ctr_static::{Name, Tree, TreeError};

use crate::report::{Outcome, Part, Pushed};
use crate::selection::Selection;

fn hinted(error: TreeError) -> Failure {
    Failure::hinted(error, TreeError::hint)
}

/// Publishes under the path and tag of `reference`.
pub(crate) fn publish(
    store: &Store,
    selection: &Selection,
    root: &Path,
    reference: &Reference,
    progress: &Progress,
) -> Result<Pushed, Failure> {
    let tree = Tree::create(root).map_err(hinted)?;
    let name: Name = reference.path().parse().map_err(hinted)?;
    let writer = tree.writer(&name).map_err(hinted)?;
    let mut pushed = Pushed::of(selection, format!("{}/{}", root.display(), reference.path()));
    for blob in selection.blobs() {
        let bar = progress.bar(&label(&blob), Some(blob.size));
        let outcome = if writer.has_blob(&blob.digest, blob.size).map_err(hinted)? {
            bar.keep(blob.size);
            Outcome::Present
        } else {
            let content = bar.reading(open_blob(store, &blob)?);
            writer.blob(&blob.digest, blob.size, content).map_err(hinted)?;
            Outcome::Uploaded
        };
        bar.finish(outcome.words());
        pushed.blob(Part { digest: blob.digest, size: blob.size, outcome });
    }
    let put = |document: &Document| -> Result<Part, Failure> {
        let there = writer.has_manifest(&document.digest).map_err(hinted)?;
        let digest = writer.manifest(&document.bytes, Some(&document.media_type)).map_err(hinted)?;
        let outcome = if there { Outcome::Present } else { Outcome::Uploaded };
        Ok(Part { digest, size: document.bytes.len() as u64, outcome })
    };
    let mut tags = Vec::new();
    for document in &selection.tree.documents {
        pushed.manifests.push(put(document)?);
    }
    for referrer in &selection.referrers {
        for document in &referrer.tree.documents {
            pushed.manifests.push(put(document)?);
        }
        tags.extend(referrer.tag.as_deref().map(|tag| (tag, referrer.tree.top().digest)));
    }
    // The name is the last one.
    tags.extend(reference.tag().map(|tag| (tag, selection.tree.top().digest)));
    for tag in tags {
        writer.tag(&[tag]).map_err(hinted)?;
    }
    if let Some(tag) = reference.tag() {
        pushed.name = format!("{}:{tag}", pushed.name);
    }
    Ok(pushed)
}

/// What a blob is called while it moves.
pub(crate) fn label(blob: &Link) -> String {
    let what = match blob.media_type.kind() {
        Kind::Layer => "layer",
        Kind::Config => "config",
        _ => "blob",
    };
    format!("{what} {}", blob.digest.short())
}
