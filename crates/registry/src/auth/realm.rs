//! Who may be told a secret: the registry itself, and the token server that belongs to it.
//!
//! A challenge is a text that came over the network: it names the server that tokens are asked from (the realm). A password goes
//! there only if that is the registry's own host or domain, or if the user said so (`auth-realm`).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::AuthError;
use crate::url::{Origin, Scheme, Url};

/// Most bytes of an `auth.toml`.
const MAX_RULES: u64 = 1 << 20;

/// What a token server may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The credential of the registry.
    Secrets,
    /// Nothing but the question.
    Nothing,
}

/// Token servers on other domains that the user trusts with the credentials of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RealmRules {
    /// By registry: hosts with their ports.
    allowed: BTreeMap<String, Vec<String>>,
}

/// `auth.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rules {
    #[serde(default)]
    auth_realm: BTreeMap<String, Vec<String>>,
}

impl RealmRules {
    /// The rules of these files (`auth.toml`); those that are not there say nothing, and none takes away what another allows.
    pub fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, AuthError> {
        let mut rules = Self::default();
        for path in paths {
            let text = match read(&path) {
                Ok(text) => text,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(AuthError::Rules { path, why: error.to_string() }),
            };
            let parsed: Rules = toml::from_str(&text)
                .map_err(|error| AuthError::Rules { path: path.clone(), why: error.message().to_owned() })?;
            for (registry, realms) in parsed.auth_realm {
                rules.allowed.entry(registry).or_default().extend(realms);
            }
        }
        Ok(rules)
    }

    /// Also allows `realm`, a host with its port if that is not 443, for `registry`.
    #[must_use]
    pub fn allow(mut self, registry: &str, realm: &str) -> Self {
        self.allowed.entry(registry.to_owned()).or_default().push(realm.to_owned());
        self
    }

    /// What may be sent to `realm`, which the registry `name` at `registry` named; an error, if not even a question may.
    pub fn judge(&self, name: &str, registry: &Origin, realm: &Url) -> Result<Trust, &'static str> {
        let to = realm.origin();
        let is_same_machine = to.host == registry.host || (to.is_loopback() && registry.is_loopback());
        if to.scheme == Scheme::Http {
            return match registry.scheme {
                Scheme::Https => Err("it leaves TLS"),
                Scheme::Http if is_same_machine => Ok(Trust::Secrets),
                Scheme::Http => Err("it is another host, without TLS"),
            };
        }
        if is_same_machine {
            return Ok(Trust::Secrets);
        }
        let authority = registry.authority();
        let allowed = [name, authority.as_str()].into_iter().filter_map(|key| self.allowed.get(key)).flatten();
        if allowed.into_iter().any(|host| host.eq_ignore_ascii_case(&to.authority())) {
            return Ok(Trust::Secrets);
        }
        if is_near(&to.host) {
            return Err("it is on this machine or its link, and the registry is not");
        }
        Ok(if is_one_domain(&registry.host, &to.host) { Trust::Secrets } else { Trust::Nothing })
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > MAX_RULES {
        return Err(std::io::Error::other(format!("it has more than {MAX_RULES} bytes")));
    }
    fs::read_to_string(path)
}

