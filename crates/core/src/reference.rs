//! Image references: `[domain/]path[:tag][@digest]`, as Docker and the OCI distribution specification write them.
//!
//! ```text
//! debian                       docker.io/library/debian:latest
//! user/app:1                   docker.io/user/app:1
//! registry.local:5000/app      registry.local:5000/app:latest
//! example.com/app:1@sha256:..  example.com/app@sha256:..   (the digest decides, the tag is for people)
//! ```

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Most bytes of domain and path together (OCI distribution-spec, "Pulling manifests").
pub const NAME_MAX: usize = 255;
/// Most bytes of a tag (same place).
pub const TAG_MAX: usize = 128;
/// The domain of a name that has none.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag of a name that has neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// A normalized reference. Its text form is unique: equal references print the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an image name: {problem}{}", place(text, *at))]
pub struct ReferenceError {
    /// What was read.
    pub text: String,
    /// Byte at which the problem begins; the length of the text if something is missing at its end.
    pub at: usize,
    /// What is wrong there.
    pub problem: ReferenceProblem,
}

/// The kinds of [`ReferenceError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// `docker://name` and the like.
    #[error("a name has no \"{0}://\" before it")]
    Scheme(String),
    /// The path has an upper-case letter.
    #[error("the part after the registry must be in lower case")]
    UpperCase,
    /// A character that has no place there.
    #[error("this character cannot stand in the {0}")]
    Character(&'static str),
    /// A part that must not be empty is.
    #[error("the {0} is empty")]
    EmptyPart(&'static str),
    /// A separator at the beginning or end of a part, or too many of them.
    #[error("\".\", \"_\", \"__\" and \"-\" stand only between letters or digits")]
    Separator,
    /// A port that is no number of 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// `[` without a matching `]`, or something else than an IPv6 address in between.
    #[error("an address in brackets must be an IPv6 address")]
    Ipv6,
    /// Longer than allowed.
    #[error("the {0} has more than {1} characters")]
    TooLong(&'static str, usize),
    /// After `@`.
    #[error("{0}")]
    Digest(#[from] DigestError),
    /// 64 hexadecimal digits alone mean an image's digest, never a name.
    #[error("64 hexadecimal digits are a digest; write sha256: before them")]
    LooksLikeDigest,
}

fn place(text: &str, at: usize) -> String {
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some(found) => format!(" (at {found:?}, character {})", text.get(..at).unwrap_or("").chars().count() + 1),
        None => String::new(),
    }
}

impl Reference {
    /// Registry host, with its port if it has one.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Path of the repository in the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; none if only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest after `@`.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `domain/path`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The same repository with `tag` and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        check_tag(tag, tag, 0)?;
        Ok(Self { domain: self.domain.clone(), path: self.path.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The same name with `digest`; the tag stays as a remark.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The name without its digest: with its tag, or the default one.
    #[must_use]
    pub fn without_digest(&self) -> Self {
        let tag = self.tag.clone().or_else(|| Some(DEFAULT_TAG.to_owned()));
        Self { tag, digest: None, ..self.clone() }
    }

    /// All that was written, the tag beside a digest too. [`Display`](fmt::Display) leaves that one out.
    pub fn full(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), Some(digest)) => format!("{}/{}:{tag}@{digest}", self.domain, self.path),
            _ => self.to_string(),
        }
    }

    /// As people write it: without the default domain, where the shorter text still names the same image.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(rest) = full.strip_prefix("docker.io/") else { return full };
        // `library/library/x` and `library/localhost/x` would be read as other names without their beginning.
        let same = |short: &&str| short.parse().is_ok_and(|read: Self| read.to_string() == full);
        let short = [rest.strip_prefix("library/").unwrap_or(rest), rest].into_iter().find(same);
        short.map_or_else(|| full.clone(), ToOwned::to_owned)
    }
}

