//! Which names a `[[registry]]` table is for.

use ctr_core::reference::Reference;

/// A `prefix` of registries.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `host[:port][/path...][:tag][@digest]`.
    Plain(String),
    /// `*.host`, without the star: `.host`.
    Subdomains(String),
}

impl Prefix {
    /// Reads a prefix. The error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = trim(text)?;
        if let Some(domain) = text.strip_prefix('*') {
            let host = domain.strip_prefix('.').unwrap_or("");
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            if host.is_empty() || !host.chars().all(plain) {
                return Err(format!("\"{text}\" is not of the form *.example.com, the only one with a star"));
            }
            return Ok(Self::Subdomains(domain.to_owned()));
        }
        if text.contains('*') {
            return Err(format!("\"{text}\" is not of the form *.example.com, the only one with a star"));
        }
        Ok(Self::Plain(text.to_owned()))
    }

    /// How many bytes of the name `reference` the prefix covers; `None` if it is for other names.
    ///
    /// A prefix ends where a part of the name ends. `example.com` is not for `example.com:5000/app`: that is another
    /// registry.
    pub(super) fn covers(&self, reference: &Reference) -> Option<usize> {
        let domain = reference.domain();
        match self {
            Self::Subdomains(end) => {
                let host = domain.split_once(':').map_or(domain, |(host, _)| host);
                let at = host.len().checked_sub(end.len()).filter(|at| *at > 0)?;
                host.get(at..).is_some_and(|found| found.eq_ignore_ascii_case(end)).then_some(domain.len())
            }
            Self::Plain(prefix) => {
                let repository = reference.repository();
                let text = reference.full();
                let fits = |whole: &str, end: &[char]| {
                    let rest = starts(whole, prefix, domain.len())?;
                    (rest.is_empty() || rest.starts_with(end)).then_some(prefix.len())
                };
                // A colon ends a prefix only where it begins a tag.
                let tagged = prefix.len() >= repository.len();
                let by_digest = || {
                    let digest = reference.digest()?;
                    // `repo@digest` is a prefix of `repo:tag@digest` too.
                    (*prefix == format!("{repository}@{digest}")).then_some(text.len())
                };
                fits(&text, if tagged { &[':', '@'] } else { &['/'] }).or_else(by_digest)
            }
        }
    }

    /// How specific the prefix is: a longer one goes before a shorter one.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Subdomains(domain) => domain.len(),
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Subdomains(domain) => write!(f, "*{domain}"),
        }
    }
}

/// What follows `prefix` in `whole`. Case does not count in the first `domain` bytes, the registry's host.
fn starts<'a>(whole: &'a str, prefix: &str, domain: usize) -> Option<&'a str> {
    let (head, rest) = (whole.get(..prefix.len())?, whole.get(prefix.len()..)?);
    let split = domain.min(prefix.len());
    let host = head.get(..split)?.eq_ignore_ascii_case(prefix.get(..split)?);
    (host && head.get(split..) == prefix.get(split..)).then_some(rest)
}

/// A prefix or location without slashes at its end, which is neither empty nor a URL.
pub(super) fn trim(text: &str) -> Result<&str, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("a location has no \"{scheme}://\" before it"));
    }
    let trimmed = text.trim_end_matches('/');
    if trimmed.is_empty() {
        return Err("it is empty".to_owned());
    }
    if trimmed.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(format!("\"{trimmed}\" has a character that no name has"));
    }
    Ok(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn rest(prefix: &str, name: &str) -> Option<String> {
        let reference: Reference = name.parse().unwrap();
        let covered = Prefix::parse(prefix).unwrap().covers(&reference)?;
        Some(reference.full()[covered..].to_owned())
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        let digest = format!("@sha256:{HEX}");
        for (prefix, name, expected) in [
            ("example.com", "example.com/a:1", Some("/a:1")),
            ("example.com/", "example.com/a:1", Some("/a:1")),
            ("EXAMPLE.com", "example.COM/a:1", Some("/a:1")),
            ("example.com/a", "example.com/a/b:1", Some("/b:1")),
            ("example.com/a", "example.com/a:1", Some(":1")),
            ("example.com/a", "example.com/ab:1", None),
            ("example.com/A", "example.com/a:1", None),
            ("example.co", "example.com/a:1", None),
            ("example.com", "example.com:5000/a:1", None),
            ("example.com:5000", "example.com:5000/a:1", Some("/a:1")),
            ("example.com:500", "example.com:5000/a:1", None),
            ("example.com/a:1", "example.com/a:1", Some("")),
            ("example.com/a:1", "example.com/a:11", None),
            ("example.com/a:1", &format!("example.com/a:1{digest}"), Some(&*digest)),
            (&format!("example.com/a{digest}"), &format!("example.com/a{digest}"), Some("")),
            (&format!("example.com/a{digest}"), &format!("example.com/a:1{digest}"), Some("")),
            ("docker.io/library", "debian", Some("/debian:latest")),
            ("docker.io/debian", "debian", None),
            ("*.example.com", "a.example.com/x", Some("/x:latest")),
            ("*.example.com", "a.b.Example.com:5000/x", Some("/x:latest")),
            ("*.example.com", "example.com/x", None),
            ("*.example.com", "aexample.com/x", None),
            ("*.example.com", "a.example.com.evil.test/x", None),
            ("*.example.com", "evil.test/a.example.com/x", None),
        ] {
            assert_eq!(rest(prefix, name).as_deref(), expected, "{prefix} {name}");
        }
    }

    #[test]
    fn bad_prefixes_are_refused() {
        for bad in [
            "",
            "/",
            "*",
            "*.",
            "*example.com",
            "example.*.com",
            "*.example.com/foo",
            "*.example.com:5000",
            "https://a.b",
        ] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }
}
