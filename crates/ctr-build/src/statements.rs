//! What is said about an image beside it: bills of materials and how it was made, as artifacts that refer to it.

use ctr_attest::attach::{Attached, IN_TOTO, attestation_manifest, referrer, statement};
use ctr_attest::inventory::{AttestError, Subject, scan};
use ctr_attest::provenance::{self, Build, Material, Mode};
use ctr_attest::{cyclonedx, spdx};
use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::store::{Referrer, Referrers};

use crate::args::{Provenance, Sbom};
use crate::builder::{Builder, hinted};
use crate::plan::Done;

/// Media types of bills of materials, as their formats register them.
const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// Who builds, in provenance: the program, since that is what decides.
const BUILDER: &str = "urn:ctr:ctr-build";

fn failure(error: &AttestError) -> Failure {
    Failure::new("cannot say what the image consists of").caused_by(error)
}

/// A document, its media type, and what it is as the predicate of an in-toto statement.
struct Document {
    media_type: &'static str,
    predicate_type: &'static str,
    bytes: Vec<u8>,
}

/// Puts the documents that are asked for into the store, with the image. With `in_index` they are statements of an entry of
/// its index besides, which is returned.
pub(crate) fn attach(
    done: &Done<'_>,
    sbom: &[Sbom],
    provenance: Option<Provenance>,
    in_index: bool,
) -> Result<Option<Descriptor>, Failure> {
    let Done { builder, image, .. } = done;
    let name = builder.request.tags.first().map_or_else(|| image.digest.to_string(), ToString::to_string);
    let subject = Subject { name, digest: image.digest, epoch: builder.request.epoch };
    let documents = documents(done, &subject, sbom, provenance)?;
    if documents.is_empty() {
        return Ok(None);
    }
    let descriptor = serde_json::json!({
        "mediaType": image.manifest.media_type.to_string(),
        "digest": image.manifest.digest,
        "size": image.manifest.size,
    });
    let known = builder.store.referrers(&image.digest).map_err(hinted)?;
    let mut manifests = known.map(|known| known.manifests).unwrap_or_default();
    for Document { media_type, bytes, .. } in &documents {
        let attached = referrer(&descriptor, media_type, bytes.clone()).map_err(|error| failure(&error))?;
        let (digest, _) = put(builder, &attached)?;
        if !manifests.iter().any(|referrer| referrer.digest == digest) {
            manifests.push(Referrer { digest, tag: None });
        }
    }
    builder.txn.put_referrers(&Referrers { subject: image.digest, manifests }).map_err(hinted)?;
    if !in_index {
        return Ok(None);
    }
    let mut statements = Vec::new();
    for Document { media_type, predicate_type, bytes } in documents {
        let bytes = match media_type {
            IN_TOTO => bytes,
            _ => statement(&subject, predicate_type, &bytes).map_err(|error| failure(&error))?,
        };
        statements.push((predicate_type, bytes));
    }
    let attached = attestation_manifest(&subject, &statements).map_err(|error| failure(&error))?;
    let (digest, size) = put(builder, &attached)?;
    builder.txn.publish_pending().map_err(hinted)?;
    let annotations = attached.annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    // No program takes it for an image that it can run.
    let platform = Some(Platform::new("unknown", "unknown", ""));
    Ok(Some(Descriptor { annotations, platform, ..Descriptor::new(MediaType::MANIFEST, digest, size) }))
}

/// Puts blobs and manifest into the store: the manifest's digest and size.
fn put(builder: &Builder<'_>, attached: &Attached) -> Result<(Digest, u64), Failure> {
    for blob in &attached.blobs {
        builder.txn.put_blob(&blob.bytes, None).map_err(hinted)?;
    }
    builder.txn.put_blob(&attached.manifest.bytes, None).map_err(hinted)
}

fn documents(
    done: &Done<'_>,
    subject: &Subject,
    sbom: &[Sbom],
    provenance: Option<Provenance>,
) -> Result<Vec<Document>, Failure> {
    let builder = &done.builder;
    let mut documents = Vec::new();
    if !sbom.is_empty() {
        let tree = builder.tree(&done.built.layers)?;
        let inventory = scan(&tree).map_err(|error| failure(&error))?;
        for format in sbom {
            let (media_type, predicate_type, bytes) = match format {
                Sbom::Spdx => (SPDX, spdx::PREDICATE_TYPE, spdx::document(&inventory, subject)),
                Sbom::Cyclonedx => (CYCLONEDX, cyclonedx::PREDICATE_TYPE, cyclonedx::document(&inventory, subject)),
            };
            documents.push(Document { media_type, predicate_type, bytes: bytes.map_err(|error| failure(&error))? });
        }
    }
    if let Some(mode) = provenance {
        let mode = match mode {
            Provenance::Min => Mode::Min,
            Provenance::Max => Mode::Max,
        };
        let bytes = provenance::statement(&how(builder), subject, mode).map_err(|error| failure(&error))?;
        documents.push(Document { media_type: IN_TOTO, predicate_type: provenance::PREDICATE_TYPE, bytes });
    }
    Ok(documents)
}

fn how(builder: &Builder<'_>) -> Build {
    let platform = builder.request.platform.to_string();
    let material = |(name, digest): (String, Digest)| {
        let repository = name.parse::<Reference>().map_or(name, |reference| reference.repository());
        Material::Image { repository, digest: digest.to_string(), platform: platform.clone() }
    };
    Build {
        dockerfile: std::path::Path::new(&builder.file)
            .file_name()
            .map_or_else(|| builder.file.clone(), |name| name.to_string_lossy().into_owned()),
        dockerfile_digest: Digest::of(builder.dockerfile.text().as_bytes()),
        target: builder.request.target.clone(),
        arguments: builder.request.declared_arguments(),
        platforms: vec![platform.clone()],
        materials: builder.images.all().into_iter().map(material).collect(),
        builder: BUILDER.to_owned(),
    }
}