impl fmt::Display for Reference {
    /// The normalized name, the key of the reference in the store. A digest makes the tag superfluous.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let fail = |at, problem| ReferenceError { text: text.to_owned(), at, problem };
        if text.is_empty() {
            return Err(fail(0, ReferenceProblem::Empty));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(fail(0, ReferenceProblem::Scheme(scheme.to_owned())));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|error| fail(rest.len() + 1, error.into()))?))
            }
            None => (text, None),
        };
        // A colon after the last slash begins the tag; one before it belongs to a port.
        let path_start = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest.get(path_start..).unwrap_or("").find(':') {
            Some(at) => (rest.get(..path_start + at).unwrap_or(""), rest.get(path_start + at + 1..)),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(text, tag, name.len() + 1)?;
        }
        let (domain, path, path_at) = split_domain(name);
        if let Some(domain) = domain {
            check_domain(text, domain)?;
        } else if path.len() == 64 && path.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(fail(0, ReferenceProblem::LooksLikeDigest));
        }
        check_path(text, path, path_at)?;
        let domain = match domain {
            None | Some("index.docker.io") => DEFAULT_DOMAIN,
            Some(domain) => domain,
        };
        let official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = if official { format!("library/{path}") } else { path.to_owned() };
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(fail(name.len(), ReferenceProblem::TooLong("name", NAME_MAX)));
        }
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { domain: domain.to_owned(), path, tag, digest })
    }
}

/// Whether a name says its registry. One that does not is short: Docker reads it as a name of [`DEFAULT_DOMAIN`].
pub fn has_domain(name: &str) -> bool {
    split_domain(name).0.is_some()
}

/// Docker's rule: the part before the first slash is a host if it has a dot, a colon, an upper-case letter, or is
/// `localhost`. Returns domain, path, and where the path begins.
fn split_domain(name: &str) -> (Option<&str>, &str, usize) {
    match name.split_once('/') {
        Some((first, path))
            if first == "localhost"
                || first.contains(['.', ':', '['])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), path, first.len() + 1)
        }
        _ => (None, name, 0),
    }
}

fn check_domain(text: &str, domain: &str) -> Result<(), ReferenceError> {
    let fail = |at, problem| Err(ReferenceError { text: text.to_owned(), at, problem });
    let (host, port) = if let Some(inner) = domain.strip_prefix('[') {
        let Some((address, after)) = inner.split_once(']') else { return fail(0, ReferenceProblem::Ipv6) };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return fail(1, ReferenceProblem::Ipv6);
        }
        let at = address.len() + 2;
        match after.strip_prefix(':') {
            Some(port) => return check_port(text, port, at + 1),
            None if after.is_empty() => return Ok(()),
            None => return fail(at, ReferenceProblem::Character("registry")),
        }
    } else {
        match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        }
    };
    let mut at = 0;
    for label in host.split('.') {
        if label.is_empty() {
            return fail(at, ReferenceProblem::EmptyPart("part of the registry's name"));
        }
        if let Some(bad) = label.find(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            return fail(at + bad, ReferenceProblem::Character("registry"));
        }
        if label.starts_with('-') {
            return fail(at, ReferenceProblem::Separator);
        }
        if label.ends_with('-') {
            return fail(at + label.len() - 1, ReferenceProblem::Separator);
        }
        at += label.len() + 1;
    }
    port.map_or(Ok(()), |port| check_port(text, port, host.len() + 1))
}

fn check_port(text: &str, port: &str, at: usize) -> Result<(), ReferenceError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if digits && port.parse::<u16>().is_ok_and(|port| port != 0) {
        return Ok(());
    }
    Err(ReferenceError { text: text.to_owned(), at, problem: ReferenceProblem::Port })
}

fn check_tag(text: &str, tag: &str, at: usize) -> Result<(), ReferenceError> {
    let fail = |at, problem| Err(ReferenceError { text: text.to_owned(), at, problem });
    if tag.is_empty() {
        return fail(at, ReferenceProblem::EmptyPart("tag"));
    }
    if tag.len() > TAG_MAX {
        return fail(at, ReferenceProblem::TooLong("tag", TAG_MAX));
    }
    if tag.starts_with(['.', '-']) {
        return fail(at, ReferenceProblem::Character("first place of a tag"));
    }
    match tag.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-')) {
        Some(bad) => fail(at + bad, ReferenceProblem::Character("tag")),
        None => Ok(()),
    }
}

fn check_path(text: &str, path: &str, at: usize) -> Result<(), ReferenceError> {
    let fail = |at, problem| Err(ReferenceError { text: text.to_owned(), at, problem });
    if path.len() > NAME_MAX {
        return fail(at, ReferenceProblem::TooLong("name", NAME_MAX));
    }
    let mut start = at;
    for part in path.split('/') {
        if part.is_empty() {
            return fail(start, ReferenceProblem::EmptyPart("name"));
        }
        if let Some(bad) = part.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !".-_".contains(c)) {
            let upper = part.get(bad..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            let problem = if upper { ReferenceProblem::UpperCase } else { ReferenceProblem::Character("name") };
            return fail(start + bad, problem);
        }
        if let Some(bad) = bad_separator(part) {
            return fail(start + bad, ReferenceProblem::Separator);
        }
        start += part.len() + 1;
    }
    Ok(())
}

