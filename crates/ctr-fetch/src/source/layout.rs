//! OCI image layouts, in a directory or in a tar (image-layout.md).

use std::collections::BTreeMap;
use std::io::Read;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::spec::MAX_DOCUMENT;
use ctr_core::spec::oci::{self, Descriptor, Document, REF_NAME};
use ctr_core::spec::platform::Platform;

use super::members::Members;
use super::{Image, MAX_INDEX_DEPTH, Source, Wanted, checked, names};

/// An image layout.
pub(super) struct Layout {
    members: Members,
    /// The digest of the entry that is meant.
    digest: Option<Digest>,
}

impl Layout {
    pub(super) fn new(members: Members) -> Self {
        Self { members, digest: None }
    }

    /// Only the image or index with this digest is meant.
    pub(super) fn only(self, digest: Option<Digest>) -> Self {
        Self { digest, ..self }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<impl Read + Send + use<>, Failure> {
        let path = format!("blobs/sha256/{}", descriptor.digest.hex());
        let missing = || {
            Failure::new(format!("{} has no blob {}", self.members.place(), descriptor.digest))
                .hint("the layout is incomplete; copy it again")
        };
        let member = self.members.open(&path)?.ok_or_else(missing)?;
        if member.size != descriptor.size {
            let (digest, is, should) = (descriptor.digest, member.size, descriptor.size);
            return Err(Failure::new(format!("the blob {digest} has {is} bytes, its descriptor says {should}")));
        }
        Ok(member.reader)
    }

    /// From the entry of `index.json` down to one manifest.
    fn resolve(&self, entry: &Descriptor, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        let mut descriptor = entry.clone();
        for _ in 0..MAX_INDEX_DEPTH {
            let bytes = checked(&descriptor, self.open(&descriptor)?)?;
            let parsed = oci::parse_document(&bytes, Some(&descriptor.media_type));
            match parsed.context(|| format!("cannot use {} of {}", descriptor.digest, self.members.place()))? {
                Document::Manifest(_) => return Ok(bytes),
                Document::Index(index) => {
                    let chosen = wanted.platform.choose(&index.manifests)?;
                    let next = index.manifests.into_iter().nth(chosen);
                    descriptor = next.ok_or_else(|| Failure::new("an empty image index"))?;
                }
            }
        }
        Err(Failure::new(format!("{} nests image indexes deeper than {MAX_INDEX_DEPTH}", self.members.place())))
    }

    /// The entries of `index.json` that are images.
    fn index(&self) -> Result<Vec<Descriptor>, Failure> {
        let place = self.members.place();
        let layout = self.members.read("oci-layout", MAX_DOCUMENT)?;
        oci::check_layout(&layout).context(|| format!("{place} is not an OCI image layout"))?;
        let bytes = self.members.read("index.json", MAX_DOCUMENT)?;
        let index = oci::parse_index(&bytes).context(|| format!("cannot use index.json of {place}"))?;
        Ok(index.manifests.into_iter().filter(Descriptor::is_image).collect())
    }

    /// The entry of `index.json` that is wanted.
    fn entry(&self, wanted: &Wanted) -> Result<Descriptor, Failure> {
        let place = self.members.place();
        let mut images = self.index()?;
        if let Some(entry) = wanted.entry {
            return images.into_iter().nth(entry).ok_or_else(|| Failure::new(format!("{place} holds no image")));
        }
        if let Some(digest) = self.digest {
            images.retain(|image| image.digest == digest);
            // Several names of one image.
            images.truncate(1);
            return images.pop().ok_or_else(|| Failure::new(format!("{place} has no image {digest}")));
        }
        if let Some(tag) = &wanted.tag {
            let all = tags(&images);
            images.retain(|image| image_names(image).any(|name| names::matches(tag, name)));
            if images.is_empty() {
                return Err(Failure::new(format!("{place} has no image \"{tag}\"")).hint(choices(&all)));
            }
        }
        let all = tags(&images);
        if all.len() > 1 {
            return Err(Failure::new(format!("{place} holds {} images", all.len())).hint(choices(&all)));
        }
        match images.len() {
            0 => Err(Failure::new(format!("{place} holds no image"))),
            1 => images.pop().ok_or_else(|| Failure::new("no image")),
            _ => {
                let chosen = wanted.platform.choose(&images)?;
                images.into_iter().nth(chosen).ok_or_else(|| Failure::new("no image"))
            }
        }
    }
}

fn image_names(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    [names::CONTAINERD_NAME, REF_NAME].into_iter().filter_map(|key| descriptor.annotations.get(key)).map(String::as_str)
}

/// The different tags of some images; an image without one counts as its digest, unless it only differs by platform.
fn tags(images: &[Descriptor]) -> Vec<String> {
    let unnamed = images.iter().filter(|image| image_names(image).next().is_none()).collect::<Vec<_>>();
    let by_platform = unnamed.iter().all(|image| image.platform.is_some());
    let name = |image: &Descriptor| {
        let named = image.annotations.get(REF_NAME).map(String::as_str).or_else(|| image_names(image).next());
        match named {
            Some(name) => name.to_owned(),
            None if by_platform => String::new(),
            None => image.digest.to_string(),
        }
    };
    let mut all: Vec<String> = images.iter().map(name).collect();
    all.sort();
    all.dedup();
    all
}

fn choices(tags: &[String]) -> String {
    let shown: Vec<&str> = tags.iter().map(String::as_str).filter(|tag| !tag.is_empty()).take(20).collect();
    if shown.is_empty() {
        "its images have no tags".to_owned()
    } else {
        format!("choose by :TAG; there are {}", shown.join(", "))
    }
}

impl Source for Layout {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let entry = self.entry(wanted)?;
        let bytes = self.resolve(&entry, wanted)?;
        let manifest = oci::parse_manifest(&bytes).context(|| format!("cannot use {}", self.members.place()))?;
        let config = checked(&manifest.config, self.open(&manifest.config)?)?;
        let unnamed = wanted.entry.is_some() && image_names(&entry).next().is_none();
        let names = if unnamed {
            // Several without a name must not take it from each other.
            names::local(&wanted.stem, entry.digest.hex().get(..12)).into_iter().collect()
        } else {
            names::of_descriptor(&entry, &wanted.stem)
        };
        Image::new(bytes, config, names)
    }

    fn entries(&self, platform: &Platform) -> Result<Vec<usize>, Failure> {
        let images = self.index()?;
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, image) in images.iter().enumerate() {
            // Without a name the platform alone tells entries apart; without either each is an image.
            let name = image_names(image).next().map(str::to_owned);
            let name = name.or_else(|| image.platform.is_none().then(|| image.digest.to_string()));
            groups.entry(name.unwrap_or_default()).or_default().push(at);
        }
        let mut chosen = Vec::with_capacity(groups.len());
        for group in groups.values() {
            let members: Vec<Descriptor> = group.iter().filter_map(|at| images.get(*at)).cloned().collect();
            let best = if members.len() == 1 { 0 } else { platform.choose(&members)? };
            chosen.extend(group.get(best));
        }
        chosen.sort_unstable();
        Ok(chosen)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        Ok(Box::new(self.open(descriptor)?))
    }
}
