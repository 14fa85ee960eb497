//! What the store knows of an image.

use std::collections::BTreeMap;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::reference::Reference;
use ctr_core::spec::MAX_DOCUMENT;
use ctr_core::spec::oci::{self, ImageConfig, Manifest};
use ctr_core::store::Store;

use crate::hinted;

/// An image of the store: its documents as they lie there, and what they say.
pub struct Details {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
    /// The config's bytes.
    pub config_bytes: Vec<u8>,
    /// What it says.
    pub config: ImageConfig,
    /// What a start needs.
    pub launch: LaunchRecord,
}

impl Details {
    /// Reads and checks them.
    pub fn load(store: &Store, digest: &Digest) -> Result<Self, Failure> {
        let launch = store.launch_record(digest).map_err(hinted)?;
        let manifest_bytes = store.read_blob_capped(digest, MAX_DOCUMENT).map_err(hinted)?;
        let manifest = oci::parse_manifest(&manifest_bytes).context(|| format!("cannot use the manifest {digest}"))?;
        let config_bytes = store.read_blob_capped(&manifest.config.digest, MAX_DOCUMENT).map_err(hinted)?;
        let config = oci::parse_config(&config_bytes, manifest.layers.len());
        let config = config.context(|| format!("cannot use the config {}", manifest.config.digest))?;
        Ok(Self { digest: *digest, manifest_bytes, manifest, config_bytes, config, launch })
    }

    /// Bytes of manifest, config and layers as they are kept, what the image weighs on the wire.
    pub fn size(&self) -> u64 {
        let layers: u64 = self.manifest.layers.iter().map(|layer| layer.size).sum();
        layers + self.manifest_bytes.len() as u64 + self.config_bytes.len() as u64
    }
}

/// The names of every image; an image without a name is there with none.
pub fn names_by_image(store: &Store) -> Result<BTreeMap<Digest, Vec<String>>, Failure> {
    let mut images: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for digest in store.list_images().map_err(hinted)? {
        images.entry(digest).or_default();
    }
    let refs = store.list_refs().map_err(hinted)?;
    for (path, error) in &refs.damaged {
        ctr_cli::warn(format!("{}: {error}", path.display()));
    }
    for entry in refs.entries {
        images.entry(entry.digest).or_default().push(entry.name);
    }
    Ok(images)
}

/// A name as people write it: without the default registry.
pub fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
}
