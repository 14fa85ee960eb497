//! What refers to an image is kept with it: signatures, bills of materials, attestations.

use std::io::Read as _;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::spec::{MAX_DOCUMENT, links};
use ctr_core::store::{self, Referrers, Txn};
use ctr_registry::{Referrer, Repository};

use crate::import::hinted;
use crate::source::registry_hinted;

/// Most referrers of one image that are kept (spec/limits.md).
const MAX_REFERRERS: usize = 256;
/// Most bytes of a blob of a referrer (spec/limits.md): bills of materials are the large ones.
const MAX_REFERRER_BLOB: u64 = 64 << 20;

/// Brings in what refers to `subject`, if there is anything.
pub(crate) fn bring(txn: &Txn, repository: &Repository, subject: &Digest) -> Result<(), Failure> {
    let found = repository.referrers(subject).map_err(registry_hinted)?;
    if found.len() > MAX_REFERRERS {
        let count = found.len();
        ctr_cli::note(format!("{subject} has {count} referrers; the first {MAX_REFERRERS} are kept"));
    }
    let mut manifests = Vec::new();
    for referrer in found.into_iter().take(MAX_REFERRERS) {
        let (bytes, digest, tag) = match referrer {
            Referrer::Tagged { tag, manifest, digest } => (manifest, digest, Some(tag)),
            Referrer::Listed(link) if link.size > MAX_DOCUMENT => continue,
            Referrer::Listed(link) => {
                let manifest = repository.manifest(&link.digest.to_string()).map_err(registry_hinted)?;
                (manifest.bytes, manifest.digest, None)
            }
        };
        copy(txn, repository, &bytes, digest)?;
        manifests.push(store::Referrer { digest, tag });
    }
    if manifests.is_empty() {
        return Ok(());
    }
    txn.put_referrers(&Referrers { subject: *subject, manifests }).map_err(hinted)
}

/// Brings in a manifest of any kind with its blobs.
pub(crate) fn copy(txn: &Txn, repository: &Repository, manifest: &[u8], digest: Digest) -> Result<(), Failure> {
    let found = links(manifest).context(|| "a referrer cannot be used")?;
    for blob in found.blobs {
        if blob.size > MAX_REFERRER_BLOB {
            let (digest, size) = (blob.digest, blob.size);
            return Err(Failure::new(format!("the blob {digest} of a referrer has {size} bytes, more than are kept")));
        }
        if txn.has_blob(&blob.digest, blob.size).map_err(hinted)? {
            continue;
        }
        let body = repository.blob(&blob.digest, blob.size, 0).map_err(registry_hinted)?.body;
        let body = body.take(blob.size.saturating_add(1));
        txn.copy_blob(body, Some((blob.digest, blob.size))).map_err(hinted)?;
    }
    txn.put_blob(manifest, Some((digest, manifest.len() as u64))).map_err(hinted)?;
    Ok(())
}
