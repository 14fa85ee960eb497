//! `ctr-image export`: an image of the store as a file or directory that other tools read.
//!
//! Blobs are copied as they were received and hashed on the way: what is damaged is not handed on. The result appears
//! in whole or not at all.

mod destination;
mod directory;
mod docker;

use std::fs::File;
use std::io::{self, Read};

use ctr_cli::{Bar, Context as _, Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::digest::{Digest, Hasher};
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::store::Store;
use serde::Serialize;

use crate::archive::{self, OciArchive};
use crate::details::{Details, names_by_image};
use crate::hinted;
use crate::new_file::NewFile;
use destination::{Destination, Type};

/// Write an image to a file or directory
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// FILE (an .aci), oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], or oci:DIR[:TAG]; a directory that is an OCI layout
    /// already gets one image more
    #[arg(required_unless_present = "output")]
    destination: Option<std::ffi::OsString>,
    /// The destination, as `pack` takes it
    #[arg(short, long, value_name = "DESTINATION", conflicts_with = "destination")]
    output: Option<std::ffi::OsString>,
    /// What to write to a path that has no prefix; .aci if it is not told
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Type>,
}

/// What was written (spec/schemas/image-exported.json).
#[derive(Debug, Serialize)]
struct Report {
    destination: String,
    r#type: Type,
    name: Option<String>,
    digest: Digest,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let destination = options.destination.as_ref().or(options.output.as_ref());
    let destination = destination.ok_or_else(|| Failure::usage("an export needs a destination"))?;
    let destination = Destination::parse(destination, options.kind)?;
    let found = store.find_image(&options.image).map_err(hinted)?;
    // Held until the end: gc takes nothing of the image meanwhile.
    let txn = store.begin().map_err(hinted)?;
    txn.keep_image(&found.digest).map_err(hinted)?;
    let details = Details::load(store, &found.digest)?;
    let own = match found.name {
        Some(name) => Some(name),
        None => names_by_image(store)?.remove(&found.digest).and_then(|names| names.into_iter().next()),
    };
    let own: Option<Reference> = own.map(|name| name.parse()).transpose()?;
    let progress = Progress::new();
    let export = Export { store, details: &details, name: own.as_ref(), tag: destination.tag.as_deref(), progress };
    match destination.kind {
        Type::Aci | Type::OciArchive => export.oci_archive(&destination)?,
        Type::DockerArchive => export.docker_archive(&destination)?,
        Type::Oci => export.directory(&destination)?,
    }
    export.progress.clear();
    match global.format {
        OutputFormat::Table => ctr_cli::print(&format!("{}\n", details.digest)),
        OutputFormat::Json => ctr_cli::print_json(&Report {
            destination: destination.path.display().to_string(),
            r#type: destination.kind,
            name: own.map(|name| name.to_string()),
            digest: details.digest,
        }),
    }
}

/// One export.
struct Export<'a> {
    store: &'a Store,
    details: &'a Details,
    /// The name that the image has in the store.
    name: Option<&'a Reference>,
    /// The name that the user gives it in the destination.
    tag: Option<&'a str>,
    progress: Progress,
}

impl Export<'_> {
    /// The entry of `index.json`.
    fn entry(&self) -> Descriptor {
        let bytes = &self.details.manifest_bytes;
        let declared = serde_json::from_slice::<serde_json::Value>(bytes).ok();
        let declared = declared.as_ref().and_then(|value| value.get("mediaType")?.as_str());
        let media_type = declared.unwrap_or(MediaType::MANIFEST);
        let descriptor = Descriptor::new(media_type, self.details.digest, bytes.len() as u64);
        archive::entry(descriptor, self.name, self.tag)
    }

    fn bar(&self, layer: &Descriptor) -> Bar {
        self.progress.bar(&format!("layer {}", layer.digest.short()), Some(layer.size))
    }

    /// A reader of a layer's blob that fails at its end if the content is not what it must be.
    fn blob(&self, layer: &Descriptor) -> Result<Verified<File>, Failure> {
        let blob = self.store.blob(&layer.digest).map_err(hinted)?;
        let file = File::open(&blob.path).context(|| format!("cannot open blob {}", layer.digest))?;
        Ok(Verified { inner: file, hasher: Some(Hasher::new()), expected: layer.digest, left: layer.size })
    }

    fn oci_archive(&self, destination: &Destination) -> Result<(), Failure> {
        let out = NewFile::create(&destination.path)?;
        let mut archive = OciArchive::begin(out, self.entry())?;
        for (digest, bytes) in self.documents() {
            archive.blob(&digest, bytes.len() as u64, bytes)?;
        }
        for layer in &self.details.manifest.layers {
            let bar = self.bar(layer);
            archive.blob(&layer.digest, layer.size, bar.reading(self.blob(layer)?))?;
            bar.finish("written");
        }
        archive.finish()?.publish()
    }

    /// Manifest and config, in the order in which readers need them.
    fn documents(&self) -> [(Digest, &[u8]); 2] {
        let details = self.details;
        [(details.digest, &details.manifest_bytes), (details.manifest.config.digest, &details.config_bytes)]
    }
}

/// Reads a blob, and fails where its end should be if digest or size are not the descriptor's.
struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    left: u64,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most) else { return Ok(0) };
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let read = if buffer.is_empty() { 0 } else { self.inner.read(buffer)? };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        self.left -= read as u64;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(damaged(format!("blob {} of the store is cut short", self.expected)));
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
        {
            let found = hasher.finish();
            if found != self.expected {
                return Err(damaged(format!("blob {} of the store is damaged: it has digest {found}", self.expected)));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], expected: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let reader =
            Verified { inner: content, hasher: Some(Hasher::new()), expected: Digest::of(expected), left: size };
        let mut out = Vec::new();
        // As a writer of archives reads: no further than the size.
        reader.take(size).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn damage_is_an_error_before_the_end() {
        assert_eq!(read(b"content", b"content", 7).unwrap(), b"content");
        assert!(read(b"c0ntent", b"content", 7).is_err());
        assert!(read(b"conten", b"content", 7).is_err());
        assert_eq!(read(b"", b"", 0).unwrap(), b"");
    }
}
