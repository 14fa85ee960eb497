//! An image as an OCI archive (`.aci` is one): spec/02-image-file.md.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, REF_NAME};
use ctr_core::spec::write;
use ctr_layer::archive::ArchiveWriter;

use crate::Export;
use crate::blob::open_blob;
use crate::new_file::NewFile;

/// The full name of an image, as containerd writes it into an index.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The entry of `index.json` for a manifest, with its name: all of it where containerd and Podman look, and the tag alone
/// where other tools look for a tag. `tag` is one to use instead of the name's.
pub fn entry(mut manifest: Descriptor, name: Option<&Reference>, tag: Option<&str>) -> Descriptor {
    manifest.annotations = BTreeMap::new();
    // A tag that is a name of its own replaces the other.
    let full = match tag {
        Some(tag) => tag.contains(['/', ':']).then(|| tag.parse().ok()).flatten().or_else(|| name?.with_tag(tag).ok()),
        None => name.cloned(),
    };
    if let Some(name) = full.filter(|name| name.tag().is_some()) {
        manifest.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_string());
        manifest.annotations.extend(name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
    }
    manifest.annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
    manifest
}

/// Writes an OCI archive piece by piece, in the order in which readers need them.
pub struct OciArchive<W: Write> {
    archive: ArchiveWriter<BufWriter<W>>,
    written: Vec<Digest>,
}

impl<W: Write> OciArchive<W> {
    /// Begins the archive with what tells its kind. `entries` are the descriptors of its index.
    pub fn begin(out: W, entries: &[Descriptor]) -> Result<Self, Failure> {
        let mut archive = ArchiveWriter::new(BufWriter::with_capacity(1 << 18, out));
        let mut head = || -> std::io::Result<()> {
            archive.file("oci-layout", write::OCI_LAYOUT)?;
            archive.file("index.json", &write::index(entries))?;
            archive.directory("blobs/")?;
            archive.directory("blobs/sha256/")
        };
        head().context(|| "cannot write the archive")?;
        Ok(Self { archive, written: Vec::new() })
    }

    /// Adds a blob; one that stands twice in the image is written once.
    pub fn blob(&mut self, digest: &Digest, size: u64, content: impl Read) -> Result<(), Failure> {
        if self.written.contains(digest) {
            return Ok(());
        }
        self.written.push(*digest);
        let name = format!("blobs/sha256/{}", digest.hex());
        self.archive.copy(&name, size, content).context(|| "cannot write the archive")
    }

    /// Ends the archive and gives the writer back.
    pub fn finish(self) -> Result<W, Failure> {
        let out = self.archive.finish().context(|| "cannot write the archive")?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error).context(|| "cannot write the archive")
    }
}

impl Export<'_> {
    pub(crate) fn oci_archive(&self, path: &Path) -> Result<(), Failure> {
        let mut archive = OciArchive::begin(NewFile::create(path)?, &self.entries())?;
        // Parents first: so readers of streams know what comes.
        for document in self.items.iter().flat_map(|item| item.tree.documents.iter().rev()) {
            archive.blob(&document.digest, document.bytes.len() as u64, document.bytes.as_slice())?;
        }
        for blob in self.blobs() {
            let bar = self.bar(blob);
            archive.blob(&blob.digest, blob.size, bar.reading(open_blob(self.store, blob)?))?;
            bar.finish("written");
        }
        archive.finish()?.publish()
    }
}
