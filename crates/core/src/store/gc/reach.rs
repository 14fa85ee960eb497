//! Which blobs a manifest refers to.
//!
//! Read from the JSON without its schema: whatever a descriptor names is kept, also one of a kind that a later release of
//! the OCI specification invents. A manifest never changes, so that each is read once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::digest::Digest;
use crate::store::layout::Layout;
use crate::store::{StoreError, blob};

/// Largest manifest that is read (spec/limits.md).
const MANIFEST_MAX: u64 = 4 << 20;

/// What manifests were found to refer to.
#[derive(Debug, Default)]
pub struct Reach {
    known: HashMap<Digest, Vec<Descriptor>>,
}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    digest: Digest,
    /// Refers to blobs in turn.
    nested: bool,
}

impl Reach {
    /// Adds the blob `top` and all that it refers to to `reached`. Fails if a manifest on the way cannot be read.
    pub(in crate::store) fn follow(
        &mut self,
        layout: &Layout,
        top: &Digest,
        reached: &mut BTreeSet<Digest>,
    ) -> Result<(), StoreError> {
        let mut open = vec![*top];
        while let Some(manifest) = open.pop() {
            reached.insert(manifest);
            let found = match self.known.entry(manifest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(read(layout, &manifest)?),
            };
            for descriptor in found {
                let new = reached.insert(descriptor.digest);
                // Of an index, only the manifests that were fetched are here.
                if new && descriptor.nested && layout.blob(&descriptor.digest).exists() {
                    open.push(descriptor.digest);
                }
            }
        }
        Ok(())
    }

    /// The manifests that an index, which was followed, lists.
    pub(super) fn nested(&self, index: &Digest) -> impl Iterator<Item = Digest> + '_ {
        let found = self.known.get(index).into_iter().flatten();
        found.filter(|descriptor| descriptor.nested).map(|descriptor| descriptor.digest)
    }
}

fn read(layout: &Layout, manifest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
    let bytes = blob::read_capped(layout, manifest, MANIFEST_MAX)?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::damaged(&layout.blob(manifest), error.to_string()))?;
    let mut found = Vec::new();
    descriptors(&value, &mut found);
    Ok(found)
}

/// Every object with a digest, anywhere. serde_json's nesting limit bounds the recursion.
fn descriptors(value: &Value, found: &mut Vec<Descriptor>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| descriptors(item, found)),
        Value::Object(members) => {
            if let Some(digest) = members.get("digest").and_then(Value::as_str).and_then(|text| text.parse().ok()) {
                let kind = members.get("mediaType").and_then(Value::as_str).unwrap_or("");
                let nested = kind.contains("manifest") || kind.contains("index");
                found.push(Descriptor { digest, nested });
            }
            members.values().for_each(|member| descriptors(member, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let a = Digest::of(b"a");
        let text = format!(
            r#"{{"config":{{"digest":"{a}"}},"layers":[{{"digest":"{a}"}},{{"digest":"sha512:1"}}],
                "manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{a}"}}],
                "new":{{"deep":[{{"digest":"{a}"}}]}},"digest":7}}"#
        );
        let mut found = Vec::new();
        descriptors(&serde_json::from_str(&text).unwrap(), &mut found);
        assert_eq!(found.len(), 4);
        assert_eq!(found.iter().filter(|descriptor| descriptor.nested).count(), 1);
    }
}
