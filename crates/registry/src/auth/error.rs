//! Why a registry could not be told who we are.

use std::path::PathBuf;

use super::credential::CredentialError;
use crate::url::Url;

/// A login that failed before the registry could say no. What the registry refuses is [`crate::RegistryError::Denied`].
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Files or programs with credentials.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No way in that we know.
    #[error("{registry} asks for a login by {offered}, which is not supported")]
    Scheme {
        /// The registry.
        registry: String,
        /// What it offers.
        offered: String,
    },
    /// A token server that is not asked.
    #[error("{registry} sends us to {realm} for a token, where nothing is asked: {why}")]
    Realm {
        /// The registry.
        registry: String,
        /// What it named.
        realm: String,
        /// Why not.
        why: &'static str,
    },
    /// A token server on another domain that would need the credential.
    #[error("{registry} sends us to {realm} for a token, but the credential of {source_of} is not for that host")]
    Elsewhere {
        /// The registry.
        registry: String,
        /// Host of the token server.
        realm: String,
        /// Where the credential is from.
        source_of: String,
    },
    /// A token server that failed.
    #[error("cannot get a token from {realm}: {why}")]
    Token {
        /// The token server.
        realm: Url,
        /// Why.
        why: String,
    },
    /// A credential of a kind that this registry does not take.
    #[error("the credential of {source_of} is {kind}, and {registry} takes {taken} only")]
    Kind {
        /// The registry.
        registry: String,
        /// Where the credential is from.
        source_of: String,
        /// What it is.
        kind: &'static str,
        /// What it should be.
        taken: &'static str,
    },
    /// A file with rules that cannot be used.
    #[error("cannot use {}: {why}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl AuthError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Credential(error) => Some(error.hint()),
            Self::Elsewhere { registry, realm, .. } => Some(format!(
                "if {realm} is the login server of {registry}, allow it in /etc/ctr/auth.toml: [auth-realm] \"{registry}\" = [\"{realm}\"]"
            )),
            Self::Kind { registry, .. } => Some(format!("ctr-login {registry} with a user name and a password")),
            Self::Rules { .. } => Some("see \"Logging in\" in docs/registries.md".to_owned()),
            Self::Scheme { .. } | Self::Realm { .. } | Self::Token { .. } => None,
        }
    }
}
