//! OCI image layouts that a web server hands out as they lie on its disk: `oci-layout`, `index.json`, `blobs/sha256/HEX`
//! (image-spec image-layout.md).

use std::str::FromStr;
use std::sync::Arc;

use ctr_core::digest::Digest;
use ctr_core::reference::Reference;

use crate::client::{BlobBody, body_from, from_offset};
use crate::error::RegistryError;
use crate::http::{BodyReader, Http, Request};
use crate::url::{Scheme, Url, UrlError};

/// Where a layout is, and which image of it is meant: `oci+https://HOST/PATH[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutAddress {
    base: Url,
    /// The tag behind the path.
    pub tag: Option<String>,
    /// The digest behind all: of an entry of `index.json`.
    pub digest: Option<Digest>,
}

impl FromStr for LayoutAddress {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let bad = |source| RegistryError::Address { what: "the address of an image layout".to_owned(), source };
        let url = text.strip_prefix("oci+").ok_or_else(|| bad(UrlError::Scheme))?;
        if url.contains(['?', '#', '%', '\\']) {
            return Err(bad(UrlError::Malformed));
        }
        let (url, digest) = match url.rsplit_once('@') {
            // Not of a digest: a user name, which no address may have.
            Some((url, digest)) if digest.contains(':') && !digest.contains('/') => {
                (url, Some(digest.parse::<Digest>().map_err(|_| bad(UrlError::Malformed))?))
            }
            _ => (url, None),
        };
        let (_, rest) = url.split_once("://").ok_or_else(|| bad(UrlError::Malformed))?;
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        // A colon in the last part of the path begins the tag; one before it belongs to the port.
        let last = path.rsplit('/').next().unwrap_or_default();
        let (end, tag) = match last.split_once(':') {
            Some((name, tag)) => (last.len() - name.len(), Some(tag)),
            None => (0, None),
        };
        if tag.is_some_and(|tag| tag.is_empty() || tag.len() > ctr_core::reference::TAG_MAX) {
            return Err(bad(UrlError::Malformed));
        }
        let url = url.get(..url.len() - end).unwrap_or_default().trim_end_matches('/');
        if url.split('/').any(|part| part == "." || part == "..") {
            return Err(bad(UrlError::Malformed));
        }
        let base = Url::parse(&format!("{url}/")).map_err(bad)?;
        Ok(Self { base, tag: tag.map(str::to_owned), digest })
    }
}

impl LayoutAddress {
    /// The directory, with a slash at its end.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The name that the image has in the store, which only the host of the layout could have given it: `HOST/PATH[:TAG][@DIGEST]`.
    /// None where host and path are no name.
    pub fn name(&self) -> Option<Reference> {
        let path = self.base.path().trim_matches('/').to_lowercase();
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        let digest = self.digest.map_or_else(String::new, |digest| format!("@{digest}"));
        let authority = self.base.origin().authority();
        let name = format!("{authority}/{path}{tag}{digest}").parse::<Reference>().ok()?;
        (name.domain() == authority).then_some(name)
    }
}

/// A layout on a web server. No credentials are sent.
#[derive(Debug)]
pub struct WebLayout {
    http: Arc<Http>,
    base: Url,
}

impl WebLayout {
    /// Nothing is asked yet. Without TLS only this machine is asked, unless `--plain-http` is given.
    pub fn new(http: Arc<Http>, address: &LayoutAddress) -> Result<Self, RegistryError> {
        let origin = address.base.origin();
        if origin.scheme == Scheme::Http && !origin.is_loopback() && !http.settings().plain_http {
            return Err(RegistryError::Plain { url: address.base.clone() });
        }
        Ok(Self { http, base: address.base.clone() })
    }

    /// Where it is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let url = self.base.join(path);
        url.map_err(|source| RegistryError::Address { what: format!("{path} of {}", self.base), source })
    }

    fn missing(&self, what: String) -> RegistryError {
        RegistryError::NotFound { registry: self.base.to_string(), what, errors: Vec::new() }
    }

    /// The file `path` in it, if there is one: its length, where the server tells it, and its content.
    pub fn file(&self, path: &str) -> Result<Option<(Option<u64>, BodyReader)>, RegistryError> {
        let response = self.http.send(&mut Request::get(self.url(path)?))?;
        match response.status {
            200 => Ok(Some((response.length(), response.into_body()))),
            404 | 410 => Ok(None),
            _ => Err(response.into_error()),
        }
    }

    /// A blob from `offset` on. The caller counts and hashes it.
    pub fn blob(&self, digest: &Digest, size: u64, offset: u64) -> Result<BlobBody, RegistryError> {
        let url = self.url(&format!("blobs/sha256/{}", digest.hex()))?;
        let response = self.http.send(&mut from_offset(url, size, offset))?;
        match response.status {
            200 => body_from(response, size, offset),
            206 if offset > 0 => body_from(response, size, offset),
            404 | 410 => Err(self.missing(format!("blob {digest}"))),
            _ => Err(response.into_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        // spec: REG-95, REG-96
        let digest = Digest::of(b"");
        for (text, base, tag, has_digest, name) in [
            ("oci+https://example.com/a", "https://example.com/a/", None, false, "example.com/a:latest"),
            ("oci+https://Example.com/a/b/:1.0", "https://example.com/a/b/", Some("1.0"), false, "example.com/a/b:1.0"),
            (
                "oci+https://example.com:8443/a:1",
                "https://example.com:8443/a/",
                Some("1"),
                false,
                "example.com:8443/a:1",
            ),
            ("oci+http://localhost:8000/", "http://localhost:8000/", None, false, ""),
            ("oci+http://localhost:8000", "http://localhost:8000/", None, false, ""),
            (&format!("oci+https://e.com/a@{digest}"), "https://e.com/a/", None, true, &format!("e.com/a@{digest}")),
        ] {
            let parsed: LayoutAddress = text.parse().unwrap();
            assert_eq!((parsed.base.to_string().as_str(), parsed.tag.as_deref()), (base, tag), "{text}");
            assert_eq!(parsed.digest.is_some(), has_digest, "{text}");
            assert_eq!(parsed.name().map(|name| name.to_string()).unwrap_or_default(), name, "{text}");
        }
        for bad in [
            "https://example.com/a",
            "oci+ftp://example.com/a",
            "oci+https://user:password@example.com/a",
            "oci+https://example.com/a?x=1",
            "oci+https://example.com/../a",
            "oci+https://example.com/a:",
            "oci+https://",
            "oci+https://example.com/%2e%2e/a",
            "oci+https://example.com/a@sha256:12",
        ] {
            assert!(bad.parse::<LayoutAddress>().is_err(), "{bad}");
        }
    }
}
