//! One registry, and what is known of how it is logged in to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::attempt::Attempt;
use super::challenge::Challenge;
use super::credential::{Credential, CredentialStore};
use super::error::AuthError;
use super::file::CredentialKind;
use super::realm::RealmRules;
use super::scope::Scopes;
use super::secret::Secret;
use super::token::{self, Key, Realm, Token, TokenRequest, TokenTransport, Tokens};
use crate::error::RegistryError;
use crate::url::{Origin, Url};

/// Most repositories for which a wider scope or a refused credential is remembered.
const MAX_REMEMBERED: usize = 4096;

/// The logins of one registry, shared by all threads. See the module for the flow.
pub struct Authenticator {
    /// As references name it.
    pub(super) registry: String,
    pub(super) origin: Origin,
    credentials: Arc<CredentialStore>,
    rules: Arc<RealmRules>,
    transport: Arc<dyn TokenTransport>,
    way: Mutex<Way>,
    tokens: Tokens,
    memory: Mutex<Memory>,
}

/// How the registry lets people in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody has asked yet.
    Unknown,
    /// Without a word, as far as is known.
    Open,
    /// Basic.
    Basic,
    /// By tokens.
    Bearer(Realm),
}

#[derive(Debug, Default)]
struct Memory {
    /// What a challenge asked for beyond what we would have.
    wider: HashMap<Scopes, Scopes>,
    /// Repositories that are read without the credential, since it was refused, and where it was from.
    given_up: HashMap<String, String>,
    notes: Vec<String>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticator({}, {})", self.registry, self.origin)
    }
}

impl Authenticator {
    /// For the registry that references call `registry` and that is reached at `origin`. Nothing is sent yet.
    pub fn new(
        registry: &str,
        origin: Origin,
        credentials: Arc<CredentialStore>,
        rules: Arc<RealmRules>,
        transport: Arc<dyn TokenTransport>,
    ) -> Self {
        Self {
            registry: registry.to_owned(),
            origin,
            credentials,
            rules,
            transport,
            way: Mutex::new(Way::Unknown),
            tokens: Tokens::default(),
            memory: Mutex::default(),
        }
    }

