//! What belongs to an image: its documents as they lie in the store, and the blobs that they name.

use std::collections::BTreeSet;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::spec::{Link, MAX_DOCUMENT, links};
use ctr_core::store::{Store, StoreError, Txn};

use crate::hinted;

/// Deepest nesting of indexes that is copied (spec/limits.md).
const MAX_INDEX_DEPTH: usize = 4;

/// A manifest or index as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Digest of its bytes.
    pub digest: Digest,
    /// What it says that it is; where it says nothing, what its form says.
    pub media_type: MediaType,
    /// Its bytes. They are never written anew.
    pub bytes: Vec<u8>,
    /// The blobs that it names itself.
    pub blobs: Vec<Link>,
    /// What it is about: it is a referrer then.
    pub subject: Option<Digest>,
}

impl Document {
    /// Its descriptor, without annotations.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.0.as_str(), self.digest, self.bytes.len() as u64)
    }
}

/// A document with all that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    top: Document,
    /// Children before parents; `top` is the last one.
    pub documents: Vec<Document>,
    /// Each once: configs and layers, in the order of the documents.
    pub blobs: Vec<Link>,
}

/// Why a tree cannot be copied as a whole.
#[derive(Debug)]
pub enum Incomplete {
    /// The store lacks this document or blob.
    Lacks(Digest),
    /// Anything else.
    Failed(Failure),
}

impl From<Incomplete> for Failure {
    fn from(from: Incomplete) -> Self {
        match from {
            Incomplete::Lacks(digest) => hinted(StoreError::NoBlob(digest)),
            Incomplete::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Incomplete {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Tree {
    /// All of `top`. It stays in the store for as long as `txn` lives.
    pub fn load(store: &Store, txn: &Txn, top: &Digest) -> Result<Self, Incomplete> {
        let mut loading = Loading { store, txn, documents: Vec::new(), blobs: Vec::new(), seen: BTreeSet::new() };
        let top = loading.document(top, 0)?;
        Ok(Self { top, documents: loading.documents, blobs: loading.blobs })
    }

    /// What the whole is named by.
    pub fn top(&self) -> &Document {
        &self.top
    }

    /// Bytes of all documents and blobs together.
    pub fn size(&self) -> u64 {
        let documents: u64 = self.documents.iter().map(|document| document.bytes.len() as u64).sum();
        documents + self.blobs.iter().map(|blob| blob.size).sum::<u64>()
    }
}

struct Loading<'a> {
    store: &'a Store,
    txn: &'a Txn,
    documents: Vec<Document>,
    blobs: Vec<Link>,
    seen: BTreeSet<Digest>,
}

impl Loading<'_> {
    fn document(&mut self, digest: &Digest, depth: usize) -> Result<Document, Incomplete> {
        self.txn.keep_blob(digest).map_err(hinted)?.ok_or(Incomplete::Lacks(*digest))?;
        let bytes = self.store.read_blob_capped(digest, MAX_DOCUMENT).map_err(hinted)?;
        let found = links(&bytes).context(|| format!("cannot use the manifest {digest}"))?;
        for child in &found.manifests {
            if depth + 1 >= MAX_INDEX_DEPTH {
                let what = format!("{digest} nests image indexes deeper than {MAX_INDEX_DEPTH}");
                return Err(Failure::new(what).into());
            }
            if self.seen.insert(child.digest) {
                self.document(&child.digest, depth + 1)?;
            }
        }
        for blob in &found.blobs {
            if !self.seen.insert(blob.digest) {
                continue;
            }
            let there = self.txn.keep_blob(&blob.digest).map_err(hinted)?.ok_or(Incomplete::Lacks(blob.digest))?;
            if there.size != blob.size {
                let what = format!("blob {} of the store has {} bytes, not {}", blob.digest, there.size, blob.size);
                return Err(Failure::new(what).hint("ctr-fetch of the same image brings it again").into());
            }
            self.blobs.push(blob.clone());
        }
        let shape = if found.manifests.is_empty() { MediaType::MANIFEST } else { MediaType::INDEX };
        let document = Document {
            digest: *digest,
            media_type: found.media_type.unwrap_or_else(|| MediaType::from(shape)),
            bytes,
            blobs: found.blobs,
            subject: found.subject.map(|subject| subject.digest),
        };
        self.documents.push(document.clone());
        Ok(document)
    }
}
