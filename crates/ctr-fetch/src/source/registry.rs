//! Images of registries: the mirrors of a name and its own registry are asked in their order.

use std::io::Read;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{self, Descriptor, Document, MediaType};
use ctr_core::spec::platform::Platform;
use ctr_registry::{Client, Place, RawManifest, RegistryError, Repository};

use super::{Image, MAX_INDEX_DEPTH, Source, Wanted, checked};

/// One image name and where it is asked for.
pub(crate) struct Registry {
    reference: Reference,
    places: Vec<Place>,
    /// The place that had the image: its blobs are there too.
    answered: usize,
}

/// A registry error with what the user can do about it.
fn hinted(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

impl Registry {
    /// Nothing is asked yet.
    pub(crate) fn new(client: &Client, reference: Reference) -> Result<Self, Failure> {
        let places = client.places(&reference).map_err(hinted)?;
        Ok(Self { reference, places, answered: 0 })
    }

    /// Tag or digest: what stands behind `manifests/`.
    fn target(&self) -> String {
        let digest = self.reference.digest().map(ToString::to_string);
        digest.or_else(|| self.reference.tag().map(str::to_owned)).unwrap_or_default()
    }

    /// The digest that the name has in the registry now, if that tells it without sending the manifest.
    pub(crate) fn current(&self) -> Result<Option<Digest>, Failure> {
        let target = self.target();
        let (_, head) = self.ask(|repository| repository.head(&target))?;
        Ok(head.and_then(|head| head.digest))
    }

    /// Asks one place after the other. What a mirror fails with is told, and the next one is asked.
    fn ask<T>(&self, ask: impl Fn(&Repository) -> Result<T, RegistryError>) -> Result<(usize, T), Failure> {
        let by_tag = self.reference.digest().is_none();
        let allowed = self.places.iter().enumerate().filter(|(_, place)| place.tags || !by_tag);
        for (at, place) in allowed {
            match ask(&place.repository) {
                Ok(answer) => return Ok((at, answer)),
                Err(error) if place.mirror => ctr_cli::note(format!("the mirror does not help: {error}")),
                Err(error) => return Err(hinted(error)),
            }
        }
        Err(Failure::new(format!("no registry may be asked for {}", self.reference)))
    }

    fn place(&self) -> Result<&Repository, Failure> {
        let place = self.places.get(self.answered).ok_or_else(|| Failure::new("no registry"))?;
        Ok(&place.repository)
    }

    /// From what the name means down to one manifest; the indexes on the way are kept.
    fn resolve(&self, top: RawManifest, platform: &Platform) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failure> {
        let repository = self.place()?;
        let mut indexes = Vec::new();
        let mut current = top;
        loop {
            let parsed = oci::parse_document(&current.bytes, current.media_type.as_ref());
            match parsed.context(|| format!("cannot use {} of {}", current.digest, self.reference))? {
                Document::Manifest(_) => return Ok((current.bytes, indexes)),
                Document::Index(index) => {
                    if indexes.len() + 1 >= MAX_INDEX_DEPTH {
                        let what = format!("{} nests image indexes deeper than {MAX_INDEX_DEPTH}", self.reference);
                        return Err(Failure::new(what));
                    }
                    let chosen = platform.choose(&index.manifests)?;
                    let next = index.manifests.into_iter().nth(chosen);
                    let next = next.ok_or_else(|| Failure::new("an empty image index"))?;
                    indexes.push(current.bytes);
                    current = described(repository, &next)?;
                }
            }
        }
    }
}

/// The manifest that a descriptor names; size and type must be those of the descriptor.
fn described(repository: &Repository, descriptor: &Descriptor) -> Result<RawManifest, Failure> {
    let found = repository.manifest(&descriptor.digest.to_string()).map_err(hinted)?;
    let (is, should) = (found.bytes.len() as u64, descriptor.size);
    if is != should {
        let what = format!("the manifest {} has {is} bytes, its descriptor says {should}", descriptor.digest);
        return Err(Failure::new(what));
    }
    let told = found.media_type.as_ref().map(MediaType::kind);
    if told.is_some_and(|told| told != descriptor.media_type.kind()) {
        let what = format!("the index calls {} another kind than the registry does", descriptor.digest);
        return Err(Failure::new(what));
    }
    Ok(RawManifest { media_type: Some(descriptor.media_type.clone()), ..found })
}

impl Source for Registry {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let target = self.target();
        let (answered, top) = self.ask(|repository| repository.manifest(&target))?;
        self.answered = answered;
        let index = top.digest;
        let (manifest_bytes, indexes) = self.resolve(top, &wanted.platform)?;
        let manifest = oci::parse_manifest(&manifest_bytes).context(|| format!("cannot use {}", self.reference))?;
        let config = checked(&manifest.config, self.blob(&manifest.config)?)?;
        let mut image = Image::new(manifest_bytes, config, vec![self.reference.clone()])?;
        image.index = (!indexes.is_empty()).then_some(index);
        image.indexes = indexes;
        Ok(image)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        let body = self.place()?.blob(&descriptor.digest, descriptor.size, 0).map_err(hinted)?;
        Ok(Box::new(body.body))
    }
}
