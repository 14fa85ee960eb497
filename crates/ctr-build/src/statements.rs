//! What is said about an image beside it: bills of materials and how it was made, as artifacts that refer to it.

use ctr_attest::attach::{IN_TOTO, referrer};
use ctr_attest::inventory::{AttestError, Subject, scan};
use ctr_attest::provenance::{self, Build, Material, Mode};
use ctr_attest::{cyclonedx, spdx};
use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::store::{Referrer, Referrers};

use crate::args::{Provenance, Sbom};
use crate::builder::{Builder, Built, hinted};
use crate::commit::Image;

/// Media types of bills of materials, as their formats register them.
const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// Who builds, in provenance: the program, since that is what decides.
const BUILDER: &str = "urn:ctr:ctr-build";

fn failure(error: &AttestError) -> Failure {
    Failure::new("cannot say what the image consists of").caused_by(error)
}

/// Puts the documents that are asked for into the store, with the image.
pub(crate) fn attach(
    builder: &Builder<'_>,
    built: &Built,
    image: &Image,
    sbom: &[Sbom],
    provenance: Option<Provenance>,
) -> Result<(), Failure> {
    let name = builder.request.tags.first().map_or_else(|| image.digest.to_string(), ToString::to_string);
    let subject = Subject { name, digest: image.digest, epoch: builder.request.epoch };
    let mut documents = Vec::new();
    if !sbom.is_empty() {
        let tree = builder.tree(&built.layers)?;
        let inventory = scan(&tree).map_err(|error| failure(&error))?;
        for format in sbom {
            documents.push(match format {
                Sbom::Spdx => (SPDX, spdx::document(&inventory, &subject).map_err(|error| failure(&error))?),
                Sbom::Cyclonedx => {
                    (CYCLONEDX, cyclonedx::document(&inventory, &subject).map_err(|error| failure(&error))?)
                }
            });
        }
    }
    if let Some(mode) = provenance {
        let mode = match mode {
            Provenance::Min => Mode::Min,
            Provenance::Max => Mode::Max,
        };
        let statement = provenance::statement(&how(builder), &subject, mode).map_err(|error| failure(&error))?;
        documents.push((IN_TOTO, statement));
    }
    if documents.is_empty() {
        return Ok(());
    }
    let descriptor = serde_json::json!({
        "mediaType": image.manifest.media_type.to_string(),
        "digest": image.manifest.digest,
        "size": image.manifest.size,
    });
    let known = builder.store.referrers(&image.digest).map_err(hinted)?;
    let mut manifests = known.map(|known| known.manifests).unwrap_or_default();
    for (media_type, document) in documents {
        let attached = referrer(&descriptor, media_type, document).map_err(|error| failure(&error))?;
        for blob in &attached.blobs {
            builder.txn.put_blob(&blob.bytes, None).map_err(hinted)?;
        }
        let (digest, _) = builder.txn.put_blob(&attached.manifest.bytes, None).map_err(hinted)?;
        if !manifests.iter().any(|referrer| referrer.digest == digest) {
            manifests.push(Referrer { digest, tag: None });
        }
    }
    builder.txn.put_referrers(&Referrers { subject: image.digest, manifests }).map_err(hinted)
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
