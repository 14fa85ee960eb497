//! Images of the store as files and directories that other tools read, and the parts that any copy of an image needs:
//! what belongs to it ([`Tree`]), blobs that are hashed while they are read ([`Verified`]), files that appear in whole
//! ([`NewFile`]).
//!
//! Blobs are copied as they were received and hashed on the way: what is damaged is not handed on.
#![forbid(unsafe_code)]

mod archive;
mod blob;
mod destination;
mod details;
mod directory;
mod docker;
mod new_file;
mod tree;

use ctr_cli::{Bar, Failure, Progress};
use ctr_core::reference::Reference;
use ctr_core::spec::Link;
use ctr_core::spec::oci::{Descriptor, Kind, REF_NAME};
use ctr_core::store::{Store, StoreError};

pub use archive::{OciArchive, entry};
pub use blob::{Verified, open_blob};
pub use destination::{Destination, Type};
pub use details::{Details, familiar, names_by_image};
pub use new_file::NewFile;
pub use tree::{Document, Incomplete, Tree};

/// One image, or index with its images, on its way to a file or directory.
#[derive(Debug)]
pub struct Item {
    /// All that is copied.
    pub tree: Tree,
    /// The name that it has in the store.
    pub name: Option<Reference>,
    /// The name or tag that the user gives it in the destination.
    pub tag: Option<String>,
}

impl Item {
    /// Its entry of `index.json`.
    fn entry(&self) -> Descriptor {
        entry(self.tree.top().descriptor(), self.name.as_ref(), self.tag.as_deref())
    }
}

/// Copies images of a store out of it. Each result appears in whole or not at all.
#[derive(Debug)]
pub struct Export<'a> {
    /// Where the blobs lie. The caller holds a transaction that keeps them.
    pub store: &'a Store,
    /// What is copied.
    pub items: &'a [Item],
    /// Where it is told.
    pub progress: Progress,
}

impl Export<'_> {
    /// Writes what `destination` says.
    pub fn to(&self, destination: &Destination) -> Result<(), Failure> {
        match destination.kind {
            Type::Aci | Type::OciArchive => self.oci_archive(&destination.path),
            Type::DockerArchive => self.docker_archive(&destination.path),
            Type::Oci => self.directory(&destination.path),
        }
    }

    fn bar(&self, blob: &Link) -> Bar {
        let what = if blob.media_type.kind() == Kind::Layer { "layer" } else { "config" };
        self.progress.bar(&format!("{what} {}", blob.digest.short()), Some(blob.size))
    }

    /// Of several images each is called by its full name: tags alone may be the same.
    fn entries(&self) -> Vec<Descriptor> {
        let several = self.items.len() > 1;
        let entry = |item: &Item| {
            let mut entry = item.entry();
            if let Some(name) = item.name.as_ref().filter(|name| several && name.tag().is_some() && item.tag.is_none())
            {
                entry.annotations.insert(REF_NAME.to_owned(), name.to_string());
            }
            entry
        };
        self.items.iter().map(entry).collect()
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        self.items.iter().flat_map(|item| &item.tree.documents)
    }

    fn blobs(&self) -> impl Iterator<Item = &Link> {
        self.items.iter().flat_map(|item| &item.tree.blobs)
    }
}

/// A store error with what the user can do about it.
pub fn hinted(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}
