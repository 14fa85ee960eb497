//! Manifests and tags (distribution-spec "Pushing Manifests").

use ctr_core::digest::Digest;
use ureq::http::Method;

use super::Pusher;
use crate::client::{ACCEPT, Head, content_digest};
use crate::error::{RegistryError, ServerError};
use crate::http::{Payload, Request};

/// A manifest that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// The registry lists it among the referrers of its subject (`OCI-Subject`).
    pub listed: bool,
}

impl Pusher {
    /// What the repository has by a tag or digest.
    pub fn head(&self, reference: &str) -> Result<Option<Head>, RegistryError> {
        let url = self.repository.url(&format!("manifests/{reference}"))?;
        let response = self.ask(&mut Request::head(url).header("accept", ACCEPT))?;
        match response.status {
            200 => Ok(Some(Head { digest: content_digest(&response) })),
            404 => Ok(None),
            _ => Err(self.repository.refused(response, &self.repository.image(reference))),
        }
    }

    /// Puts a manifest under a tag or its own digest. A registry that has understood something else by it is an error.
    pub fn put_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<Put, RegistryError> {
        let digest = Digest::of(bytes);
        let url = self.repository.url(&format!("manifests/{reference}"))?;
        let mut request =
            Request::new(Method::PUT, url).header("content-type", media_type).payload(Payload::Bytes(bytes));
        request.repeatable = true;
        let response = self.ask(&mut request)?;
        if response.is_success() {
            return match content_digest(&response) {
                Some(found) if found != digest => {
                    Err(RegistryError::WrongDigest { url: response.url, expected: digest, found })
                }
                _ => Ok(Put { listed: response.header("oci-subject").is_some() }),
            };
        }
        let status = response.status;
        let listed = response.header("oci-subject").is_some();
        let is_tag = reference.parse::<Digest>().is_err();
        if !is_tag || !matches!(status, 400 | 403 | 409 | 412) {
            return Err(self.refused(response, "such manifest"));
        }
        let error = self.refused(response, "such manifest");
        let Some(errors) = error.told().filter(|errors| matches!(status, 409 | 412) || say_immutable(errors)) else {
            return Err(error);
        };
        // A PUT whose answer was lost had done it.
        if self.head(reference)?.is_some_and(|head| head.digest == Some(digest)) {
            return Ok(Put { listed });
        }
        let registry = self.repository.origin().authority();
        let image = self.repository.image(reference);
        Err(RegistryError::Immutable { registry, image, errors: errors.to_vec() })
    }
}

/// Whether a refusal is about a tag that must not move: registries have no code for that.
fn say_immutable(errors: &[ServerError]) -> bool {
    errors.iter().any(|error| {
        let text = format!("{} {}", error.code, error.message).to_ascii_lowercase();
        ["immutable", "already exist", "overwrit", "locked"].iter().any(|word| text.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_of_immutable_tags_is_understood() {
        let error = |code: &str, message: &str| ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
            ..ServerError::default()
        };
        for (code, message, expected) in [
            ("TAG_INVALID", "The image tag 'x' already exists in the 'y' repository", true),
            ("PRECONDITION", "configured as immutable, cannot be updated", true),
            ("DENIED", "the tag is locked", true),
            ("MANIFEST_INVALID", "manifest invalid", false),
        ] {
            assert_eq!(say_immutable(&[error(code, message)]), expected, "{code}");
        }
    }
}
