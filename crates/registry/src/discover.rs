//! Where the owner of a domain says that its images are: `https://DOMAIN/.well-known/ctr-discovery.json` (spec/discovery.md).

use ctr_core::reference::Reference;
use serde::Deserialize;

use crate::error::RegistryError;
use crate::http::{Http, Request};
use crate::layout::LayoutAddress;
use crate::url::{Scheme, Url};

/// Most bytes of the document.
pub const MAX_DISCOVERY: u64 = 64 << 10;
/// Most entries of it.
pub const MAX_DISCOVERY_ENTRIES: usize = 1024;
/// Where it is.
const PATH: &str = "/.well-known/ctr-discovery.json";

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Under this name, in the registry of the name.
    Registry(Reference),
    /// In an image layout.
    Layout(LayoutAddress),
}

#[derive(Debug, Deserialize)]
struct Document {
    version: u64,
    domain: String,
    images: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    prefix: String,
    registry: Option<String>,
    layout: Option<String>,
}

/// Asks the domain of `name` where the image is.
pub fn discover(http: &Http, name: &Reference) -> Result<Found, RegistryError> {
    let domain = name.domain();
    let origin = http.origin(domain, false)?;
    let url =
        origin.url(PATH).map_err(|source| RegistryError::Address { what: format!("the domain {domain}"), source })?;
    let response = http.send(&mut Request::get(url.clone()).header("accept", "application/json"))?;
    let refused = |why: String| RegistryError::Discovery { url: url.clone(), why };
    let answered = response.url.origin();
    if *answered != origin && answered.scheme != Scheme::Https {
        return Err(refused(format!("it leads to {answered}, which has no TLS")));
    }
    match response.status {
        200 => {}
        404 | 410 => {
            let what = format!("{PATH}, which would say where {name} is");
            return Err(RegistryError::NotFound { registry: origin.authority(), what, errors: Vec::new() });
        }
        _ => return Err(response.into_error()),
    }
    let bytes = response.bytes("the discovery document", MAX_DISCOVERY)?;
    choose(&bytes, name, &url).map_err(refused)
}

/// The entry of the longest prefix, as an address.
fn choose(bytes: &[u8], name: &Reference, url: &Url) -> Result<Found, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.version != 1 {
        return Err(format!("it has version {}, this release reads 1", document.version));
    }
    if document.domain != name.domain() {
        return Err("its \"domain\" is not the one that was asked".to_owned());
    }
    if document.images.len() > MAX_DISCOVERY_ENTRIES {
        return Err(format!("it has more than {MAX_DISCOVERY_ENTRIES} entries"));
    }
    let repository = name.repository();
    let mut best: Option<(&Entry, &str)> = None;
    for entry in &document.images {
        let Some(rest) = below(&repository, &entry.prefix) else { continue };
        if best.is_none_or(|(known, _)| known.prefix.len() < entry.prefix.len()) {
            best = Some((entry, rest));
        }
    }
    let Some((entry, rest)) = best else { return Err(format!("it has no prefix of {repository}")) };
    let prefix = &entry.prefix;
    let local = url.origin().is_loopback();
    match (&entry.registry, &entry.layout) {
        (Some(registry), None) => {
            let found = of_registry(name, registry, rest);
            let found = found.ok_or_else(|| format!("the registry of \"{prefix}\" is no beginning of a name"))?;
            // Only this machine may send to itself.
            let host = crate::url::Origin::new(Scheme::Https, found.domain()).map_err(|error| error.to_string())?;
            if host.is_loopback() && !local {
                return Err(format!("\"{prefix}\" leads to this machine"));
            }
            Ok(Found::Registry(found))
        }
        (None, Some(layout)) => {
            let found = of_layout(name, layout, rest);
            let found = found.ok_or_else(|| format!("the layout of \"{prefix}\" is no oci+https address"))?;
            let host = found.base().origin();
            if !local && (host.scheme != Scheme::Https || host.is_loopback()) {
                return Err(format!("the layout of \"{prefix}\" is no oci+https address of another machine"));
            }
            Ok(Found::Layout(found))
        }
        _ => Err(format!("\"{prefix}\" needs either \"registry\" or \"layout\"")),
    }
}

