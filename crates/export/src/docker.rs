//! docker-archives: layers as plain tars, because old readers know nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::Path;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::docker::{self, ArchiveImage};
use ctr_core::spec::oci::{self, Descriptor};
use ctr_core::spec::{Link, MAX_DOCUMENT};
use ctr_layer::archive::ArchiveWriter;
use ctr_layer::codec;
use ctr_layer::pack::Hashing;

use crate::blob::open_blob;
use crate::new_file::NewFile;
use crate::{Export, Item, hinted};

/// An image as a docker-archive needs it.
struct Plain {
    names: Vec<Reference>,
    config: Digest,
    config_bytes: Vec<u8>,
    /// Layers with the digests of their plain content.
    layers: Vec<(Descriptor, Digest)>,
}

impl Plain {
    fn config_path(&self) -> String {
        format!("{}.json", self.config.hex())
    }

    fn listed(&self) -> ArchiveImage {
        ArchiveImage {
            config: self.config_path(),
            repo_tags: self.names.iter().filter(|name| name.tag().is_some()).map(ToString::to_string).collect(),
            layers: self.layers.iter().map(|(_, diff_id)| layer_path(diff_id)).collect(),
        }
    }
}

fn layer_path(diff_id: &Digest) -> String {
    format!("{}.tar", diff_id.hex())
}

impl Export<'_> {
    pub(crate) fn docker_archive(&self, path: &Path) -> Result<(), Failure> {
        let mut images: Vec<Plain> = Vec::new();
        for item in self.items {
            let image = self.plain_image(item)?;
            // Names of one image stand together.
            match images.iter_mut().find(|known| known.config == image.config && known.layers == image.layers) {
                Some(known) => known.names.extend(image.names),
                None => images.push(image),
            }
        }
        let failed = || format!("cannot write {}", path.display());
        let out = NewFile::create(path)?;
        let mut scratch = out.scratch()?;
        let listed: Vec<ArchiveImage> = images.iter().map(Plain::listed).collect();
        let mut archive = ArchiveWriter::new(BufWriter::with_capacity(1 << 18, out));
        archive.file("manifest.json", &docker::write(&listed)).context(failed)?;
        let mut written = BTreeSet::new();
        for image in &images {
            if written.insert(image.config) {
                archive.file(&image.config_path(), &image.config_bytes).context(failed)?;
            }
        }
        for (layer, diff_id) in images.iter().flat_map(|image| &image.layers) {
            if written.insert(*diff_id) {
                let size = self.plain(layer, diff_id, &mut scratch)?;
                archive.copy(&layer_path(diff_id), size, &scratch).context(failed)?;
            }
        }
        let out = archive.finish().context(failed)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error).context(failed)?.publish()
    }

    fn plain_image(&self, item: &Item) -> Result<Plain, Failure> {
        let name = match &item.tag {
            Some(tag) => Some(tag.parse::<Reference>().map_err(|error| Failure::usage(error.to_string()))?),
            None => item.name.clone(),
        };
        let top = item.tree.top();
        let manifest = oci::parse_manifest(&top.bytes);
        let manifest = manifest.context(|| format!("{} cannot stand in a docker-archive", top.digest))?;
        let config_bytes = self.store.read_blob_capped(&manifest.config.digest, MAX_DOCUMENT).map_err(hinted)?;
        let config = oci::parse_config(&config_bytes, manifest.layers.len());
        let config = config.context(|| format!("cannot use the config {}", manifest.config.digest))?;
        let layers = manifest.layers.into_iter().zip(config.diff_ids).collect();
        Ok(Plain { names: name.into_iter().collect(), config: manifest.config.digest, config_bytes, layers })
    }

    /// Decompresses a layer into `scratch`, which is at its start again afterwards, and says how long it is.
    fn plain(&self, layer: &Descriptor, diff_id: &Digest, scratch: &mut File) -> Result<u64, Failure> {
        let failed = || format!("cannot decompress layer {}", layer.digest);
        scratch.set_len(0).context(failed)?;
        scratch.rewind().context(failed)?;
        let link = Link { media_type: layer.media_type.clone(), digest: layer.digest, size: layer.size };
        let bar = self.bar(&link);
        let mut blob = BufReader::with_capacity(1 << 17, bar.reading(open_blob(self.store, &link)?));
        let mut out = Hashing::new(BufWriter::with_capacity(1 << 18, &*scratch));
        let (_, mut decoder) = codec::open(blob.by_ref()).context(failed)?;
        std::io::copy(&mut decoder, &mut out).context(failed)?;
        drop(decoder);
        let (mut out, found, size) = out.finish();
        out.flush().context(failed)?;
        drop(out);
        if found != *diff_id {
            return Err(Failure::new(failed()).because(format!("its content has digest {found}, not {diff_id}")));
        }
        scratch.rewind().context(failed)?;
        bar.finish("written");
        Ok(size)
    }
}
