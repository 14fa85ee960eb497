//! docker-archives: layers as plain tars, because old readers know nothing else.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::docker::{self, ArchiveImage};
use ctr_core::spec::oci::Descriptor;
use ctr_layer::archive::ArchiveWriter;
use ctr_layer::codec;
use ctr_layer::pack::Hashing;

use super::Export;
use super::destination::Destination;
use crate::new_file::NewFile;

impl Export<'_> {
    pub(super) fn docker_archive(&self, destination: &Destination) -> Result<(), Failure> {
        let name = match self.tag {
            Some(tag) => Some(tag.parse::<Reference>().map_err(|error| Failure::usage(error.to_string()))?),
            None => self.name.cloned(),
        };
        let failed = || format!("cannot write {}", destination.path.display());
        let out = NewFile::create(&destination.path)?;
        let mut scratch = out.scratch()?;
        let config = format!("{}.json", self.details.manifest.config.digest.hex());
        let path = |diff_id: &Digest| format!("{}.tar", diff_id.hex());
        let diff_ids = &self.details.config.diff_ids;
        let listed = ArchiveImage {
            config: config.clone(),
            repo_tags: name.iter().filter(|name| name.tag().is_some()).map(ToString::to_string).collect(),
            layers: diff_ids.iter().map(path).collect(),
        };
        let mut archive = ArchiveWriter::new(BufWriter::with_capacity(1 << 18, out));
        archive.file("manifest.json", &docker::write(&[listed])).context(failed)?;
        archive.file(&config, &self.details.config_bytes).context(failed)?;
        let mut written = Vec::new();
        for (layer, diff_id) in self.details.manifest.layers.iter().zip(diff_ids) {
            if written.contains(diff_id) {
                continue;
            }
            written.push(*diff_id);
            let size = self.plain(layer, diff_id, &mut scratch)?;
            archive.copy(&path(diff_id), size, &scratch).context(failed)?;
        }
        let out = archive.finish().context(failed)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error).context(failed)?.publish()
    }

    /// Decompresses a layer into `scratch`, which is at its start again afterwards, and says how long it is.
    fn plain(&self, layer: &Descriptor, diff_id: &Digest, scratch: &mut File) -> Result<u64, Failure> {
        let failed = || format!("cannot decompress layer {}", layer.digest);
        scratch.set_len(0).context(failed)?;
        scratch.rewind().context(failed)?;
        let bar = self.bar(layer);
        let mut blob = BufReader::with_capacity(1 << 17, bar.reading(self.blob(layer)?));
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
