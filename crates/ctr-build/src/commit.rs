//! The image of a stage: config and manifest into the store.

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::spec::oci::{self, Descriptor, MediaType};
use ctr_core::spec::{UnpackedLayers, launch_record, write};

use crate::builder::{Builder, Built, hinted};

/// An image that was built.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) digest: Digest,
    pub(crate) config: Digest,
    pub(crate) size: u64,
    pub(crate) launch: LaunchRecord,
    pub(crate) manifest: Descriptor,
}

/// Puts the image into the store, without a name.
pub(crate) fn commit(builder: &Builder<'_>, built: &Built) -> Result<Image, Failure> {
    let request = builder.request;
    let mut config = built.config.clone();
    for (key, value) in &request.labels {
        config.set_label(key, value);
    }
    let mut unpacked = UnpackedLayers::default();
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for layer in &built.layers {
        let sealed = layer.wait()?;
        unpacked.layers.push(sealed.id);
        unpacked.max_uid = unpacked.max_uid.max(sealed.max_uid);
        unpacked.max_gid = unpacked.max_gid.max(sealed.max_gid);
        descriptors.push(Descriptor::new(
            MediaType::from(sealed.blob.media_type.as_str()),
            sealed.blob.digest,
            sealed.blob.size,
        ));
        diff_ids.push(sealed.blob.diff_id);
    }
    let bytes = config.bytes(&request.created(), &diff_ids);
    let parsed = oci::parse_config(&bytes, descriptors.len())
        .map_err(|error| Failure::new("the image's config would not be valid").caused_by(&error))?;
    let (config_digest, config_size) = (Digest::of(&bytes), bytes.len() as u64);
    let config_descriptor = Descriptor::new(MediaType::CONFIG, config_digest, config_size);
    let manifest_bytes = write::manifest(&config_descriptor, &descriptors, &request.annotations);
    let (digest, manifest_size) = (Digest::of(&manifest_bytes), manifest_bytes.len() as u64);
    let launch = launch_record(digest, config_digest, &parsed, unpacked);
    let blobs = [(config_digest, config_size), (digest, manifest_size)];
    if !is_there(builder, &launch, &blobs)? {
        builder.txn.put_blob(&bytes, Some((config_digest, config_size))).map_err(hinted)?;
        builder.txn.put_blob(&manifest_bytes, Some((digest, manifest_size))).map_err(hinted)?;
        builder.txn.add_image(&launch, &[], None).map_err(hinted)?;
    }
    let size = descriptors.iter().map(|layer| layer.size).sum::<u64>() + config_size + manifest_size;
    let manifest = Descriptor::new(MediaType::MANIFEST, digest, manifest_size);
    Ok(Image { digest, config: config_digest, size, launch, manifest })
}

/// Whether the store has the image: then nothing needs to be written, and nothing to last.
fn is_there(builder: &Builder<'_>, launch: &LaunchRecord, blobs: &[(Digest, u64)]) -> Result<bool, Failure> {
    let (store, txn) = (&builder.store, &builder.txn);
    // Kept first, looked at afterwards: gc cannot come in between.
    if txn.keep_image(&launch.image).is_err() || !store.launch_record(&launch.image).is_ok_and(|known| known == *launch)
    {
        return Ok(false);
    }
    for (digest, size) in blobs {
        if !txn.keep_sized_blob(digest, *size).map_err(hinted)? {
            return Ok(false);
        }
    }
    Ok(true)
}