/// What follows `prefix` in `repository`, whole parts only.
fn below<'a>(repository: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = repository.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn suffix(name: &Reference) -> String {
    let tag = name.tag().map_or_else(String::new, |tag| format!(":{tag}"));
    let digest = name.digest().map_or_else(String::new, |digest| format!("@{digest}"));
    format!("{tag}{digest}")
}

fn of_registry(name: &Reference, registry: &str, rest: &str) -> Option<Reference> {
    let text = format!("{registry}{rest}{}", suffix(name));
    let found = text.parse::<Reference>().ok()?;
    // Neither a tag in the middle nor a host that is none.
    (found.repository() == format!("{registry}{rest}") && found.tag() == name.tag()).then_some(found)
}

fn of_layout(name: &Reference, layout: &str, rest: &str) -> Option<LayoutAddress> {
    let base: LayoutAddress = layout.parse().ok()?;
    if base.tag.is_some() || base.digest.is_some() {
        return None;
    }
    format!("{}{rest}{}", layout.trim_end_matches('/'), suffix(name)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(domain: &str, name: &str, images: &str) -> Result<String, String> {
        let url = Url::parse(&format!("https://{domain}{PATH}")).unwrap();
        let text = format!(r#"{{"version":1,"domain":"{domain}","images":[{images}],"later":{{}}}}"#);
        choose(text.as_bytes(), &name.parse().unwrap(), &url).map(|found| match found {
            Found::Registry(name) => name.full(),
            Found::Layout(layout) => format!("{} {}", layout.base(), layout.tag.as_deref().unwrap_or_default()),
        })
    }

    #[test]
    fn the_longest_prefix_counts() {
        // spec: REG-98, REG-99
        let images = r#"{"prefix":"example.com","layout":"oci+https://cdn.example.net/oci/"},
            {"prefix":"example.com/team","registry":"registry.example.net:5000/x"}"#;
        let digest = ctr_core::digest::Digest::of(b"");
        for (name, expected) in [
            ("example.com/app:1.0", "https://cdn.example.net/oci/app/ 1.0".to_owned()),
            ("example.com/team/app:1", "registry.example.net:5000/x/app:1".to_owned()),
            ("example.com/team:1", "registry.example.net:5000/x:1".to_owned()),
            ("example.com/teams/app:1", "https://cdn.example.net/oci/teams/app/ 1".to_owned()),
            (&format!("example.com/team/a@{digest}"), format!("registry.example.net:5000/x/a@{digest}")),
        ] {
            assert_eq!(at("example.com", name, images), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_it_must_not_say_is_refused() {
        // spec: REG-99, REG-100
        for images in [
            "",
            r#"{"prefix":"example.co","registry":"a.example.net/x"}"#,
            r#"{"prefix":"example.com"}"#,
            r#"{"prefix":"example.com","registry":"a.example.net/x","layout":"oci+https://b.example.net/"}"#,
            r#"{"prefix":"example.com","registry":"localhost:5000/x"}"#,
            r#"{"prefix":"example.com","registry":"127.0.0.1:5000/x"}"#,
            r#"{"prefix":"example.com","registry":"x"}"#,
            r#"{"prefix":"example.com","registry":"a.example.net/x:1"}"#,
            r#"{"prefix":"example.com","registry":"a.example.net/../x"}"#,
            r#"{"prefix":"example.com","layout":"oci+http://cdn.example.net/"}"#,
            r#"{"prefix":"example.com","layout":"oci+https://localhost/"}"#,
            r#"{"prefix":"example.com","layout":"https://cdn.example.net/"}"#,
            r#"{"prefix":"example.com","layout":"oci+https://cdn.example.net/a:1"}"#,
        ] {
            assert!(at("example.com", "example.com/app:1", images).is_err(), "{images}");
        }
        let url = Url::parse("https://example.com/").unwrap();
        for text in [
            r#"{"version":2,"domain":"example.com","images":[{"prefix":"example.com","registry":"a.example.net/x"}]}"#,
            r#"{"version":1,"domain":"example.org","images":[{"prefix":"example.com","registry":"a.example.net/x"}]}"#,
            "<html>",
        ] {
            assert!(choose(text.as_bytes(), &"example.com/app".parse().unwrap(), &url).is_err(), "{text}");
        }
        assert!(at("localhost", "localhost/app:1", r#"{"prefix":"localhost","registry":"localhost:5000/x"}"#).is_ok());
    }
}
