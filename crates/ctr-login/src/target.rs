//! What a login is for: a registry, or a namespace of it.

use ctr_core::reference::{DEFAULT_DOMAIN, Reference};
use ctr_registry::url::{Origin, Scheme};

/// `REGISTRY[/NAMESPACE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host as references have it.
    pub(crate) registry: String,
    /// The part of it, or nothing.
    pub(crate) namespace: String,
}

impl Target {
    /// Reads it, also where it was written as a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let bare = bare.map_or(text, |bare| bare.trim_end_matches("/v1/").trim_end_matches("/v2/"));
        let bare = bare.trim_end_matches('/');
        let (host, namespace) = bare.split_once('/').unwrap_or((bare, ""));
        let not = |why: &str| format!("\"{text}\" is not a registry or a part of one: {why}");
        if host.contains('@') || Origin::new(Scheme::Https, host).is_err() {
            return Err(not("the host is not valid"));
        }
        let path = if namespace.is_empty() { "x".to_owned() } else { format!("{namespace}/x") };
        let parsed: Result<Reference, _> = format!("localhost/{path}").parse();
        match parsed {
            Ok(reference) if reference.path() == path => {}
            Ok(_) => return Err(not("a tag or a digest cannot have its own login")),
            Err(error) => return Err(not(&error.problem.to_string())),
        }
        let is_docker = matches!(host, "index.docker.io" | "registry-1.docker.io");
        let registry = if is_docker { DEFAULT_DOMAIN } else { host };
        Ok(Self { registry: registry.to_owned(), namespace: namespace.to_owned() })
    }

    /// The key of a file that means it.
    pub(crate) fn key(&self) -> String {
        if self.namespace.is_empty() { self.registry.clone() } else { format!("{}/{}", self.registry, self.namespace) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_namespaces() {
        for (text, key) in [
            ("example.com", "example.com"),
            ("example.com:5000/a/b", "example.com:5000/a/b"),
            ("https://example.com/", "example.com"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io/me", "docker.io/me"),
            ("registry", "registry"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(Target::parse(text).unwrap().key(), key, "{text}");
        }
        for bad in
            ["", "/", "a b", "example.com/A", "example.com/a:1", "example.com/a@b", "u:p@example.com", "a:0", "ftp://x"]
        {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
