//! Where images come from. A source gives the documents of one image and streams its blobs; what it says is checked
//! by the importer, against the digests, never believed.

mod appc;
mod detect;
mod docker;
mod layout;
mod members;
mod names;
mod registry;
mod web;

use std::io::Read;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{self, Descriptor, ImageConfig, Manifest};
use ctr_core::spec::platform::Platform;

use crate::download::Remote;

pub(crate) use detect::open;
pub(crate) use registry::{Registry, hinted as registry_hinted};
pub(crate) use web::{OfName, WebImage};

/// Indexes may name indexes. Nobody needs more levels.
const MAX_INDEX_DEPTH: usize = 4;

/// `localhost/STEM:TAG`, for what has no name.
pub(crate) fn local_name(stem: &str, tag: &str) -> Option<Reference> {
    names::local(stem, Some(tag))
}

/// Which image of a source is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The platform to choose from an index.
    pub(crate) platform: Platform,
    /// The image that it has to be, whatever its platform; anything else is an error.
    pub(crate) manifest: Option<Digest>,
    /// The entry of the source that is meant, by [`Source::entries`].
    pub(crate) entry: Option<usize>,
    /// The tag behind the path.
    pub(crate) tag: Option<String>,
    /// What names an image that does not name itself.
    pub(crate) stem: String,
}

/// The documents of one image, checked against each other.
#[derive(Debug)]
pub(crate) struct Image {
    /// The manifest's bytes as they came.
    pub(crate) manifest_bytes: Vec<u8>,
    /// Their digest: the identity of the image.
    pub(crate) digest: Digest,
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// The config's bytes as they came.
    pub(crate) config_bytes: Vec<u8>,
    /// The config.
    pub(crate) config: ImageConfig,
    /// The index that the source gave for the name, if it was one.
    pub(crate) index: Option<Digest>,
    /// The bytes of that index, and of those between it and the manifest.
    pub(crate) indexes: Vec<Vec<u8>>,
    /// Names that the source gives the image.
    pub(crate) names: Vec<Reference>,
    /// What the user should know of it.
    pub(crate) notes: Vec<String>,
}

impl Image {
    /// From the bytes of manifest and config, whose digest and size were checked by the caller.
    pub(crate) fn new(manifest_bytes: Vec<u8>, config_bytes: Vec<u8>, names: Vec<Reference>) -> Result<Self, Failure> {
        let manifest = oci::parse_manifest(&manifest_bytes).context(|| "the image cannot be used")?;
        let config = oci::parse_config(&config_bytes, manifest.layers.len()).context(|| "the image cannot be used")?;
        let digest = Digest::of(&manifest_bytes);
        Ok(Self {
            manifest_bytes,
            digest,
            manifest,
            config_bytes,
            config,
            index: None,
            indexes: Vec::new(),
            names,
            notes: Vec::new(),
        })
    }
}

/// A place that images come from.
pub(crate) trait Source {
    /// The wanted image.
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure>;

    /// Which entries of the source are images, for `--all`: of one image for several platforms the best one.
    fn entries(&self, platform: &Platform) -> Result<Vec<usize>, Failure> {
        let _ = platform;
        Ok(vec![0])
    }

    /// A stream of the blob that `descriptor` of that image names. Nothing about it was checked.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure>;

    /// The source as something far away, whose blobs are better brought several at once.
    fn remote(&self) -> Option<&dyn Remote> {
        None
    }
}

/// Reads a document that a descriptor names: at most as long as it says, and with its digest.
fn checked(descriptor: &Descriptor, mut blob: impl Read) -> Result<Vec<u8>, Failure> {
    let limit = ctr_core::spec::MAX_DOCUMENT;
    let name = descriptor.digest;
    if descriptor.size > limit {
        let size = descriptor.size;
        return Err(Failure::new(format!("the document {name} has {size} bytes, more than the {limit} allowed")));
    }
    let mut bytes = Vec::new();
    blob.by_ref().take(descriptor.size + 1).read_to_end(&mut bytes).context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 != descriptor.size {
        let (is, should) = (bytes.len(), descriptor.size);
        return Err(Failure::new(format!("the document {name} has {is} bytes or more, its descriptor says {should}")));
    }
    let found = Digest::of(&bytes);
    if found != descriptor.digest {
        return Err(Failure::new(format!("the document {name} has the digest {found}: the source is damaged")));
    }
    Ok(bytes)
}
