//! Files with credentials: `auth.json` (containers-auth.json(5)), Docker's `config.json`, and the old `.dockercfg`.
//!
//! ```text
//! {"auths": {"registry.example.com/team": {"auth": BASE64 of USER:PASSWORD}, "https://index.docker.io/v1/": {...}},
//!  "credHelpers": {"registry.example.com": "pass"},      docker-credential-pass, for this registry
//!  "credsStore": "secretservice"}                        docker-credential-secretservice, for all
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential::CredentialError;
use super::secret::Secret;

/// Most bytes of a file with credentials (spec/limits.md).
pub const MAX_AUTH_FILE: u64 = 1 << 20;
/// Where users without `$XDG_RUNTIME_DIR` have theirs, each below the own id.
pub(super) const RUNTIME: &str = "/run/containers";
/// How Docker's own registry stands in files and programs.
pub const DOCKER_SERVER: &str = "https://index.docker.io/v1/";

/// Where one file is, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthFile {
    pub(super) path: PathBuf,
    /// `.dockercfg`: the entries are the document.
    pub(super) legacy: bool,
    /// The user named it: it has to be there.
    pub(super) named: bool,
}

/// What a file says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credHelpers")]
    programs: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    program_of_all: Option<String>,
}

/// What a file says of one registry or namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

/// How we prove who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// For Basic, and for the Basic request of a token.
    Password {
        /// Shown in lists, never in errors.
        user: String,
        /// The password, or an access token in its place.
        password: Secret,
    },
    /// An OAuth2 refresh token: exchanged for tokens.
    IdentityToken(Secret),
    /// A bearer token, sent as it is.
    RegistryToken(Secret),
}

impl AuthFile {
    /// Reads the file; one that nobody named may be missing.
    pub(super) fn read(&self) -> Result<Document, CredentialError> {
        let bytes = match read_capped(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if !self.named && (is_absent(&error) || self.is_out_of_reach(&error)) => {
                return Ok(Document::default());
            }
            Err(source) => return Err(CredentialError::Unreadable { path: self.path.clone(), source }),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Document::default());
        }
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(CredentialError::Malformed { path: self.path.clone(), why: "it is no JSON object".to_owned() });
        }
        let parsed = if self.legacy {
            serde_json::from_slice(&bytes).map(|auths| Document { auths: Some(auths), ..Document::default() })
        } else {
            serde_json::from_slice(&bytes)
        };
        parsed.map_err(|error| CredentialError::Malformed { path: self.path.clone(), why: place(&error) })
    }

    /// The directory of all users without `$XDG_RUNTIME_DIR` is root's own, with mode 0700, once root's containers have
    /// made it: a user who cannot look into it cannot have left a credential there.
    fn is_out_of_reach(&self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::PermissionDenied
            && self.path.starts_with(RUNTIME)
            && self.path.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }
}

/// What is wrong with a document, without a word of it: it can be a password.
pub fn place(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "a member has another type than it must" } else { "it is not JSON" };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_AUTH_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_AUTH_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_AUTH_FILE} bytes")));
    }
    Ok(bytes)
}

/// A home directory that is no directory counts as one without the file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Document {
    /// The program that the file names for `registry` alone, after the key that names it. An empty name means the file itself.
    pub(super) fn program(&self, registry: &str) -> Option<(&str, &str)> {
        let programs = self.programs.as_ref()?;
        let exact = programs.get_key_value(registry);
        let found = exact.or_else(|| programs.iter().find(|(key, _)| host_of(key, false) == canonical(registry)));
        found.map(|(key, name)| (key.as_str(), name.as_str()))
    }

    /// The program that the file names for all registries.
    pub(super) fn program_of_all(&self) -> Option<&str> {
        self.program_of_all.as_deref().filter(|name| !name.is_empty())
    }

    /// Each registry with a program of its own.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&str, &str)> {
        let programs = self.programs.iter().flatten();
        programs.map(|(key, name)| (key.as_str(), name.as_str())).filter(|(_, name)| !name.is_empty())
    }

    /// Each key with its entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.auths.iter().flatten().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The entries for the repository `path` of `registry`, the best one first: the repository, the namespaces that it is in
    /// from the innermost out, the registry, the registry as others write it.
    pub(super) fn candidates(&self, registry: &str, path: &str, legacy: bool) -> Vec<(&str, &Entry)> {
        let Some(auths) = &self.auths else { return Vec::new() };
        let mut keys = Vec::new();
        let full = format!("{registry}/{path}");
        let mut rest = if path.is_empty() { registry } else { full.as_str() };
        if legacy {
            rest = registry;
        }
        loop {
            keys.extend(auths.get_key_value(rest));
            match rest.rfind('/').filter(|at| *at >= registry.len()) {
                Some(at) => rest = rest.get(..at).unwrap_or_default(),
                None => break,
            }
        }
        let wanted = canonical(registry);
        keys.extend(auths.iter().filter(|(key, _)| key.as_str() != registry && host_of(key, legacy) == wanted));
        keys.into_iter().map(|(key, entry)| (key.as_str(), entry)).collect()
    }
}

/// Docker's registry has several names.
pub(super) fn canonical(registry: &str) -> &str {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

/// Whether `key` of a file stands for the whole registry `registry`, in one form or another.
pub fn is_same_registry(key: &str, registry: &str) -> bool {
    host_of(key, false) == canonical(registry)
}

/// The registry that a key means: keys were URLs once, `https://registry.example.com/v1/`.
fn host_of(key: &str, legacy: bool) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let host = match bare {
        Some(bare) => bare.split('/').next().unwrap_or_default(),
        None if legacy => key.split('/').next().unwrap_or_default(),
        None => ["/v1/", "/v2/", "/v1", "/v2", "/"].iter().find_map(|end| key.strip_suffix(end)).unwrap_or(key),
    };
    canonical(host)
}

impl Entry {
    /// The credential of an entry. Docker writes empty ones beside its programs: they say nothing.
    pub(super) fn credential(&self) -> Result<Option<CredentialKind>, &'static str> {
        let some = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.is_empty());
        if let Some(token) = some(&self.registrytoken) {
            return Ok(Some(CredentialKind::RegistryToken(token)));
        }
        if let Some(token) = some(&self.identitytoken) {
            return Ok(Some(CredentialKind::IdentityToken(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let (user, password) = decode(&auth)?;
            return Ok(Some(CredentialKind::Password { user, password }));
        }
        match (&self.username, some(&self.password)) {
            (Some(user), Some(password)) if !user.is_empty() => {
                Ok(Some(CredentialKind::Password { user: user.clone(), password }))
            }
            _ => Ok(None),
        }
    }
}

/// `auth`: BASE64 of `USER:PASSWORD`; people write it by hand, without the padding or with a line end.
fn decode(auth: &Secret) -> Result<(String, Secret), &'static str> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    let text = Secret::new(auth.expose().replace(['\r', '\n'], ""));
    let bytes = engine.decode(text.expose()).map_err(|_| "its \"auth\" is not base64")?;
    let plain = Secret::new(String::from_utf8(bytes).map_err(|_| "its \"auth\" holds bytes that are not UTF-8")?);
    let Some((user, password)) = plain.expose().split_once(':') else {
        return Err("its \"auth\" is not the base64 of USER:PASSWORD");
    };
    if user.is_empty() && password.is_empty() {
        return Err("its \"auth\" has neither user nor password");
    }
    // Old versions of Docker padded with NUL.
    Ok((user.to_owned(), Secret::new(password.trim_matches('\0'))))
}
