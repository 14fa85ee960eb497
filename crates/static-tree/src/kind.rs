//! Kinds of documents, each with the media type that its answer must have.

use ctr_core::digest::Digest;
use ctr_core::spec::Links;
use ctr_core::spec::oci::MediaType;

use crate::error::TreeError;

/// What a document is to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OCI image manifest, artifacts too.
    Manifest,
    /// OCI image index.
    Index,
    /// Image manifest of Docker's schema 2.
    DockerManifest,
    /// Manifest list of Docker's schema 2.
    DockerList,
}

impl Kind {
    /// All of them; those that have a directory of their own, in the order in which a server looks into these.
    pub(crate) const ALL: [Self; 4] = [Self::Index, Self::DockerList, Self::DockerManifest, Self::Manifest];

    /// The directory beside `manifests` that says that a document is of this kind; none: a document in no such directory is.
    pub(crate) fn view(self) -> Option<&'static str> {
        match self {
            Self::Manifest => None,
            Self::Index => Some("indexes"),
            Self::DockerManifest => Some("docker-manifests"),
            Self::DockerList => Some("docker-lists"),
        }
    }

    /// Its `Content-Type`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Manifest => MediaType::MANIFEST,
            Self::Index => MediaType::INDEX,
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The kind of a document: what it says itself, else what was told, else what its members tell.
    pub(crate) fn of(digest: &Digest, links: &Links, told: Option<&MediaType>) -> Result<Self, TreeError> {
        let Some(name) = links.media_type.as_ref().or(told) else {
            return Ok(if links.manifests.is_empty() { Self::Manifest } else { Self::Index });
        };
        let found = Self::ALL.into_iter().find(|kind| kind.media_type() == name.0);
        found.ok_or_else(|| TreeError::Kind { digest: *digest, media_type: name.0.clone() })
    }
}
