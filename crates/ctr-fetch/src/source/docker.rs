//! docker-archives: what `docker save`, `podman save` and skopeo write.
//!
//! They have no manifest: one is made here, the same from the same archive. A plain layer's blob digest is its diff id,
//! so that the layer need not be read to name it.

use std::io::Read;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::{Digest, Hasher};
use ctr_core::reference::Reference;
use ctr_core::spec::docker::{self, ArchiveImage};
use ctr_core::spec::oci::{self, Descriptor, MediaType};
use ctr_core::spec::platform::Platform;
use ctr_core::spec::{MAX_DOCUMENT, write};
use ctr_layer::codec::{Codec, SNIFF_BYTES};

use super::members::{Member, Members};
use super::{Image, Source, Wanted, names};

/// A docker-archive.
pub(super) struct DockerArchive {
    members: Members,
    /// Blob digest and entry name of each layer of the image that was chosen.
    layers: Vec<(Digest, String)>,
}

impl DockerArchive {
    pub(super) fn new(members: Members) -> Self {
        Self { members, layers: Vec::new() }
    }

    fn choose(&self, wanted: &Wanted) -> Result<ArchiveImage, Failure> {
        let place = self.members.place();
        let bytes = self.members.read("manifest.json", MAX_DOCUMENT)?;
        let images = docker::parse(&bytes).context(|| format!("cannot use {place}"))?;
        if let Some(entry) = wanted.entry {
            return images.into_iter().nth(entry).ok_or_else(|| Failure::new(format!("{place} holds no image")));
        }
        let all: Vec<String> = images.iter().flat_map(|image| image.repo_tags.clone()).collect();
        let choices = if all.is_empty() {
            "its images have no names".to_owned()
        } else {
            format!("choose by :TAG; there are {}", all.join(", "))
        };
        let count = images.len();
        let fits = |image: &ArchiveImage| match &wanted.tag {
            Some(tag) => image.repo_tags.iter().any(|name| names::matches(tag, name)),
            None => true,
        };
        let mut found = images.into_iter().filter(fits);
        match (found.next(), found.next(), &wanted.tag) {
            (Some(image), None, _) => Ok(image),
            (None, _, Some(tag)) => Err(Failure::new(format!("{place} has no image \"{tag}\"")).hint(choices)),
            (_, _, Some(tag)) => {
                Err(Failure::new(format!("{place} has several images that \"{tag}\" can mean")).hint(choices))
            }
            _ => Err(Failure::new(format!("{place} holds {count} images")).hint(choices)),
        }
    }

    fn layer(&self, path: &str) -> Result<Member, Failure> {
        let missing =
            || Failure::new(format!("{} has no file {path}, which its manifest.json names", self.members.place()));
        self.members.open(path)?.ok_or_else(missing)
    }

    /// The descriptor of the layer at `path`, which is `diff_id` when it is uncompressed.
    fn describe(&self, path: &str, diff_id: Digest) -> Result<Descriptor, Failure> {
        let failed = || format!("cannot read {path} of {}", self.members.place());
        let member = self.layer(path)?;
        let mut head = Vec::with_capacity(SNIFF_BYTES);
        let mut reader = member.reader;
        reader.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head).context(failed)?;
        let codec = Codec::sniff(&head);
        let Some(media_type) = codec.media_type() else {
            let name = codec.name();
            return Err(Failure::new(failed()).because(format!("layers compressed with {name} are not supported")));
        };
        if codec == Codec::Plain {
            return Ok(Descriptor::new(MediaType::LAYER, diff_id, member.size));
        }
        let mut hasher = Hasher::new();
        hasher.update(&head);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = reader.read(&mut buffer).context(failed)?;
            match buffer.get(..read) {
                None | Some([]) => return Ok(Descriptor::new(media_type, hasher.finish(), member.size)),
                Some(bytes) => hasher.update(bytes),
            }
        }
    }
}

impl Source for DockerArchive {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let chosen = self.choose(wanted)?;
        let config_bytes = self.members.read(&chosen.config, MAX_DOCUMENT)?;
        let config = oci::parse_config(&config_bytes, chosen.layers.len());
        let config = config.context(|| format!("cannot use {}", self.members.place()))?;
        let mut layers = Vec::with_capacity(chosen.layers.len());
        self.layers.clear();
        for (path, diff_id) in chosen.layers.iter().zip(&config.diff_ids) {
            let descriptor = self.describe(path, *diff_id)?;
            self.layers.push((descriptor.digest, path.clone()));
            layers.push(descriptor);
        }
        let size = config_bytes.len() as u64;
        let descriptor = Descriptor::new(MediaType::CONFIG, Digest::of(&config_bytes), size);
        let manifest = write::manifest(&descriptor, &layers, &std::collections::BTreeMap::new());
        let mut found: Vec<Reference> = chosen.repo_tags.iter().filter_map(|name| names::full_name(name)).collect();
        if let Some(tag) = &wanted.tag {
            // Only the name that was asked for, when it is one of several.
            let wanted: Vec<Reference> =
                found.iter().filter(|n| names::matches(tag, &n.to_string())).cloned().collect();
            if !wanted.is_empty() {
                found = wanted;
            }
        }
        if found.is_empty() {
            // Several without a name must not take it from each other.
            let own = wanted.entry.and(descriptor.digest.hex().get(..12)).map(str::to_owned);
            found.extend(names::local(&wanted.stem, own.as_deref()));
        }
        Image::new(manifest, config_bytes, found)
    }

    fn entries(&self, _: &Platform) -> Result<Vec<usize>, Failure> {
        let bytes = self.members.read("manifest.json", MAX_DOCUMENT)?;
        let images = docker::parse(&bytes).context(|| format!("cannot use {}", self.members.place()))?;
        Ok((0..images.len()).collect())
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        let found = self.layers.iter().find(|(digest, _)| *digest == descriptor.digest);
        let (_, path) = found.ok_or_else(|| Failure::new(format!("no layer {}", descriptor.digest)))?;
        let member = self.layer(path)?;
        Ok(member.reader)
    }
}