/// Loopback, unspecified, and link-local addresses, where machines keep services that trust whoever reaches them.
fn is_near(host: &str) -> bool {
    let Some(address) = address(host) else { return host == "localhost" || host.ends_with(".localhost") };
    let address = address.to_canonical();
    address.is_loopback()
        || address.is_unspecified()
        || match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether two names belong to one owner: the realm lies below the registry, or both lie below one name that somebody registered.
fn is_one_domain(registry: &str, realm: &str) -> bool {
    if address(registry).is_some() || address(realm).is_some() {
        return false;
    }
    let (registry, realm) = (registry.trim_end_matches('.'), realm.trim_end_matches('.'));
    let is_below = realm.strip_suffix(registry).is_some_and(|rest| rest.ends_with('.'));
    is_below || (registry.contains('.') && registered(registry) == registered(realm))
}

/// The last two labels; three, where the last one is a country's and the one before is as short as those that countries
/// hand out names below (`co.uk`). Too long a name is the safe mistake.
fn registered(host: &str) -> &str {
    let dots: Vec<usize> = host.rmatch_indices('.').map(|(at, _)| at).collect();
    let [last, second, ..] = dots.as_slice() else { return host };
    let from = if host.len() - last == 3 && last - second <= 4 { dots.get(2) } else { Some(second) };
    from.map_or(host, |at| host.get(at + 1..).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rules: &RealmRules, registry: &str, realm: &str) -> String {
        let registry = Url::parse(registry).unwrap();
        let result = rules.judge("name", registry.origin(), &Url::parse(realm).unwrap());
        result.map_or_else(str::to_owned, |trust| format!("{trust:?}"))
    }

    #[test]
    fn secrets_stay_with_the_registry() {
        // spec: REG-36, REG-37
        let rules =
            RealmRules::default().allow("registry.example.com", "login.example.org").allow("name", "named.example:444");
        let tls = "it leaves TLS";
        let near = "it is on this machine or its link, and the registry is not";
        for (registry, realm, expected) in [
            ("https://registry.example.com", "https://registry.example.com/token", "Secrets"),
            ("https://registry.example.com", "https://registry.example.com:8443/token", "Secrets"),
            ("https://registry.example.com", "https://auth.example.com/token", "Secrets"),
            ("https://registry.example.com", "https://example.com/jwt", "Secrets"),
            ("https://example.com", "https://a.b.example.com/jwt", "Secrets"),
            ("https://registry.example.com", "https://login.example.org/token", "Secrets"),
            ("https://registry.example.com", "https://login.example.org:444/token", "Nothing"),
            ("https://registry.example.com", "https://named.example:444/token", "Secrets"),
            ("https://registry.example.com", "https://evilexample.com/token", "Nothing"),
            ("https://registry.example.com", "https://example.com.evil.example/token", "Nothing"),
            ("https://shop.co.uk", "https://evil.co.uk/token", "Nothing"),
            ("https://registry.shop.co.uk", "https://auth.shop.co.uk/token", "Secrets"),
            ("https://registry", "https://auth/token", "Nothing"),
            ("https://10.0.0.1", "https://10.0.0.2/token", "Nothing"),
            ("https://1.2.3.4", "https://9.2.3.4/token", "Nothing"),
            ("https://registry.example.com", "http://registry.example.com/token", tls),
            ("https://registry.example.com", "http://login.example.org/token", tls),
            ("https://localhost", "http://localhost:5001/token", tls),
            ("http://localhost:5000", "http://127.0.0.1:5001/token", "Secrets"),
            ("http://localhost:5000", "https://auth.example.com/token", "Nothing"),
            ("http://10.0.0.1:5000", "http://10.0.0.1:5001/token", "Secrets"),
            ("http://10.0.0.1:5000", "http://10.0.0.2/token", "it is another host, without TLS"),
            ("https://registry.example.com", "https://127.0.0.1/token", near),
            ("https://registry.example.com", "https://169.254.169.254/latest", near),
            ("https://registry.example.com", "https://[::ffff:127.0.0.1]/x", near),
            ("https://registry.example.com", "https://x.localhost/x", near),
        ] {
            assert_eq!(judged(&rules, registry, realm), expected, "{registry} {realm}");
        }
    }

    #[test]
    fn the_file_is_strict() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.toml");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            RealmRules::read([path.clone(), dir.path().join("none")])
        };
        let rules = read("[auth-realm]\n\"registry.example.com\" = [\"login.example.org\"]\n").unwrap();
        assert_eq!(rules, RealmRules::default().allow("registry.example.com", "login.example.org"));
        assert_eq!(read("").unwrap(), RealmRules::default());
        for bad in ["auth-realms = {}", "[auth-realm]\nx = 1\n", "["] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("auth.toml"), "{error}");
        }
    }
}