    /// Begins a request that needs `scopes`.
    pub fn attempt(&self, scopes: Scopes) -> Attempt<'_> {
        Attempt::new(self, scopes)
    }

    /// What the user should be told: credentials that were not used. Each is told once.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.memory().notes)
    }

    pub(super) fn note(&self, text: String) {
        let mut memory = self.memory();
        if !memory.notes.contains(&text) && memory.notes.len() < MAX_REMEMBERED {
            memory.notes.push(text);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credential for a repository, unless it was refused before.
    pub(super) fn credential(&self, scopes: &Scopes) -> Result<Option<Credential>, RegistryError> {
        if scopes.is_read_only() && self.given_up(scopes.repository()).is_some() {
            return Ok(None);
        }
        Ok(self.credentials.find(&self.registry, scopes.repository()).map_err(AuthError::from)?)
    }

    pub(super) fn given_up(&self, repository: &str) -> Option<String> {
        self.memory().given_up.get(repository).cloned()
    }

    pub(super) fn give_up(&self, repository: &str, source: String) {
        let mut memory = self.memory();
        if memory.given_up.len() < MAX_REMEMBERED {
            memory.given_up.insert(repository.to_owned(), source);
        }
    }

    /// The scopes that are asked for where `scopes` are needed.
    pub(super) fn widened(&self, scopes: &Scopes) -> Scopes {
        self.memory().wider.get(scopes).unwrap_or(scopes).clone()
    }

    /// A challenge names what is needed; says whether that is more than was known.
    pub(super) fn learn(&self, scopes: &Scopes, challenge: &Challenge) -> bool {
        let Some(asked) = challenge.get("scope") else { return false };
        let mut wider = self.widened(scopes);
        let is_wider = wider.widen(asked);
        let mut memory = self.memory();
        if is_wider && memory.wider.len() < MAX_REMEMBERED {
            memory.wider.insert(scopes.clone(), wider);
        }
        is_wider
    }

    /// How the registry lets people in. Where a credential waits to be used it is asked, once, since some registries hide from
    /// strangers that there is something to log in to.
    pub(super) fn way(&self, has_credential: bool) -> Result<Way, RegistryError> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        if *way == Way::Unknown && has_credential {
            let url = self.origin.url("/v2/");
            let url = url.map_err(|source| RegistryError::Address { what: self.registry.clone(), source })?;
            let answer = self.transport.send(&TokenRequest { url, authorization: None, form: None })?;
            *way = Way::Open;
            if answer.status == 401 && answer.from == self.origin {
                *way = self.choose(&answer.challenges)?.map_or(Way::Open, |(chosen, _)| chosen);
            }
        }
        Ok(way.clone())
    }

    /// Takes note of the way that an answer offers, and gives it with its challenge; nothing, if it offers none.
    pub(super) fn challenged(&self, challenges: &[Challenge]) -> Result<Option<(Way, Challenge)>, RegistryError> {
        let chosen = self.choose(challenges)?;
        if let Some((way, _)) = &chosen {
            *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way.clone();
        }
        Ok(chosen)
    }

    /// The best of what is offered: tokens, else Basic.
    fn choose(&self, challenges: &[Challenge]) -> Result<Option<(Way, Challenge)>, AuthError> {
        let mut problem = None;
        for challenge in challenges.iter().filter(|challenge| challenge.scheme == "bearer") {
            match self.realm(challenge) {
                Ok(realm) => return Ok(Some((Way::Bearer(realm), challenge.clone()))),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        if let Some(challenge) = challenges.iter().find(|challenge| challenge.scheme == "basic") {
            return Ok(Some((Way::Basic, challenge.clone())));
        }
        match (problem, challenges) {
            (Some(problem), _) => Err(problem),
            (None, []) => Ok(None),
            (None, others) => {
                let offered =
                    others.iter().take(4).map(|challenge| challenge.scheme.chars().take(30).collect::<String>());
                let offered = offered.collect::<Vec<_>>().join(", ");
                Err(AuthError::Scheme { registry: self.registry.clone(), offered })
            }
        }
    }

    fn realm(&self, challenge: &Challenge) -> Result<Realm, AuthError> {
        let refused = |realm: String, why| AuthError::Realm { registry: self.registry.clone(), realm, why };
        let Some(text) = challenge.get("realm").filter(|text| !text.is_empty()) else {
            return Err(refused("nowhere".to_owned(), "the challenge has no realm"));
        };
        let url = Url::parse(text).map_err(|_| refused("an address".to_owned(), "it is not valid"))?;
        let trust = self.rules.judge(&self.registry, &self.origin, &url);
        let trust = trust.map_err(|why| refused(url.origin().to_string(), why))?;
        Ok(Realm::new(url, challenge.get("service"), trust))
    }

    /// A token, of those that are held or a new one.
    pub(super) fn token(&self, key: &Key, credential: Option<&CredentialKind>) -> Result<Arc<Token>, TokenFailure> {
        self.tokens.get(key, || self.fetch(key, credential))
    }

    pub(super) fn token_refused(&self, key: &Key, number: u64) {
        self.tokens.refused(key, number);
    }

    fn fetch(
        &self,
        key: &Key,
        credential: Option<&CredentialKind>,
    ) -> Result<(Secret, std::time::Duration), TokenFailure> {
        let realm = &key.realm.url;
        let failed = |why: String| TokenFailure::Other(AuthError::Token { realm: realm.clone(), why }.into());
        if let Some(CredentialKind::RegistryToken(token)) = credential {
            let header = token::header(token).map_err(|why| failed(why.replace("its token", "the registrytoken")))?;
            return Ok((header, std::time::Duration::from_secs(3600)));
        }
        let request = key.realm.request(&key.scopes, credential).map_err(|error| failed(error.to_string()))?;
        let answer = self.transport.send(&request).map_err(TokenFailure::Other)?;
        match answer.status {
            200 => token::read(&answer.body, SystemTime::now()).map_err(|why| failed(why.to_owned())),
            // OAuth2 says 400 (invalid_grant) where others say 401.
            401 | 403 => Err(TokenFailure::Refused(token::refusal(&answer.body, &request))),
            400 if credential.is_some() => Err(TokenFailure::Refused(token::refusal(&answer.body, &request))),
            status => {
                let errors = token::refusal(&answer.body, &request);
                Err(TokenFailure::Other(RegistryError::Status { url: realm.clone(), status, errors }))
            }
        }
    }
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum TokenFailure {
    /// The token server says no.
    Refused(Vec<crate::error::ServerError>),
    /// Something else.
    Other(RegistryError),
}
