//! Images of registries: the mirrors of a name and its own registry are asked in their order.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{self, Descriptor, Document, MediaType};
use ctr_registry::http::Http;
use ctr_registry::{Client, Head, Place, RawManifest, RegistryError, Repository, foreign_blob};

use ctr_core::store::Txn;

use crate::download::{Remote, Stopped};
use crate::referrers;

use super::{Image, MAX_INDEX_DEPTH, Source, Wanted, checked};

/// One image name and where it is asked for.
pub(crate) struct Registry {
    reference: Reference,
    /// Its name in the store.
    name: Reference,
    places: Vec<Place>,
    /// The place that had the image: its blobs are there too. Another one where its content was damaged.
    answered: AtomicUsize,
    client: Client,
    /// Whether foreign layers may be had from where their descriptors say.
    foreign: bool,
}

/// A registry error with what the user can do about it.
pub(crate) fn hinted(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

impl Registry {
    /// Nothing is asked yet.
    pub(crate) fn new(client: &Client, reference: Reference) -> Result<Self, Failure> {
        let places = client.places(&reference).map_err(hinted)?;
        client.http().resume();
        let answered = AtomicUsize::new(0);
        Ok(Self { name: reference.clone(), reference, places, answered, client: client.clone(), foreign: false })
    }

    /// The same, by another name in the store.
    pub(crate) fn named(self, name: Reference) -> Self {
        Self { name, ..self }
    }

    /// Fails unless the tag means the digest beside it now.
    pub(crate) fn check_tag(&self) -> Result<(), Failure> {
        let (Some(tag), Some(digest)) = (self.reference.tag(), self.reference.digest()) else { return Ok(()) };
        let now = |place: &Place| {
            let tag = place.reference.tag().unwrap_or(tag);
            match place.repository.head(tag)? {
                Some(Head { digest: Some(digest) }) => Ok(digest),
                _ => place.repository.manifest(tag).map(|manifest| manifest.digest),
            }
        };
        let (_, now) = self.ask(true, now)?;
        if now == *digest {
            return Ok(());
        }
        let name = self.reference.without_digest();
        Err(Failure::new(format!("{name} is {now} now, not {digest}"))
            .hint("leave --check-tag out to fetch what the digest names"))
    }

    /// The digest that the name has in the registry now, if that tells it without sending the manifest.
    pub(crate) fn current(&self) -> Result<Option<Digest>, Failure> {
        let by_tag = self.reference.digest().is_none();
        let (_, head) = self.ask(by_tag, |place| place.repository.head(&target(place)))?;
        Ok(head.and_then(|head| head.digest))
    }

    /// Asks one place after the other; with `by_tag` only those that may say what a tag means. What a mirror fails with
    /// is told, and the next one is asked.
    fn ask<T>(&self, by_tag: bool, ask: impl Fn(&Place) -> Result<T, RegistryError>) -> Result<(usize, T), Failure> {
        let allowed = self.places.iter().enumerate().filter(|(_, place)| place.tags || !by_tag);
        for (at, place) in allowed {
            match ask(place) {
                Ok(answer) => return Ok((at, answer)),
                Err(error) if place.mirror => ctr_cli::note(format!("the mirror does not help: {error}")),
                Err(error) => return Err(hinted(error)),
            }
        }
        Err(Failure::new(format!("no registry may be asked for {}", self.reference)))
    }

    /// What the index that the name means lists; nothing if it means one image.
    pub(crate) fn entries(&self) -> Result<Vec<Descriptor>, Failure> {
        let (answered, top) = self.ask(self.reference.digest().is_none(), manifest)?;
        self.answered.store(answered, Ordering::Relaxed);
        let parsed = oci::parse_document(&top.bytes, top.media_type.as_ref());
        match parsed.context(|| format!("cannot use {} of {}", top.digest, self.reference))? {
            Document::Index(index) => Ok(index.manifests),
            Document::Manifest(_) => Ok(Vec::new()),
        }
    }

    /// Whether an entry of an index is an image that some machine runs: attestations are for `unknown/unknown`.
    pub(crate) fn is_platform(entry: &Descriptor) -> bool {
        entry.is_image() && entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }

    /// Brings in a document that is no image, with its blobs.
    pub(crate) fn copy(&self, txn: &Txn, entry: &Descriptor) -> Result<(), Failure> {
        let repository = self.place()?;
        let found = described(repository, entry)?;
        referrers::copy(txn, repository, &found.bytes, found.digest)
    }

    fn place(&self) -> Result<&Repository, Failure> {
        let place =
            self.places.get(self.answered.load(Ordering::Relaxed)).ok_or_else(|| Failure::new("no registry"))?;
        Ok(&place.repository)
    }

    /// From what the name means down to one manifest; the indexes on the way are kept.
    fn resolve(&self, top: RawManifest, wanted: &Wanted) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failure> {
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
                    let demanded = index.manifests.iter().position(|one| Some(one.digest) == wanted.manifest);
                    let chosen = demanded.map_or_else(|| wanted.platform.choose(&index.manifests), Ok)?;
                    let next = index.manifests.into_iter().nth(chosen);
                    let next = next.ok_or_else(|| Failure::new("an empty image index"))?;
                    indexes.push(current.bytes);
                    current = described(repository, &next)?;
                }
            }
        }
    }
}

