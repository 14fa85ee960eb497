//! What refers to an image: signatures, bills of materials, attestations (distribution-spec "Listing Referrers").

use ctr_core::digest::Digest;
use ctr_core::spec::{Link, MAX_DOCUMENT, links};

use crate::client::Repository;
use crate::error::RegistryError;
use crate::http::Request;

/// Most pages of a list that are read.
const MAX_PAGES: usize = 64;

/// How a referrer was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrer {
    /// In the list of the API or of its fallback tag.
    Listed(Link),
    /// By its own tag: `sha256-HEX.sig`, as cosign named signatures before it used the API.
    Tagged {
        /// The tag.
        tag: String,
        /// The manifest.
        manifest: Vec<u8>,
        /// Its digest.
        digest: Digest,
    },
}

impl Repository {
    /// All that refers to `subject`. A registry that knows neither the API nor the tags has none.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Referrer>, RegistryError> {
        let mut found: Vec<Referrer> = self.listed(subject)?.into_iter().map(Referrer::Listed).collect();
        let tag = format!("sha256-{}.sig", subject.hex());
        match self.manifest(&tag) {
            Ok(manifest) => {
                found.push(Referrer::Tagged { tag, manifest: manifest.bytes, digest: manifest.digest });
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    pub(crate) fn listed(&self, subject: &Digest) -> Result<Vec<Link>, RegistryError> {
        let mut found = Vec::new();
        let mut url = self.url(&format!("referrers/{subject}"))?;
        for _ in 0..MAX_PAGES {
            let response = self.ask(&mut Request::get(url.clone()).header("accept", crate::client::INDEX))?;
            // Registries from before the API know no such path; some say so with 400, 405 or a page for people.
            if matches!(response.status, 400 | 404 | 405 | 501) {
                return self.fallback(subject);
            }
            if response.status != 200 {
                return Err(self.refused(response, &format!("referrers of {subject}")));
            }
            let next = response.header("link").and_then(next_page).map(|next| url.join(next));
            let page = response.bytes("the list of referrers", MAX_DOCUMENT)?;
            let Ok(page) = links(&page) else { return self.fallback(subject) };
            found.extend(page.manifests);
            match next {
                // Pages of another server are not this registry's word.
                Some(Ok(next)) if next.origin() == self.origin() => url = next,
                _ => return Ok(found),
            }
        }
        Err(RegistryError::Protocol { url, why: format!("its list of referrers has more than {MAX_PAGES} pages") })
    }

    /// `sha256-HEX`: an index under a tag (distribution-spec "Referrers Tag Schema").
    fn fallback(&self, subject: &Digest) -> Result<Vec<Link>, RegistryError> {
        match self.manifest(&format!("sha256-{}", subject.hex())) {
            Ok(index) => Ok(links(&index.bytes).map(|found| found.manifests).unwrap_or_default()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The target of `Link: <...>; rel="next"` (RFC 8288).
pub(crate) fn next_page(header: &str) -> Option<&str> {
    let (target, parameters) = header.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| {
        let (name, value) = parameter.trim().split_once('=')?;
        (name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next"))
            .then_some(())
    };
    parameters.split(';').find_map(is_next).map(|()| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_pages_are_found() {
        for (header, expected) in [
            ("</v2/x?n=1>; rel=\"next\"", Some("/v2/x?n=1")),
            ("<a>;REL=next", Some("a")),
            ("<a>; rel=\"prev\"", None),
            ("a; rel=next", None),
            ("<a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_page(header), expected, "{header}");
        }
    }
}
