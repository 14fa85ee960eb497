//! The image of a stage: config and manifest into the store, the names last.

use std::io::Write as _;
use std::path::Path;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::reference::Reference;
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

/// Puts the image into the store and points the names at it.
pub(crate) fn commit(builder: &Builder<'_>, built: &Built, names: &[Reference]) -> Result<Image, Failure> {
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
    if !is_there(builder, &launch, &blobs, names)? {
        builder.txn.put_blob(&bytes, Some((config_digest, config_size))).map_err(hinted)?;
        builder.txn.put_blob(&manifest_bytes, Some((digest, manifest_size))).map_err(hinted)?;
        builder.txn.add_image(&launch, names, None).map_err(hinted)?;
    }
    let size = descriptors.iter().map(|layer| layer.size).sum::<u64>() + config_size + manifest_size;
    let manifest = Descriptor::new(MediaType::MANIFEST, digest, manifest_size);
    Ok(Image { digest, config: config_digest, size, launch, manifest })
}

/// Whether the store has the image under these names: then nothing needs to be written, and nothing to last.
fn is_there(
    builder: &Builder<'_>,
    launch: &LaunchRecord,
    blobs: &[(Digest, u64)],
    names: &[Reference],
) -> Result<bool, Failure> {
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
    for name in names {
        let known = (store.resolve(name).map_err(hinted)?, store.index_of(name).map_err(hinted)?);
        if known != (Some(launch.image), None) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `--iidfile` and `--metadata-file`.
pub(crate) fn write_files(
    iidfile: Option<&Path>,
    metadata_file: Option<&Path>,
    image: &Image,
    names: &[String],
) -> Result<(), Failure> {
    if let Some(path) = iidfile {
        put(path, image.config.to_string().as_bytes())?;
    }
    if let Some(path) = metadata_file {
        let metadata = serde_json::json!({
            "containerimage.config.digest": image.config,
            "containerimage.digest": image.digest,
            "containerimage.descriptor": {
                "mediaType": image.manifest.media_type.to_string(),
                "digest": image.manifest.digest,
                "size": image.manifest.size,
            },
            "image.name": names.join(","),
        });
        let mut json = serde_json::to_vec_pretty(&metadata).context(|| "cannot write JSON".to_owned())?;
        json.push(b'\n');
        put(path, &json)?;
    }
    Ok(())
}

/// Writes a file in one step: whoever reads it finds the old one or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = || format!("cannot write {}", path.display());
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}.new", std::process::id()));
    let mut file = std::fs::File::create(&staged).context(failed)?;
    file.write_all(bytes).context(failed)?;
    drop(file);
    std::fs::rename(&staged, path).context(failed)
}
