//! Addresses of requests: absolute `http` and `https` URLs, and the relative forms that servers put in `Location`.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// Most bytes of a URL. Signed URLs of object stores have some 2 KiB.
pub const MAX_URL: usize = 16 << 10;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: who gets what is sent (RFC 6454 section 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The scheme.
    pub scheme: Scheme,
    /// Host in lower case; IPv6 addresses have their brackets.
    pub host: String,
    /// The port, also where it is the scheme's own.
    pub port: u16,
}

impl Origin {
    /// The server `host[:port]`, as references write it.
    pub fn new(scheme: Scheme, authority: &str) -> Result<Self, UrlError> {
        Url::parse(&format!("{}://{authority}/", scheme.name())).map(|url| url.origin)
    }

    /// The host as `host[:port]`, without the scheme's own port.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `::1`.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The URL of `path`, which begins with `/` and may have a query.
    pub fn url(&self, path: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("{self}{path}"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority())
    }
}

/// An absolute URL. Shown without its query, which can hold secrets (`X-Amz-Signature`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    origin: Origin,
    /// Path and query; begins with `/`.
    target: String,
}

/// Why a text is no URL that a request goes to. The text itself is not shown, since it can hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http` nor `https`.
    #[error("it is neither an http nor an https address")]
    Scheme,
    /// `user:password@host`.
    #[error("it holds a user name or password")]
    UserInfo,
    /// `http`, where only `https` will do.
    #[error("it is not an https address")]
    Plain,
    /// Longer than [`MAX_URL`].
    #[error("it has more than {MAX_URL} bytes")]
    TooLong,
    /// Not a URL.
    #[error("it is not a valid address")]
    Malformed,
}

impl Url {
    /// Parses an absolute URL. A fragment is left out.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return Err(UrlError::Scheme),
            None => return Err(UrlError::Malformed),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let host = authority.host().to_ascii_lowercase();
        // "host:" and "host:99999" have no port that http::Uri knows.
        let after = authority.as_str().get(host.len()..).unwrap_or_default();
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => scheme.default_port(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Malformed)?
            }
            _ => return Err(UrlError::Malformed),
        };
        if host.is_empty() {
            return Err(UrlError::Malformed);
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { origin: Origin { scheme, host, port }, target })
    }

    /// The URL that `reference`, as it stands in a `Location` or `Link` of the answer to `self`, means
    /// (RFC 3986 section 5.2; dots in paths are kept, servers resolve them).
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let scheme_end =
            reference.find(':').filter(|at| !reference.get(..*at).unwrap_or_default().contains(['/', '?']));
        if scheme_end.is_some() {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.origin.scheme.name()));
        }
        if reference.starts_with('/') {
            return self.origin.url(reference);
        }
        let path = self.path();
        if reference.is_empty() || reference.starts_with('?') {
            return self.origin.url(&format!("{path}{reference}"));
        }
        let directory = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
        self.origin.url(&format!("{directory}{reference}"))
    }

    /// The same URL with one more member of its query. `value` must be safe to stand there.
    pub fn with_query(&self, name: &str, value: &str) -> Result<Self, UrlError> {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        self.origin.url(&format!("{}{separator}{name}={value}", self.target))
    }

    /// Who gets a request to it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// All of it, secrets of the query too: only for the request itself.
    pub(crate) fn full(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path())?;
        if self.target.contains('?') { f.write_str("?...") } else { Ok(()) }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(url: Result<Url, UrlError>) -> String {
        url.map_or_else(|error| format!("{error:?}"), |url| url.full())
    }

    #[test]
    fn urls_are_normalized_and_bad_ones_refused() {
        for (text, expected) in [
            ("https://Example.com", "https://example.com/"),
            ("https://example.com:443/v2/", "https://example.com/v2/"),
            ("http://[::1]:5000/a?b=c#d", "http://[::1]:5000/a?b=c"),
            ("https://example.com?x=1", "https://example.com/?x=1"),
            ("https://u:p@example.com/", "UserInfo"),
            ("ftp://example.com/", "Scheme"),
            ("file:///etc/passwd", "Malformed"),
            ("https://example.com:0/", "Malformed"),
            ("https://example.com:99999/", "Malformed"),
            ("https://exa mple.com/", "Malformed"),
            ("/v2/", "Malformed"),
            ("", "Malformed"),
        ] {
            assert_eq!(full(Url::parse(text)), expected, "{text}");
        }
        assert_eq!(Url::parse(&format!("https://a/{}", "x".repeat(MAX_URL))), Err(UrlError::TooLong));
    }

    #[test]
    fn relative_locations_are_resolved() {
        let base = Url::parse("https://example.com:5000/v2/a/blobs/uploads/?n=1").unwrap();
        for (reference, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other:1/x?y", "https://other:1/x?y"),
            ("/v2/b", "https://example.com:5000/v2/b"),
            ("uuid?state=z", "https://example.com:5000/v2/a/blobs/uploads/uuid?state=z"),
            ("?state=z", "https://example.com:5000/v2/a/blobs/uploads/?state=z"),
            ("", "https://example.com:5000/v2/a/blobs/uploads/"),
            ("sha256:abc", "Malformed"),
            ("./sha256:abc", "https://example.com:5000/v2/a/blobs/uploads/./sha256:abc"),
        ] {
            assert_eq!(full(base.join(reference)), expected, "{reference}");
        }
    }

    #[test]
    fn queries_are_never_shown() {
        let url = Url::parse("https://store/x?X-Amz-Signature=secret").unwrap();
        assert_eq!((url.to_string(), format!("{url:?}")), ("https://store/x?...".into(), "https://store/x?...".into()));
    }

    #[test]
    fn loopback_is_known_in_all_forms() {
        for (authority, loopback) in [
            ("localhost:5000", true),
            ("127.9.9.9", true),
            ("[::1]:80", true),
            ("example.com", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(Origin::new(Scheme::Http, authority).unwrap().is_loopback(), loopback, "{authority}");
        }
    }
}