impl Registry {
    /// With `allowed`, layers that the registry does not have are taken from where their descriptors say.
    pub(crate) fn allow_foreign(self, allowed: bool) -> Self {
        Self { foreign: allowed, ..self }
    }

    /// A layer that may not be distributed, and lies where its author has it. The addresses are the image's: whoever made
    /// it would choose whom this host asks.
    fn foreign(&self, descriptor: &Descriptor, offset: u64) -> Result<(u64, Box<dyn Read + Send + '_>), Stopped> {
        let digest = descriptor.digest;
        if !self.foreign {
            let failure = Failure::new(format!("the registry does not have the foreign layer {digest}"));
            return Err(Stopped::Failed(failure.hint("--allow-foreign-layers fetches it from where the image says")));
        }
        let mut last = Failure::new(format!("the foreign layer {digest} cannot be had"));
        for url in &descriptor.urls {
            match foreign_blob(self.client.http(), url, descriptor.size, offset) {
                Ok(body) => return Ok((body.start, Box::new(body.body))),
                Err(error) => last = last.because(error),
            }
        }
        Err(Stopped::Failed(last))
    }
}

/// Digest or tag: what stands behind `manifests/`.
fn target(place: &Place) -> String {
    let digest = place.reference.digest().map(ToString::to_string);
    digest.or_else(|| place.reference.tag().map(str::to_owned)).unwrap_or_default()
}

/// What the name means there. Some mirrors know digests only of what was asked for by tag: where the tag is known too,
/// it is asked, and has to mean that digest.
fn manifest(place: &Place) -> Result<RawManifest, RegistryError> {
    let found = place.repository.manifest(&target(place)).and_then(|found| {
        // A mirror that answers with something else, a page for people say, is one that does not have it.
        match oci::parse_document(&found.bytes, found.media_type.as_ref()) {
            Err(source) if place.mirror => {
                Err(RegistryError::Document { url: place.repository.manifest_url(&target(place))?, source })
            }
            _ => Ok(found),
        }
    });
    let (Some(digest), Some(tag)) = (place.reference.digest(), place.reference.tag()) else { return found };
    match found {
        Err(error) if error.is_not_found() && place.tags => match place.repository.manifest(tag) {
            Ok(by_tag) if by_tag.digest == *digest => Ok(by_tag),
            _ => Err(error),
        },
        found => found,
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

impl Remote for Registry {
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<(u64, Box<dyn Read + Send + '_>), Stopped> {
        for place in self.places.iter().skip(self.answered.load(Ordering::Relaxed)) {
            match place.repository.blob(&descriptor.digest, descriptor.size, offset) {
                Ok(body) => return Ok((body.start, Box::new(body.body))),
                Err(RegistryError::Status { status: 416, .. } | RegistryError::Protocol { .. }) if offset > 0 => {
                    return Err(Stopped::NoRange);
                }
                // A digest is safe with anybody: what a mirror lacks, the next one may have.
                Err(error) if place.mirror => ctr_cli::note(format!("the mirror does not help: {error}")),
                Err(error) if error.is_not_found() && !descriptor.urls.is_empty() => {
                    return self.foreign(descriptor, offset);
                }
                Err(error) => return Err(Stopped::Failed(hinted(error))),
            }
        }
        Err(Stopped::Failed(Failure::new("no registry")))
    }

    fn referrers(&self, txn: &Txn, subjects: &[Digest]) -> Result<(), Failure> {
        let repository = self.place()?;
        subjects.iter().try_for_each(|subject| referrers::bring(txn, repository, subject))
    }

    fn http(&self) -> &Http {
        self.client.http()
    }

    fn distrust(&self) {
        let answered = self.answered.load(Ordering::Relaxed);
        if answered + 1 < self.places.len() {
            self.answered.store(answered + 1, Ordering::Relaxed);
        }
    }
}

impl Source for Registry {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let (answered, top) = self.ask(self.reference.digest().is_none(), manifest)?;
        self.answered.store(answered, Ordering::Relaxed);
        let index = top.digest;
        let (manifest_bytes, indexes) = self.resolve(top, wanted)?;
        let manifest = oci::parse_manifest(&manifest_bytes).context(|| format!("cannot use {}", self.reference))?;
        let config = checked(&manifest.config, self.blob(&manifest.config)?)?;
        let mut image = Image::new(manifest_bytes, config, vec![self.name.clone()])?;
        image.index = (!indexes.is_empty()).then_some(index);
        image.indexes = indexes;
        Ok(image)
    }

    fn remote(&self) -> Option<&dyn Remote> {
        Some(self)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        for place in self.places.iter().skip(self.answered.load(Ordering::Relaxed)) {
            match place.repository.document(&descriptor.digest, descriptor.size) {
                Ok(bytes) if place.mirror && Digest::of(&bytes) != descriptor.digest => {
                    ctr_cli::note(format!("the mirror does not help: {} is damaged there", descriptor.digest));
                }
                Ok(bytes) => return Ok(Box::new(io::Cursor::new(bytes))),
                Err(error) if place.mirror => ctr_cli::note(format!("the mirror does not help: {error}")),
                Err(error) => return Err(hinted(error)),
            }
        }
        Err(Failure::new("no registry"))
    }
}