/// Where a run of separators is none of `.`, `_`, `__`, `-`..., or stands at an end.
fn bad_separator(part: &str) -> Option<usize> {
    let bytes = part.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        if run > 0 {
            let text = part.get(at..at + run).unwrap_or("");
            let inside = at > 0 && at + run < bytes.len();
            if !inside || !(matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-')) {
                return Some(at);
            }
        }
        at += run.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX_DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_normalized() {
        for (text, full) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("user/app", "docker.io/user/app:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest"),
            ("example.com/app:1", "example.com/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b/c:V_1.2-x", "localhost:5000/a/b/c:V_1.2-x"),
            ("HOST/app", "HOST/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("[fe80::1]/app", "[fe80::1]/app:latest"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest"),
            ("1.2.3.4/app", "1.2.3.4/app:latest"),
        ] {
            let parsed: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(parsed.to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap(), parsed, "the normalized form is stable");
        }
    }

    #[test]
    fn digest_decides() {
        let parsed: Reference = format!("debian:12@sha256:{HEX}").parse().unwrap();
        assert_eq!(parsed.to_string(), format!("docker.io/library/debian@sha256:{HEX}"));
        assert_eq!(parsed.tag(), Some("12"));
        assert_eq!(parsed.familiar(), format!("debian@sha256:{HEX}"));
        assert_eq!(parsed.with_tag("x").unwrap().to_string(), "docker.io/library/debian:x");
        assert_eq!(parsed.full(), format!("docker.io/library/debian:12@sha256:{HEX}"));
        assert_eq!(parsed.full().parse::<Reference>().unwrap(), parsed, "nothing is lost");
        assert_eq!(parsed.without_digest().full(), "docker.io/library/debian:12");
        assert_eq!(parsed.without_digest().with_digest(HEX_DIGEST.parse().unwrap()), parsed);
        let bare: Reference = format!("example.com/a@sha256:{HEX}").parse().unwrap();
        assert_eq!((bare.tag(), bare.full()), (None, bare.to_string()));
        assert_eq!(bare.without_digest().to_string(), "example.com/a:latest");
    }

    #[test]
    fn a_short_name_says_no_registry() {
        for (name, full) in [
            ("debian", false),
            ("me/app:1", false),
            ("localhost", false),
            ("a:5000", false),
            ("localhost/a", true),
            ("example.com/a", true),
            ("host:5000/a", true),
            ("[::1]/a", true),
            ("Host/a", true),
        ] {
            assert_eq!(has_domain(name), full, "{name}");
        }
    }

    #[test]
    fn the_familiar_form_names_the_same_image() {
        for (text, familiar) in [
            ("debian", "debian:latest"),
            ("user/app:1", "user/app:1"),
            ("example.com/app", "example.com/app:latest"),
            ("docker.io/library/library/x", "library/library/x:latest"),
            ("docker.io/library/localhost/x:1", "library/localhost/x:1"),
            ("docker.io/library/a.b/c", "library/a.b/c:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(familiar.parse::<Reference>().unwrap().to_string(), reference.to_string());
        }
    }

    #[test]
    fn bad_names_are_refused_at_the_place() {
        for (text, at) in [
            ("", 0),
            ("docker://debian", 0),
            ("Debian", 0),
            ("user/App", 5),
            ("a//b", 2),
            ("/a", 0),
            ("a/", 2),
            ("a:", 2),
            ("a:.x", 2),
            ("a:b:c", 3),
            ("a b", 1),
            ("-a", 0),
            ("a-", 1),
            ("a..b", 1),
            ("a___b", 1),
            ("a._b", 1),
            ("../etc/passwd", 0),
            ("host.:5000/a", 5),
            ("host.x:99999/a", 7),
            ("host.x:/a", 7),
            ("ho_st.x/a", 2),
            ("[::zz]/a", 1),
            ("[::1/a", 0),
            ("[::1]x/a", 5),
            ("a@sha256:00", 2),
            ("a@sha512:00", 2),
            ("a@", 2),
            ("ä", 0),
            ("a\n", 1),
            ("a\0b", 1),
            (HEX, 0),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
        assert!(format!("a:{}", "x".repeat(129)).parse::<Reference>().is_err());
        assert!(format!("a:{}", "x".repeat(128)).parse::<Reference>().is_ok());
        assert!("a".repeat(256).parse::<Reference>().is_err());
    }
}
